"""The table of all data sets known by name, with the reader that makes each."""

from collections.abc import Mapping

from pycls.datasets.catalog.embedded import EMBEDDED
from pycls.datasets.catalog.entry import CatalogEntry
from pycls.datasets.catalog.further import FURTHER, REFUSED
from pycls.datasets.catalog.own import OWN
from pycls.datasets.catalog.published import PUBLISHED
from pycls.datasets.catalog.torchvision_sets import PREFIX, find_torchvision_entry
from pycls.datasets.catalog.views import VIEWS
from pycls.errors import ConfigError
from pycls.yaml_sections import near_miss

CATALOG: Mapping[str, CatalogEntry] = {
    entry.key: entry for entry in (*EMBEDDED, *PUBLISHED, *FURTHER, *OWN)
}


def find_entry(key: str) -> CatalogEntry:
    """Return the entry of a data set.

    Raises:
        ConfigError: there is none of that name, or it cannot be used here.
    """
    if key.startswith(PREFIX):
        return find_torchvision_entry(key)
    if key in CATALOG:
        return CATALOG[key]
    if key in REFUSED:
        raise ConfigError(f"data set '{key}' cannot be used: {REFUSED[key]}")
    if key in VIEWS:
        raise ConfigError(
            f"'{key}' is a view of '{VIEWS[key].of}' and is not prepared itself; prepare "
            f"'{VIEWS[key].of}', then '{key}' opens"
        )
    raise ConfigError(
        f"unknown data set '{key}'; {near_miss(key, CATALOG)}known are {', '.join(CATALOG)}"
    )

"""Populations that hold networks of other libraries, beside AnyNets of one frame or alone."""

import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from pycls import files
from pycls.errors import ConfigError
from pycls.models.network_types import foreign_arguments
from pycls.spaces.population import Architecture, Population
from pycls.spaces.population_csv import (
    PopulationTable,
    parse_id,
    population_of,
    read_rows,
    refuse_duplicates,
)

LIBRARIES = ("timm", "torchvision")
NETWORK_COLUMN = "network"
_NETWORK = re.compile(rf"({'|'.join(LIBRARIES)}):(\S+)((?:\s+\S+)*)")


@dataclass(frozen=True)
class ForeignArchitecture:
    """A network of timm or torchvision in a population.

    Attributes:
        arch: its id.
        library: "timm" or "torchvision".
        name: its name there.
        arguments: of its constructor, each as "name=value".
    """

    arch: str
    library: str
    name: str
    arguments: tuple[str, ...] = ()

    def overrides(self) -> list[Any]:
        """Return the config's keys and values, alternating, that build this network."""
        section = self.library.upper()
        named = [f"{section}.NAME", self.name, f"{section}.ARGS", list(self.arguments)]
        return ["MODEL.TYPE", self.library, *named]

    @property
    def text(self) -> str:
        """What stands in a table."""
        return " ".join([f"{self.library}:{self.name}", *self.arguments])


@dataclass(frozen=True, eq=False)
class MixedPopulation:
    """Architectures of which some are another library's, in the order of their file.

    Attributes:
        ids: n names, unique.
        own: the AnyNets among them, of one frame; None: none.
        foreign: the others, by id.
    """

    ids: tuple[str, ...]
    own: Population | None
    foreign: dict[str, ForeignArchitecture]
    _counted: dict[str, Mapping[str, int]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.ids)

    def __iter__(self) -> Iterator[Architecture | ForeignArchitecture]:
        return (self.row(i) for i in range(len(self)))

    @property
    def num_stages(self) -> int:
        """Number of stages of the AnyNets; 0 without any."""
        return 0 if self.own is None else self.own.num_stages

    @cached_property
    def _places(self) -> dict[str, int]:
        return {} if self.own is None else {name: i for i, name in enumerate(self.own.ids)}

    def row(self, index: int) -> Architecture | ForeignArchitecture:
        """Return one member.

        Raises:
            IndexError: there is none of that index.
        """
        name = self.ids[index]
        if name in self.foreign:
            return self.foreign[name]
        assert self.own is not None
        return self.own.row(self._places[name])

    def mean_count(
        self, name: str, count: Callable[[ForeignArchitecture], Mapping[str, int]]
    ) -> float:
        """Return the mean of a count over the members of which it is known; NaN without any.

        Args:
            name: "flops", "params" or "acts".
            count: what a network of another library costs; called once for each.
        """
        known = [] if self.own is None else [float(v) for v in getattr(self.own, name)]
        for network in self.foreign.values():
            if network.arch not in self._counted:
                self._counted[network.arch] = count(network)
            known += [float(v) for k, v in self._counted[network.arch].items() if k == name]
        return sum(known) / len(known) if known else math.nan

    def to_csv_text(self) -> str:
        r"""Return the table: as that of AnyNets, with the column `network`, `\n` line ends."""
        if self.own is None:
            rows = [[name, self.foreign[name].text] for name in self.ids]
            return files.csv_text([["arch", NETWORK_COLUMN], *rows])
        header, *own = [line.split(",") for line in self.own.to_csv_text().splitlines()]
        by_name = {row[0]: row[1:] for row in own}
        table = [[header[0], NETWORK_COLUMN, *header[1:]]]
        for name in self.ids:
            cells = by_name.get(name, [""] * (len(header) - 1))
            text = self.foreign[name].text if name in self.foreign else ""
            table.append([name, text, *cells])
        return files.csv_text(table)


AnyPopulation = Population | MixedPopulation


def read_any_population(path: Path) -> AnyPopulation:
    """Read a table of AnyNets, of networks of other libraries, or of both.

    A row with a text in the column `network` ("timm:resnet18", "torchvision:vit_b_16",
    "timm:convnext_atto drop_path_rate=0.1") is that network, and its other cells are empty; what
    the other rows say, :func:`pycls.spaces.population_csv.read_population` reads.

    Raises:
        ConfigError: names file, line, column, what is wrong and what was expected.
    """
    rows = read_rows(path)
    header = [name.strip() for name in rows[0][1]] if rows else []
    if header.count(NETWORK_COLUMN) != 1 or "arch" not in header:
        return population_of(PopulationTable(path, rows))
    place, arch = header.index(NETWORK_COLUMN), header.index("arch")
    body = [(line, row) for line, row in rows[1:] if len(row) == len(header)]
    is_foreign = {line: bool(row[place].strip()) for line, row in body}
    names = PopulationTable(path, rows, is_checked=False)
    ids = names.parse("arch", parse_id)
    refuse_duplicates(names, ids)
    foreign = {}
    for line, row in body:
        if is_foreign[line]:
            other = [header[i] for i, cell in enumerate(row) if i not in (place, arch) and cell]
            if other:
                raise ConfigError(
                    f"{names.where(line, other[0])}: a value beside a network of another "
                    "library; leave it empty, its sizes are its library's"
                )
            name = row[arch].strip()
            foreign[name] = _parse_network(name, row[place].strip(), names.where(line, "network"))
    own_rows = [
        (line, [cell for i, cell in enumerate(row) if i != place])
        for line, row in rows
        if not is_foreign.get(line, False)
    ]
    own = None
    if len(own_rows) > 1:
        own = population_of(PopulationTable(path, own_rows))
    if not foreign and own is not None:
        return own
    return MixedPopulation(tuple(ids), own, foreign)


def _parse_network(arch: str, text: str, where: str) -> ForeignArchitecture:
    match = _NETWORK.fullmatch(text)
    if match is None:
        raise ConfigError(
            f"{where}: {text!r}; expected a library and a name there, such as timm:resnet18 or "
            "torchvision:vit_b_16, and arguments as name=value behind, with spaces between"
        )
    library, name, arguments = match[1], match[2], tuple(match[3].split())
    try:
        foreign_arguments(arguments, library.upper())
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from None
    return ForeignArchitecture(arch, library, name, arguments)

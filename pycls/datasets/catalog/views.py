"""Views of data sets: those of the catalogue, and those a data folder's `views.yaml` adds."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path

from pycls.errors import ConfigError
from pycls.yaml_sections import Place, Section, open_sections

VIEWS_FILE = "views.yaml"
METRICS = ("top1", "top5")


@dataclass(frozen=True)
class ViewSpec:
    """A part of a prepared set, made in the order of the attributes.

    Attributes:
        of: the set (or view) that it is a part of.
        classes: names of the classes to keep; (): drawn, or all.
        num_classes: how many classes to draw; None: not drawn. Draws of one seed are nested.
        balance: cut, on each side, the most common class to the size of the second.
        per_class: most training images of a class; None: all.
        seed: draws the classes and the images that a cut keeps.
        title: name in reports; "": made from the set's.
        metric: "top1" or "top5"; "": the set's own.
        epochs: training length in the study; None: the set's own.

    Raises:
        ConfigError: a value out of its range, or classes both named and drawn.
    """

    of: str
    classes: tuple[str, ...] = ()
    num_classes: int | None = None
    balance: bool = False
    per_class: int | None = None
    seed: int = 1
    title: str = ""
    metric: str = ""
    epochs: int | None = None

    def __post_init__(self) -> None:
        if not self.of:
            raise ConfigError("'of' is empty; expected the name of a data set")
        if self.classes and self.num_classes is not None:
            raise ConfigError("give either 'classes' (named) or 'num_classes' (drawn), not both")
        for name, low in (("num_classes", 2), ("per_class", 1), ("seed", 0), ("epochs", 1)):
            value = getattr(self, name)
            if value is not None and value < low:
                raise ConfigError(f"{name} is {value}; expected {low} or more")
        if self.metric not in ("", *METRICS):
            raise ConfigError(f"metric is '{self.metric}'; expected one of {', '.join(METRICS)}")

    @property
    def is_subset(self) -> bool:
        """Whether it leaves out classes."""
        return bool(self.classes) or self.num_classes is not None

    def make_title(self, base: str, num_classes: int) -> str:
        """Return its name in reports, such as "ImageNet-100" or "ImageNet-1000-10".

        `base` is the name of the set it is a part of.
        """
        if self.title:
            return self.title
        parts = [base]
        if self.is_subset or self.per_class is not None:
            parts.append(str(num_classes))
        if self.balance:
            parts.append("balanced")
        if self.per_class is not None:
            parts.append(str(self.per_class))
        return "-".join(parts)


# Paper, Table 2 and appendix 6.1.6. The study's own class draws are not published: these are
# drawn by the recorded seed, each inside the next larger. The length for imagenet_1000_10 is
# not published either and is that of the small members.
VIEWS: Mapping[str, ViewSpec] = {
    "imagenet_100": ViewSpec("imagenet", num_classes=100),
    "imagenet_10": ViewSpec("imagenet", num_classes=10, metric="top1", epochs=40),
    "imagenet_5": ViewSpec("imagenet", num_classes=5, metric="top1", epochs=40),
    "imagenet_2": ViewSpec("imagenet", num_classes=2, metric="top1", epochs=40),
    "imagenet_1000_10": ViewSpec("imagenet", per_class=10, epochs=40),
    "mlc2008_balanced": ViewSpec("mlc2008", balance=True),
    "ham10000_balanced": ViewSpec("ham10000", balance=True),
}


def list_views(data_dir: str | os.PathLike[str]) -> dict[str, ViewSpec]:
    """Return all views by name; a name of `views.yaml` wins over the catalogue's.

    Raises:
        ConfigError: the file cannot be used as it is.
    """
    return {**VIEWS, **load_views(Path(data_dir) / VIEWS_FILE)}


def load_views(path: str | os.PathLike[str]) -> dict[str, ViewSpec]:
    """Read a file of views; there are none where there is no file.

    A view is `NAME: {of: SET, ...}` with the attributes of :class:`ViewSpec` as keys, or
    `classes_file` (a text file of one class a line, relative to this file) for `classes`.

    Raises:
        ConfigError: names file, line, key and what was expected.
    """
    path = Path(path)
    if not path.exists():
        return {}
    top = open_sections(path)
    views = {}
    for name in top:
        if not isinstance(name, str) or not name or os.sep in name:
            raise ConfigError(
                f"{path}: a view is called {name!r}; expected a text without '{os.sep}' (put a "
                "number in quotes)"
            )
        views[name] = _read_view(top.section(name))
    return views


def _read_view(section: Section) -> ViewSpec:
    section.only(*(field.name for field in fields(ViewSpec)), "classes_file")
    section.get("of", str, "the name of a data set")
    if "classes_file" in section and "classes" in section:
        raise ConfigError(f"{section.place}: give either 'classes' or 'classes_file', not both")
    classes = section.names("classes", [])
    if "classes" in section and not classes:
        raise ConfigError(f"{section.place.at('classes')} is empty; expected names")
    if "classes_file" in section:
        place = section.place.at("classes_file")
        classes = _read_classes(place.path.parent / section.text("classes_file"), place)
    try:
        return ViewSpec(
            of=section.text("of"),
            classes=classes,
            num_classes=section.count("num_classes", 2, None),
            balance=section.flag("balance"),
            per_class=section.count("per_class", 1, None),
            seed=section.count("seed", 0, 1),
            title=section.text("title", ""),
            metric=section.text("metric", ""),
            epochs=section.count("epochs", 1, None),
        )
    except ConfigError as error:
        raise ConfigError(f"{section.place}: {error}") from None


def _read_classes(path: Path, place: Place) -> tuple[str, ...]:
    """Read a list of class names, one a line; empty lines and `# ...` lines are left out."""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"{place}: cannot read {path} ({error}); expected a text file with one class a line"
        ) from None
    names = [line.strip() for line in lines]
    names = [name for name in names if name and not name.startswith("#")]
    if not names:
        raise ConfigError(f"{place}: {path} names no class")
    return tuple(names)

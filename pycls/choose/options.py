"""The section `choose` of a study file: how a network is chosen, and what it is compared with."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pycls.choose.baselines import BASELINES
from pycls.errors import ConfigError
from pycls.schema import SCORES
from pycls.study.spec import DatasetSpec, StudySpec
from pycls.yaml_sections import Section, near_miss

STRATEGIES = {
    "random": "architectures drawn at random, trained to the end",
    "halving": "successive halving: many for a few epochs, the better half for twice as many",
    "score": "the best by a zero-cost score",
    "reference": "the best on a reference whose results are given",
}
_SEEDS = 3
# What the final trainings are called beside the baselines; a user's network needs another name.
CHOSEN, OF_REFERENCE = "chosen", "reference"


@dataclass(frozen=True)
class Filter:
    """What thins out the candidates before they are trained.

    Attributes:
        score: a zero-cost score; "": none.
        num_classes: size of a class subset that all candidates are trained on; 0: none.
        keep: the share of the candidates that is kept.
    """

    score: str = ""
    num_classes: int = 0
    keep: float = 0.5


@dataclass(frozen=True)
class Reference:
    """Results that are given: a study's folder, and its sweep."""

    folder: Path
    sweep: str


@dataclass(frozen=True)
class ChooseOptions:
    """All that the section says.

    Attributes:
        data: the study's key of the data set.
        strategy: one of STRATEGIES.
        score: the zero-cost score of the strategy of that name.
        filter: what comes before training; None: nothing.
        reference: results elsewhere; None: none.
        trainings: budget in trainings to the end, the final ones included; 0: given in hours.
        gpu_hours: the same in hours of a GPU; 0: given in trainings.
        seeds: of the final trainings.
        baselines: names of :data:`pycls.choose.baselines.BASELINES`.
        networks: {name: configuration file} of networks that stand beside them.
    """

    data: str
    strategy: str
    score: str = ""
    filter: Filter | None = None
    reference: Reference | None = None
    trainings: float = 0.0
    gpu_hours: float = 0.0
    seeds: tuple[int, ...] = ()
    baselines: tuple[str, ...] = ()
    networks: Mapping[str, Path] = field(default_factory=dict)

    @property
    def finals(self) -> list[str]:
        """What is trained in the end, without the reference's best, which may be the chosen."""
        return [CHOSEN, *self.baselines, *self.networks]


def read_options(spec: StudySpec) -> ChooseOptions:
    """Return what a study file says on choosing.

    Raises:
        ConfigError: it says nothing, or names file, line, key, value and what was expected.
    """
    section = spec.choose
    if section is None:
        raise ConfigError(
            f"{spec.path}: has no section 'choose', which says how to choose; the least is "
            "'choose: {strategy: halving, trainings: 30}'"
        )
    section.only(
        "data", "strategy", "score", "filter", "reference", "trainings", "gpu_hours", "seeds",
        "baselines", "networks",
    )  # fmt: skip
    strategy = _one_of(section, "strategy", STRATEGIES, "halving")
    options = ChooseOptions(
        data=_read_data(section, spec).key,
        strategy=strategy,
        score=_one_of(section, "score", SCORES, "") if "score" in section else "",
        filter=_read_filter(section) if "filter" in section else None,
        reference=_read_reference(section) if "reference" in section else None,
        trainings=_amount(section, "trainings"),
        gpu_hours=_amount(section, "gpu_hours"),
        seeds=_read_seeds(section, spec.seed),
        baselines=_read_baselines(section),
        networks=_read_networks(section),
    )
    _check(section, options)
    return options


def _check(section: Section, options: ChooseOptions) -> None:
    """Check that the keys go together."""
    place = section.place
    if (options.trainings > 0) == (options.gpu_hours > 0):
        raise ConfigError(f"{place}: give the budget, either 'trainings' or 'gpu_hours'")
    for key in ("score", "reference"):
        if options.strategy == key and not getattr(options, key):
            raise ConfigError(f"{place}: the strategy '{key}' needs the key '{key}'")
    if options.score and options.strategy != "score":
        raise ConfigError(
            f"{place.at('score')}: is of the strategy 'score'; to thin out the candidates of "
            f"'{options.strategy}', write 'filter: {{score: {options.score}}}'"
        )
    if options.filter and options.strategy not in ("random", "halving"):
        raise ConfigError(
            f"{place.at('filter')}: thins out what is trained then; the strategy "
            f"'{options.strategy}' goes by one ranking alone"
        )


def _one_of(section: Section, key: str, known: Mapping[str, Any] | Any, default: str) -> str:
    value = section.text(key, default)
    if value not in known:
        raise ConfigError(
            f"{section.place.at(key)} is '{value}'; {near_miss(value, known)}expected one of "
            f"{', '.join(known)}"
        )
    return str(value)


def _read_data(section: Section, spec: StudySpec) -> DatasetSpec:
    able = {k: d for k, d in spec.datasets.items() if d.control is None and d.selection is None}
    name = section.text("data", next(iter(able)) if len(able) == 1 else None)
    if name is None:
        raise ConfigError(
            f"{section.place}: say with 'data' for which set to choose: {', '.join(able)}"
        )
    if name not in able:
        raise ConfigError(
            f"{section.place.at('data')} is '{name}'; {near_miss(name, able)}expected a data set "
            f"of this study that the whole population is for: {', '.join(able)}"
        )
    return able[name]


def _amount(section: Section, key: str) -> float:
    value = section.get(key, (int, float), "a number above 0", None)
    if value is None:
        return 0.0
    if isinstance(value, bool) or not 0 < value < float("inf"):
        raise ConfigError(f"{section.place.at(key)} is {value}; expected a number above 0")
    return float(value)


def _read_filter(section: Section) -> Filter:
    inner = section.section("filter")
    inner.only("score", "num_classes", "keep")
    keep = inner.get("keep", (int, float), "a share", 0.5)
    if isinstance(keep, bool) or not 0 < keep < 1:
        raise ConfigError(f"{inner.place.at('keep')} is {keep}; expected a share between 0 and 1")
    found = Filter(
        score=_one_of(inner, "score", SCORES, "") if "score" in inner else "",
        num_classes=inner.count("num_classes", 2, 0) if "num_classes" in inner else 0,
        keep=float(keep),
    )
    if bool(found.score) == bool(found.num_classes):
        raise ConfigError(
            f"{inner.place}: expected either 'score' (a zero-cost score) or 'num_classes' (the "
            "size of a class subset)"
        )
    return found


def _read_reference(section: Section) -> Reference:
    inner = section.section("reference")
    inner.only("study", "sweep")
    folder = inner.place.path.parent / inner.text("study")
    if not folder.is_dir():
        raise ConfigError(
            f"{inner.place.at('study')}: there is no folder {folder}; name the folder of a study "
            "whose results are there, relative to this file"
        )
    return Reference(folder, inner.text("sweep"))


def _read_seeds(section: Section, of_search: int) -> tuple[int, ...]:
    if "seeds" not in section:
        return tuple(range(of_search + 1, of_search + 1 + _SEEDS))
    seeds = section.get("seeds", list, "a list of seeds")
    if not seeds or any(type(s) is not int or s < 0 for s in seeds) or len(set(seeds)) < len(seeds):
        raise ConfigError(
            f"{section.place.at('seeds')} is {seeds}; expected whole numbers, each once"
        )
    if of_search in seeds:
        raise ConfigError(
            f"{section.place.at('seeds')}: {of_search} is the seed that the choice is made with, "
            "where the chosen was lucky; leave it out"
        )
    return tuple(seeds)


def _read_baselines(section: Section) -> tuple[str, ...]:
    names = section.names("baselines", list(BASELINES))
    for name in names:
        if name not in BASELINES or names.count(name) > 1:
            raise ConfigError(
                f"{section.place.at('baselines')} names '{name}'; expected some of "
                f"{', '.join(BASELINES)}, each once"
            )
    return names


def _read_networks(section: Section) -> dict[str, Path]:
    if "networks" not in section:
        return {}
    inner = section.section("networks")
    taken = (CHOSEN, OF_REFERENCE, *BASELINES)
    found = {}
    for name in section.mapping("networks"):
        path = inner.place.path.parent / inner.text(name)
        if name in taken or not str(name).replace("_", "").replace("-", "").isalnum():
            raise ConfigError(
                f"{inner.place.at(str(name))}: expected a name of letters, digits, '_' and '-' "
                f"other than {', '.join(taken)}"
            )
        if not path.is_file():
            raise ConfigError(
                f"{inner.place.at(str(name))}: there is no file {path}; name a configuration "
                "relative to this file"
            )
        found[str(name)] = path
    return found

"""The reader of study files, which say what to sample, train and compare."""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pycls.errors import ConfigError
from pycls.files import path_beside
from pycls.schema import CONTROLS, MOST_NETWORKS
from pycls.shipped import or_shipped
from pycls.slurm.options import LaunchOptions, read_options
from pycls.study.checks import check_study
from pycls.study.spec import (
    METRICS,
    VALIDATION_SHARE,
    DatasetSpec,
    PopulationSpec,
    RepeatSpec,
    Selection,
    StudySpec,
)
from pycls.yaml_kinds import STUDY, refuse_other_kind
from pycls.yaml_sections import Place, Section, near_miss, open_sections

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_SEEDS = "a list of seeds, or {first: 1, count: 5}"
_SELECTION = (
    "a list of architectures, {first: 12}, {best: 5, worst: 5, by: SWEEP} or {quantiles: [0.25, "
    "0.75], by: SWEEP}"
)


def load_study_file(path: str | os.PathLike[str]) -> StudySpec:
    """Read and check a study file, and the files of its base and so on where it has one.

    Raises:
        ConfigError: names file, line, key, value and what was expected.
    """
    return _load(or_shipped(path), ())


def _load(path: Path, above: tuple[Path, ...]) -> StudySpec:
    """Read a study file that is the base of those `above`."""
    top = open_sections(path)
    refuse_other_kind(list(top), str(top.place), STUDY)
    top.only(
        "name", "title", "description", "base", "population", "config", "regimes", "datasets",
        "reference", "family", "targets", "class_seed", "seed", "repeats", "uses", "max_retry",
        "launch", "images_per_second", "select", "choose",
    )  # fmt: skip
    name = top.text("name")
    _check_name(name, top.place.at("name"))
    base = _read_base(top, (*above, path.resolve()))
    regimes = _read_regimes(top, base)
    spec = StudySpec(
        place=top.place,
        name=name,
        title=top.text("title", name),
        description=top.text("description", ""),
        base=base,
        population=_read_population(top, base),
        config=(*(base.config if base else ()), _layer(top, "config")),
        regimes=regimes,
        datasets=_read_datasets(top, regimes, base),
        reference=top.text("reference", None),
        family=top.names("family", []),
        targets=top.names("targets", []),
        class_seed=top.count("class_seed", 0, base.class_seed if base else 1),
        seed=top.count("seed", 0, base.seed if base else 1),
        repeats=_read_repeats(top),
        uses=top.names("uses", []),
        launch=_read_launch(top, base),
        images_per_second=_read_speed(top, base),
        validation=_read_validation(top, base),
        choose=top.section("choose") if "choose" in top else None,
    )
    check_study(spec)
    return spec


def _read_base(top: Section, above: tuple[Path, ...]) -> StudySpec | None:
    name = top.text("base", None)
    if name is None:
        return None
    path = path_beside(top.place.path.parent, name)
    if not path.is_file():
        raise ConfigError(
            f"{top.place.at('base')} is '{name}', but there is no file {path}; name the study "
            "file that this one builds on, relative to this one"
        )
    if path.resolve() in above:
        raise ConfigError(
            f"{top.place.at('base')} is '{name}', which builds on this file itself; name a study "
            "that stands on its own"
        )
    return _load(path, above)


def _layer(section: Section, key: str) -> tuple[str, Mapping[str, Any]]:
    """Return configuration keys with the place that they stand at."""
    return str(section.place.at(key)), section.mapping(key)


def _read_speed(top: Section, base: StudySpec | None) -> float | None:
    speed = top.get("images_per_second", (int, float), "a number above 0", None)
    if speed is None:
        return base.images_per_second if base else None
    if not 0 < speed < float("inf"):
        raise ConfigError(
            f"{top.place.at('images_per_second')} is {speed}; expected a number above 0"
        )
    return float(speed)


def _read_validation(top: Section, base: StudySpec | None) -> float:
    """Return the share that `select: validation`, or `select: {validation: 0.2}`, holds out."""
    if "select" not in top:
        return base.validation if base else 0.0
    what = "'test', 'validation', or {validation: SHARE} with a share above 0 and below 1"
    value = top.get("select", (str, Mapping), what)
    if isinstance(value, str):
        shares = {"test": 0.0, "validation": VALIDATION_SHARE}
        if value in shares:
            return shares[value]
    else:
        section = top.section("select")
        section.only("validation")
        share = section.get("validation", (int, float), "a share", None)
        if share is not None and not isinstance(share, bool) and 0 < share < 1:
            return float(share)
    raise ConfigError(f"{top.place.at('select')} is {value!r}; expected {what}")


def _read_launch(top: Section, base: StudySpec | None) -> LaunchOptions:
    """Return how runs are launched: what is not given is as in the base, but for retries."""
    given = top.mapping("launch")
    inherited = base.launch.to_dict() if base else {}
    retries = {"MAX_RETRY": top.count("max_retry", 0, 1)}
    return read_options(
        given,
        lambda *keys: str(top.place.at(*keys)),
        name="launch",
        defaults_here={**inherited, **retries},
        together=False,  # a command line may still change some
    )


def _read_population(top: Section, base: StudySpec | None) -> PopulationSpec:
    if "population" not in top and base is not None:
        return base.population
    top.get("population", Mapping, "keys and values")
    section = top.section("population")
    csv = path_beside(top.place.path.parent, section.text("csv")) if "csv" in section else None
    if csv is not None and "size" not in section:
        section.only("csv")
        return PopulationSpec(csv=csv)
    section.only("csv", "space", "spaces", "size", "seed", "flops", "params", "acts", "where")
    bounds = {}
    for metric in ("flops", "params", "acts"):
        pair = section.get(metric, list, "a pair [low, high]", None)
        if pair is not None:
            if len(pair) != 2 or not all(isinstance(x, int | float) for x in pair):
                raise ConfigError(f"{section.place.at(metric)} is {pair}; expected [low, high]")
            if pair[0] > pair[1]:
                raise ConfigError(
                    f"{section.place.at(metric)} is {pair}, the wrong way round; expected "
                    f"[{pair[1]}, {pair[0]}]"
                )
            bounds[metric] = (pair[0], pair[1])
    return PopulationSpec(
        csv=csv,
        spaces=_read_spaces(section),
        size=section.count("size", 1, most=MOST_NETWORKS),
        seed=section.count("seed", 0, 0),
        bounds=bounds,
        conditions=section.names("where", []),
    )


def _read_spaces(section: Section) -> dict[str, Mapping[str, Any]]:
    if "spaces" not in section:
        return {"": section.mapping("space")}
    if "space" in section:
        raise ConfigError(
            f"{section.place.at('spaces')}: stands beside 'space'; keep one of the two"
        )
    spaces = section.section("spaces")
    names = section.mapping("spaces")
    if len(names) < 2:
        raise ConfigError(
            f"{spaces.place}: expected at least two spaces to compare, {{NAME: arguments}}; a "
            "single one is given by 'space'"
        )
    for name in names:
        _check_name(name, spaces.place.at(str(name)))
    return {name: spaces.mapping(name) for name in names}


def _read_regimes(
    top: Section, base: StudySpec | None
) -> dict[str, tuple[tuple[str, Mapping[str, Any]], ...]]:
    section = top.section("regimes")
    regimes = dict(base.regimes) if base else {}
    for name in top.mapping("regimes"):
        _check_name(name, section.place.at(str(name)))
        regimes[name] = (_layer(section, name),)
    return regimes or {"default": ()}


def _read_datasets(
    top: Section, regimes: Mapping[str, Any], base: StudySpec | None
) -> dict[str, DatasetSpec]:
    if "uses" in top and "datasets" not in top:
        return {}
    values = top.get("datasets", Mapping, "one section a data set")
    sections = top.section("datasets")
    if not values:
        raise ConfigError(f"{sections.place} is empty; name at least one data set")
    datasets: dict[str, DatasetSpec] = {}

    def find(key: str) -> DatasetSpec | None:
        found = datasets.get(key)
        return found or (base.find_dataset(key) if base else None)

    for key in values:
        _check_name(key, sections.place.at(str(key)))
        section = sections.section(key)
        of = section.text("of", None)
        origin = find(of) if of is not None else None
        if of is not None and origin is None:
            later = " (those above it)" if of in values else ""
            known = [*datasets, *(base.all_datasets() if base else ())]
            raise ConfigError(
                f"{section.place.at('of')} is '{of}'; {near_miss(of, known)}expected one of the "
                f"data sets of this study{' or its base' if base else ''}{later}: "
                f"{', '.join(known) or 'none so far'}"
            )
        datasets[key] = _read_dataset(key, section, regimes, origin)
    return datasets


def _read_dataset(
    key: str, section: Section, regimes: Mapping[str, Any], of: DatasetSpec | None
) -> DatasetSpec:
    section.only(
        "of", "num_classes", "classes", "per_class", "balance", "options", "regime", "metric",
        "config", "title", "control", "archs", "networks", "seeds", "weights_from",
    )  # fmt: skip
    num_classes = section.count("num_classes", 2, None)
    classes = section.names("classes", [])
    if of is None and (num_classes or classes):
        raise ConfigError(
            f"{section.place}: a class subset needs 'of', the set whose classes it takes (for "
            "example of: digits)"
        )
    if num_classes and classes:
        raise ConfigError(
            f"{section.place}: a class subset needs either 'num_classes' (drawn) or 'classes' (a "
            "list)"
        )
    part: dict[str, Any] = {
        "num_classes": num_classes,
        "classes": classes,
        "per_class": section.count("per_class", 1, None),
        "balance": section.flag("balance"),
    }
    is_cut = any(part.values())
    if is_cut and of is not None and of.is_view:
        raise ConfigError(
            f"{section.place.at('of')}: '{of.key}' is a part of {of.prepared} itself; name the "
            "whole set, with all that is to be left out of it"
        )
    if of is not None and "options" in section:
        raise ConfigError(
            f"{section.place.at('options')}: the images are those of {of.key}; give the options "
            "there"
        )
    metric = None
    if of is not None and not is_cut:
        part, metric = {name: getattr(of, name) for name in part}, of.metric
    return DatasetSpec(
        key=key,
        prepared=of.prepared if of else key,
        options=of.options if of else section.mapping("options"),
        of=of.key if of else None,
        **part,
        regime=_read_regime(section, regimes, of),
        metric=_read_metric(section, metric),
        config=(*(of.config if of else ()), _layer(section, "config")),
        title=section.text("title", None),
        control=_read_control(section, of),
        selection=_read_selection(section),
        networks=_read_networks(section),
        seeds=_read_seeds(section, 1) if "seeds" in section else (),
        weights_from=section.text("weights_from", None),
    )


def _read_regime(section: Section, regimes: Mapping[str, Any], of: DatasetSpec | None) -> str:
    regime = section.text("regime", of.regime if of else next(iter(regimes)))
    if regime not in regimes:
        raise ConfigError(
            f"{section.place.at('regime')} is '{regime}'; {near_miss(regime, list(regimes))}"
            f"expected one of the regimes: {', '.join(regimes)}"
        )
    return str(regime)


def _read_metric(section: Section, default: str | None) -> str | None:
    metric = section.text("metric", default)
    if metric is not None and metric not in METRICS:
        raise ConfigError(
            f"{section.place.at('metric')} is '{metric}'; expected one of {', '.join(METRICS)}"
        )
    return str(metric) if metric is not None else None


def _read_control(section: Section, of: DatasetSpec | None) -> str | None:
    control = section.text("control", None)
    if control is None:
        for key in ("networks", "seeds", "weights_from"):
            if key in section:
                raise ConfigError(
                    f"{section.place.at(key)}: is for controls; say with 'control' what this "
                    f"sweep asks: {', '.join(CONTROLS)}"
                )
        return None
    if control not in CONTROLS:
        raise ConfigError(
            f"{section.place.at('control')} is '{control}'; {near_miss(control, list(CONTROLS))}"
            f"expected one of {', '.join(CONTROLS)}"
        )
    if of is None:
        raise ConfigError(
            f"{section.place}: a control needs 'of', the data set that it is compared with"
        )
    for needing, key in (("networks", "networks"), ("pretrained", "weights_from")):
        if control == needing and key not in section:
            raise ConfigError(f"{section.place}: the control '{control}' needs the key '{key}'")
    return str(control)


def _read_selection(section: Section) -> Selection | None:
    if "archs" not in section:
        return None
    place = section.place.at("archs")
    if isinstance(section.get("archs", (list, Mapping), _SELECTION), list):
        selection = Selection(ids=section.names("archs"))
    else:
        chosen = section.section("archs")
        chosen.only("first", "best", "worst", "quantiles", "by")
        selection = Selection(
            first=chosen.count("first", 1, 0),
            best=chosen.count("best", 0, 0),
            worst=chosen.count("worst", 0, 0),
            quantiles=_read_quantiles(chosen),
            by=chosen.text("by", ""),
        )
    by_error = bool(selection.best or selection.worst or selection.quantiles)
    ways = [selection.ids, selection.first, selection.best or selection.worst, selection.quantiles]
    if sum(map(bool, ways)) != 1 or by_error != bool(selection.by):
        raise ConfigError(f"{place}: expected {_SELECTION}")
    return selection


def _read_networks(section: Section) -> dict[str, Path]:
    """Return {name: configuration file} of hand-written networks."""
    folder = section.place.path.parent
    if isinstance(section.get("networks", (list, Mapping), "files, or {NAME: file}", []), Mapping):
        named = section.section("networks")
        for name in section.mapping("networks"):
            _check_name(name, named.place.at(str(name)))
        return {name: path_beside(folder, named.text(name)) for name in section.mapping("networks")}
    files = section.names("networks", [])
    return {Path(name).stem: path_beside(folder, name) for name in files}


def _read_quantiles(section: Section) -> tuple[float, ...]:
    values = section.get("quantiles", list, "a list of numbers from 0 to 1", [])
    for value in values:
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 1:
            raise ConfigError(
                f"{section.place.at('quantiles')} is {values}; expected numbers from 0 to 1"
            )
    return tuple(float(value) for value in values)


def _read_seeds(section: Section, least: int) -> tuple[int, ...]:
    place = section.place.at("seeds")
    seeds = section.get("seeds", (list, Mapping), _SEEDS)
    if isinstance(seeds, Mapping):
        row = section.section("seeds")
        row.only("first", "count")
        first = row.count("first", 0, 1)
        seeds = list(range(first, first + row.count("count", least)))
    if len(seeds) < least or any(type(s) is not int or s < 0 for s in seeds):
        raise ConfigError(
            f"{place} is {seeds}; expected {'two' if least == 2 else 'one'} or more whole numbers"
        )
    if len(set(seeds)) != len(seeds):
        raise ConfigError(f"{place} is {seeds}; each seed may stand there once")
    return tuple(seeds)


def _read_repeats(top: Section) -> tuple[RepeatSpec, ...]:
    contents = top.get("repeats", list, "a list of sections", [])
    sections = [Section(each, top.place.at("repeats", i)) for i, each in enumerate(contents)]
    for section in sections:
        section.only("dataset", "arch", "seeds")
    return tuple(
        RepeatSpec(section.text("dataset"), section.text("arch"), _read_seeds(section, 2))
        for section in sections
    )


def _check_name(name: Any, place: Place) -> None:
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ConfigError(
            f"{place}: {name!r} cannot name a folder; expected letters, digits, '_', '-' and '.'"
        )

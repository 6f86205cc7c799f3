"""The plan of a study: what its sweeps cost and what they lack, before anything is trained."""

import csv
import functools
import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from yacs.config import CfgNode

from pycls.core.runs.record import read_record
from pycls.schema import TIMINGS_CSV
from pycls.spaces.mixed import MixedPopulation
from pycls.study.configs import base_cfg
from pycls.study.runs import Network
from pycls.study.spec import DatasetSpec
from pycls.study.study import StudyFolder

# The published study took 85 GPU-days on Tesla V100. The images of Table 1 and the epochs of
# Table 2 make 22.9 million an architecture, test images as below; 500 of them in that time:
PUBLISHED_IMAGES_PER_SECOND = 1560.0
# Mean multiply-adds of its architectures.
PUBLISHED_FLOPS = 378.4e6
# Testing has no backward pass, which costs about twice the forward pass.
TEST_SHARE = 1 / 3
_BYTES_PER_RECORD = 250
_CFG_BYTES = 4096


@dataclass(frozen=True)
class Speed:
    """Training images a second on one GPU, and where the figure is from."""

    images_per_second: float
    source: str


@dataclass(frozen=True)
class SweepCost:
    """The cost of a sweep, and what it lacks.

    Attributes:
        sweep: its name.
        dataset: the data set that its runs read.
        runs: runs in the end.
        epochs: epochs of each.
        train_images: images on the training side.
        test_images: images on the test side.
        images: all images read in all runs: runs x epochs x (training + test side).
        gpu_hours: at `speed`, a test image at a third of a training image.
        disk_bytes: of configurations, logs and kept checkpoints.
        speed: training images a second, and where the figure is from.
        keep: CHECKPOINT.KEEP of its runs.
        exact: whether the numbers of images are more than estimates.
        missing: what has to be there before its runs can start, in words.
    """

    sweep: str
    dataset: str
    runs: int
    epochs: int
    train_images: int
    test_images: int
    images: int
    gpu_hours: float
    disk_bytes: int
    speed: Speed
    keep: str
    exact: bool
    missing: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain values, for JSON."""
        plain: dict[str, Any] = {}
        for name, value in asdict(self).items():
            if name == "speed":
                plain["images_per_second"] = value["images_per_second"]
                plain["images_per_second_from"] = value["source"]
            else:
                plain[name] = value
        return plain | {"gpu_hours": round(self.gpu_hours, 4)}


def plan_study(study: StudyFolder, images_per_second: float | None = None) -> list[SweepCost]:
    """Return what each sweep of a study takes, in the file's order.

    Args:
        study: the study; nothing of it need be prepared or written.
        images_per_second: training images a second on one GPU; None: what this study's
            finished runs took, or else its file's `images_per_second`, or else the published
            study's.
    """
    speed_of = speed_finder(study, images_per_second)
    datasets = {sweep: study.spec.dataset_of(sweep) for sweep in study.planned()}
    return [
        _plan_sweep(study, sweep, datasets[sweep], runs, speed_of(datasets[sweep]))
        for sweep, runs in study.planned().items()
    ]


def speed_finder(
    study: StudyFolder, images_per_second: float | None = None
) -> Callable[[DatasetSpec], Speed]:
    """Return a function from a data set to the speed of its runs; see :func:`plan_study`."""
    measured = {} if images_per_second else measured_speeds(study)
    return lambda dataset: measured.get(dataset.key) or _given_speed(study, images_per_second)


def run_seconds(study: StudyFolder, dataset: DatasetSpec, speed: Speed) -> float:
    """Return how long a run takes, in seconds."""
    return study.epochs(dataset) * _images_of_work(study, dataset) / speed.images_per_second


def _images_of_work(study: StudyFolder, dataset: DatasetSpec) -> float:
    """Return the training images that an epoch takes as long as."""
    facts = study.data.facts(dataset)
    return facts.train_images + TEST_SHARE * facts.test_images


def _plan_sweep(
    study: StudyFolder, sweep: str, dataset: DatasetSpec, runs: int, speed: Speed
) -> SweepCost:
    facts, epochs = study.data.facts(dataset), study.epochs(dataset)
    passes = runs * epochs
    missing = []
    if study.data.is_missing(dataset):
        missing.append(f"data set {dataset.prepared} is not prepared")
    if sweep in study.waiting:
        missing.append(f"{sweep} {study.waiting[sweep]}")
    if sweep == dataset.key:
        lacking = count_missing_weights(study, dataset)
        if lacking:
            missing.append(
                f"{lacking} of {runs} runs of {sweep} start from weights of {dataset.weights_from} "
                "that are not there yet"
            )
    return SweepCost(
        sweep=sweep,
        dataset=dataset.prepared,
        runs=runs,
        epochs=epochs,
        train_images=facts.train_images,
        test_images=facts.test_images,
        images=passes * (facts.train_images + facts.test_images),
        gpu_hours=runs * run_seconds(study, dataset, speed) / 3600,
        disk_bytes=runs * _run_bytes(study, dataset, epochs, facts.train_images),
        speed=speed,
        keep=_first_cfg(study, dataset).CHECKPOINT.KEEP,
        exact=facts.exact,
        missing=tuple(missing),
    )


def count_missing_weights(study: StudyFolder, dataset: DatasetSpec) -> int:
    """Return how many runs of a sweep wait for the end of the run that gives them weights."""
    if dataset.weights_from is None or dataset.key in study.waiting:
        return 0
    sources = [study.source_dir(run) for run in study.runs if run.sweep == dataset.key]
    records = [read_record(source) for source in sources if source is not None]
    return sum(record is None or record.get("status") != "done" for record in records)


def _given_speed(study: StudyFolder, images_per_second: float | None) -> Speed:
    if images_per_second:
        return Speed(images_per_second, "given")
    if study.spec.images_per_second:
        return Speed(study.spec.images_per_second, "the study file")
    flops = _mean_count(study, "flops")
    if math.isnan(flops):
        return Speed(
            PUBLISHED_IMAGES_PER_SECOND,
            "the published study, Tesla V100; what these networks cost is not known",
        )
    if abs(flops / PUBLISHED_FLOPS - 1) < 0.05:
        return Speed(PUBLISHED_IMAGES_PER_SECOND, "the published study, Tesla V100")
    return Speed(
        PUBLISHED_IMAGES_PER_SECOND * PUBLISHED_FLOPS / flops,
        f"the published study's {PUBLISHED_IMAGES_PER_SECOND:,.0f} on a Tesla V100, in proportion "
        f"to the multiply-adds of a network: {flops:.2g} on average here, {PUBLISHED_FLOPS:.2g} "
        "there; small networks do not keep a GPU busy and take longer",
    )


def _mean_count(study: StudyFolder, name: str) -> float:
    """Return the mean flops or params of a population's networks; NaN where none is known.

    Networks of other libraries are built to be counted, for the first of the data sets.
    """
    population = study.population
    if not isinstance(population, MixedPopulation):
        return float(getattr(population, name).mean())
    return population.mean_count(name, functools.partial(_count_foreign, study))


def _count_foreign(study: StudyFolder, network: Network) -> Mapping[str, int]:
    from pycls.models.counting import complexity

    dataset = next(iter(study.spec.datasets.values()))
    return complexity(base_cfg(study.spec, study.data, dataset, network))


def measured_speeds(study: StudyFolder) -> dict[str, Speed]:
    """Return the speed of each data set's runs that are finished and collected."""
    try:
        with (study.folder / TIMINGS_CSV).open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
    except FileNotFoundError:
        return {}
    seconds: dict[str, list[float]] = {}
    for row in rows:
        sweep = row["run"].rpartition("/")[0]
        if sweep in study.spec.datasets and row["seconds"]:
            seconds.setdefault(sweep, []).append(float(row["seconds"]))
    speeds = {}
    for key, values in seconds.items():
        dataset = study.spec.datasets[key]
        work = study.epochs(dataset) * _images_of_work(study, dataset)
        rate = len(values) * work / sum(values)
        speeds[key] = Speed(rate, f"{len(values)} finished runs")
    return speeds


def _first_cfg(study: StudyFolder, dataset: DatasetSpec) -> CfgNode:
    """Return the configuration of a sweep's runs, with the first of its networks."""
    networks = study.networks.get(dataset.key) or [study.population.row(0)]
    return base_cfg(study.spec, study.data, dataset, networks[0])


def _run_bytes(study: StudyFolder, dataset: DatasetSpec, epochs: int, train_images: int) -> int:
    """Estimate what a run leaves on disk: its configurations, log and checkpoints."""
    cfg = _first_cfg(study, dataset)
    # Weights, and what the optimizer and the average keep of each.
    copies = 2 + (cfg.OPTIM.EMA_UPDATE_PERIOD > 0)
    kept = {"all": epochs + 1, "last": 2, "none": 1}[cfg.CHECKPOINT.KEEP]
    checkpoints = int(_mean_count(study, "params")) * 4 * copies * kept
    records = epochs * (2 + train_images // cfg.TRAIN.BATCH_SIZE // cfg.LOG_PERIOD)
    return 2 * _CFG_BYTES + checkpoints + records * _BYTES_PER_RECORD

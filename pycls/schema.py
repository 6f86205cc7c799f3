"""Names that the writer of a file and its reader agree on, and the columns of their tables."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

# Files in a run's folder.
LOG_FILE = "stdout.log"
ERR_FILE = "stderr.log"
RECORD_FILE = "run.json"

# The log's record of the last test on two halves of the test images.
HALVES_KIND = "test_halves"
# Its mean of the classes' errors, where TEST.BALANCED_ERROR asks for it.
BALANCED = "balanced_err"
# Its entry of the images that the network errs on, where TEST.ANSWERS asks for it.
ANSWERS = "answers"

# Files in a study's folder.
STUDY_JSON = "study.json"
STATUS_JSON = "status.json"
RESULTS_CSV = "results.csv"
CURVES_CSV = "curves.csv"
TIMINGS_CSV = "timings.csv"
SCORES_CSV = "scores.csv"
# Files in a choice's folder: its plan, what each stage decided, the answers of the last stage's
# networks on the validation side and of the final ones on the test side, the answer, and its page.
CHOICE_PLAN = "plan.json"
CHOICE_DECISIONS = "decisions.json"
CHOICE_TEST = "test.json"
CHOICE_JSON = "choice.json"
CHOICE_PAGE = "report/index.html"
# Files in a sweep's folder: as pycls has it, and the page of its analysis.
SWEEP_JSON = "sweep.json"
ANALYSIS_HTML = "analysis.html"
# What a launch writes there, or into a study's folder: its ledger, and the threads of a run.
LAUNCH_FOLDER = "launch"
LAUNCH_JSON = "launch.json"
# Both of what a collection keeps for the next one begin so.
COLLECT_PREFIX = ".collect."

# Entries that a reader of study.json cannot do without: its own, and those of each data set.
STUDY_ENTRIES = ("name", "title", "reference", "family", "targets", "sweeps", "datasets")
DATASET_ENTRIES = ("num_classes", "error_metric")
# Entries of each failed run in status.json.
FAILURE_ENTRIES = ("run", "reason", "log_tail")

# What a run in results.csv is.
STATUSES = ("done", "failed", "missing")
# What a sweep is to the study: the population's own, one under many seeds, or an experiment.
ROLES = ("main", "repeats", "control")
# What a sweep beside the population's own asks, by the appendix of the paper that asked it.
CONTROLS: Mapping[str, str] = {
    "stem": "another stem (Figure A1)",
    "duration": "longer training from the start (Figures A1 and A2A)",
    "networks": "published networks under their own recipe (Table A1)",
    "continued": "finished runs trained further (Figure A2B)",
    "repeats": "the same architectures under many seeds (Figure A3)",
    "balanced": "classes of more even size (Figure A5)",
    "pretrained": "training from weights of another set (Figure A6)",
}

# Of one population or sweep: drawing more takes days.
MOST_NETWORKS = 10_000_000


@dataclass(frozen=True)
class Column:
    """A column of results.csv or curves.csv.

    Attributes:
        name: its name, in the first line of the file.
        kind: "text", "count" (a whole number), "number" or "percent".
        value: what stands in it, from a row's source; None leaves the cell empty. Of results.csv
            the source has `run`, `arch`, `status`, `num_classes`, `epochs`, `error_metric`, `topk`
            and, as its log has them, `complexity` and the errors after the last epoch, which are
            empty unless the run is done: `test`, `train` (the mean while training), `full` (of
            the whole training side) and `halves` (on two halves of the test side). Of curves.csv
            it has `run`, `arch`, `epoch`, `test` and `train`.
        required: whether a table without it is refused.
        always: whether it is written where it is empty in all rows.
    """

    name: str
    kind: str
    value: Callable[[Any], Any]
    required: bool = True
    always: bool = True


def _logged(record: str, name: str) -> Callable[[Any], Any]:
    """Return a function from a row's source to a value of one of its log's records."""
    return lambda row: getattr(row, record).get(name)


def _of_half(row: Any, half: int) -> Any:
    """Return the error of a row on half of its test images; None where it is not known."""
    return row.halves.get(f"half_{half}_{row.error_metric}_err")


def _structure(name: str) -> Callable[[Any], Any]:
    """Return a function to a property that only members of a population have."""
    return lambda row: getattr(row.arch, name, None)


# One row a planned run; a column is added here, and nowhere else.
RESULTS = (
    Column("run", "text", lambda row: row.run.id),
    Column("sweep", "text", lambda row: row.run.sweep),
    Column("dataset", "text", lambda row: row.run.dataset),
    Column("regime", "text", lambda row: row.run.regime),
    Column("arch", "text", lambda row: row.arch.arch),
    Column("seed", "count", lambda row: row.run.seed),
    Column("status", "text", lambda row: row.status),
    Column("num_classes", "count", lambda row: row.num_classes),
    Column("epochs", "count", lambda row: row.epochs),
    Column("error_metric", "text", lambda row: row.error_metric),
    Column("error", "percent", lambda row: row.test.get(f"{row.error_metric}_err")),
    Column("topk", "count", lambda row: row.topk),
    Column("final_top1_err", "percent", _logged("test", "top1_err")),
    Column("min_top1_err", "percent", _logged("test", "min_top1_err")),
    Column("final_topk_err", "percent", _logged("test", "top5_err")),
    Column("min_topk_err", "percent", _logged("test", "min_top5_err")),
    # On every other test image each, by the metric of `error`.
    Column("half_1_err", "percent", lambda row: _of_half(row, 1), required=False),
    Column("half_2_err", "percent", lambda row: _of_half(row, 2), required=False),
    Column("balanced_err", "percent", _logged("test", BALANCED), required=False, always=False),
    Column("final_train_top1_err", "percent", _logged("train", "top1_err")),
    Column("final_train_topk_err", "percent", _logged("train", "top5_err")),
    Column("full_train_top1_err", "percent", _logged("full", "top1_err"), required=False),
    Column("full_train_topk_err", "percent", _logged("full", "top5_err"), required=False),
    # Of the network: at the run's image size and classes, then over the stages.
    Column("flops", "count", _logged("complexity", "flops")),
    Column("params", "count", _logged("complexity", "params")),
    Column("acts", "count", _logged("complexity", "acts")),
    Column("cum_depth", "count", _structure("cum_depth")),
    Column("cum_width", "count", _structure("cum_width")),
)
# Zero-cost scores, each so that more is taken for better: column of scores.csv -> name for people.
SCORES: Mapping[str, str] = {
    "params": "parameters",
    "flops": "multiply-adds",
    "acts": "activations",
    "l2_norm": "L2 norm",
    "grad_norm": "gradient norm",
    "plain": "plain",
    "snip": "SNIP",
    "grasp": "GraSP",
    "synflow": "SynFlow",
    "fisher": "Fisher",
    "jacob_cov": "Jacobian covariance",
    "naswot": "NASWOT",
    "zen": "Zen",
    "epe_nas": "EPE-NAS",
}
# What else scores.csv has: whose score it is, and of each score that is empty, why.
SCORE_KEYS = ("dataset", "arch", "seed", "batch", "made_from")
SCORE_REASONS = "undefined"
# Columns of which results.csv has one a stage, such as depth_1; their values are sequences.
STAGES = (
    Column("depth", "count", _structure("depths")),
    Column("width", "count", _structure("widths")),
    Column("bot_mul", "number", _structure("bot_muls")),
    Column("group_w", "count", _structure("group_ws")),
)
# One row a finished run and epoch.
CURVES = (
    Column("run", "text", lambda row: row.run.id, required=False),
    Column("sweep", "text", lambda row: row.run.sweep),
    Column("arch", "text", lambda row: row.arch.arch),
    Column("seed", "count", lambda row: row.run.seed),
    Column("epoch", "count", lambda row: row.epoch),
    Column("test_top1_err", "percent", _logged("test", "top1_err")),
    Column("test_topk_err", "percent", _logged("test", "top5_err")),
    Column("train_top1_err", "percent", _logged("train", "top1_err")),
    Column("train_topk_err", "percent", _logged("train", "top5_err")),
)

# The variable that says where a node has room for copies of prepared sets.
STAGE_VARIABLE = "PYCLS_STAGE"

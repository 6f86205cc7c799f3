"""Names that the two sides of a file agree on: who writes it and who reads it."""

from collections.abc import Mapping

# Files in a run's folder.
LOG_FILE = "stdout.log"
ERR_FILE = "stderr.log"
RECORD_FILE = "run.json"

# Files in a study's folder.
STUDY_JSON = "study.json"
STATUS_JSON = "status.json"
RESULTS_CSV = "results.csv"
CURVES_CSV = "curves.csv"
TIMINGS_CSV = "timings.csv"
# File in a sweep's folder, as pycls has it.
SWEEP_JSON = "sweep.json"

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

"""The analysis of a study's results: statistics, figures, tables and a report.

Reads files and imports neither torch nor the rest of the package, so that results can be
analysed where nothing was trained.
"""

from pycls.front_door import front_door

__getattr__, __all__ = front_door(
    __name__,
    {
        "load_results": "pycls.analysis.inputs.results_csv",
        "load_study": "pycls.analysis.inputs.study_json",
    },
)

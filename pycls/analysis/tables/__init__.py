"""The tables of a study."""

from pycls.front_door import front_door

__getattr__, __all__ = front_door(
    __name__,
    {
        "rho_table": "pycls.analysis.tables.study_tables",
        "structure_table": "pycls.analysis.tables.study_tables",
        "pair_table": "pycls.analysis.tables.study_tables",
        "dataset_table": "pycls.analysis.tables.study_tables",
        "noise_table": "pycls.analysis.tables.study_tables",
        "correlation_of": "pycls.analysis.statistics.correlation",
        "difference_of": "pycls.analysis.statistics.dependent",
        "table_text": "pycls.analysis.tables.study_tables",
        "write_table": "pycls.analysis.tables.study_tables",
        "correlation_columns": "pycls.analysis.statistics.correlation",
    },
)

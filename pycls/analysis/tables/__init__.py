"""The tables of a study, each a DataFrame."""

from pycls.front_door import front_door

_NAMES = {
    "statistics.correlation": "correlation_columns correlation_of",
    "statistics.dependent": "difference_columns difference_of",
    "tables.study_tables": "rho_table structure_table pair_table dataset_table noise_table "
    "table_text write_table",
}
__getattr__, __all__ = front_door(
    __name__,
    {
        name: f"pycls.analysis.{module}"
        for module, names in _NAMES.items()
        for name in names.split()
    },
)

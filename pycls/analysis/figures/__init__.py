"""The figures of a study: each is drawn in one place, for the report and for a paper."""

from pycls.front_door import front_door

_NAMES = {
    "layout": "COLUMN PAGE",
    "panels": "add_scatter_legend draw_scatter draw_strip highlighted scatter_panel",
    "population": "edf_figure family_figure member_figure noise_figure reference_figure "
    "scatter_figure structure_figure",
    "style": "save_figure",
}
__getattr__, __all__ = front_door(
    __name__,
    {name: f"{__name__}.{module}" for module, names in _NAMES.items() for name in names.split()},
)

"""The figures of a study: each is drawn in one place, for the report and for a paper."""

from pycls.front_door import front_door

__getattr__, __all__ = front_door(
    __name__,
    {
        "COLUMN": "pycls.analysis.figures.layout",
        "PAGE": "pycls.analysis.figures.layout",
        "edf_figure": "pycls.analysis.figures.population",
        "family_figure": "pycls.analysis.figures.population",
        "member_figure": "pycls.analysis.figures.population",
        "noise_figure": "pycls.analysis.figures.population",
        "reference_figure": "pycls.analysis.figures.population",
        "scatter_figure": "pycls.analysis.figures.population",
        "structure_figure": "pycls.analysis.figures.population",
        "add_scatter_legend": "pycls.analysis.figures.panels",
        "draw_scatter": "pycls.analysis.figures.panels",
        "draw_strip": "pycls.analysis.figures.panels",
        "highlighted": "pycls.analysis.figures.panels",
        "scatter_panel": "pycls.analysis.figures.panels",
        "save_figure": "pycls.analysis.figures.style",
    },
)

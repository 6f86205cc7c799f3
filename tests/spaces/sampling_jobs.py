"""What the tests of start methods run in child processes."""

from pycls.spaces.by_name import make_space
from pycls.sweep.samplers import build_sampler, draw_rows


def sample_text(arguments):
    """Return the table of a population."""
    name, options, bounds = arguments
    return make_space(name, **options).sample(10, 7, **bounds).to_csv_text()


def draw_part(start):
    """Return some rows of a sampler, as text."""
    sampler = build_sampler("REGNET", {"TYPE": "regnet_sampler"}, "")
    drawn = draw_rows([sampler], 5, start, 25)
    return repr({key: array.tolist() for key, array in drawn.items()})

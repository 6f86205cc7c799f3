"""What users' scripts and notebooks import stays where docs and notebooks say it is."""

import importlib

import pytest

PUBLIC = {
    "pycls.core.config": {"load_cfg"},
    "pycls.core.trainer": {"train_model"},
    "pycls.models": {"build_model", "complexity", "list_models", "regnetx", "anynet", "vit"},
    "pycls.datasets": {"open_dataset"},
    "pycls.spaces": {"AnyNetX", "RegNetX", "Population", "make_space", "read_population"},
    "pycls.analysis": {"load_results", "load_study"},
    "pycls.analysis.statistics": {"spearman", "kendall", "compare_rhos", "noise_ceiling", "regret"},
    "pycls.analysis.figures": {"scatter_figure", "edf_figure", "reference_figure", "save_figure"},
    "pycls.analysis.tables": {"rho_table", "noise_table", "write_table"},
}


@pytest.mark.parametrize("module", PUBLIC)
def test_public_names_are_there(module):
    found = importlib.import_module(module)
    names = PUBLIC[module] | set(getattr(found, "__all__", ()))
    assert all(callable(getattr(found, name)) or name.isupper() for name in names)


@pytest.mark.parametrize("module", [name for name in PUBLIC if name != "pycls.core.trainer"])
def test_a_name_that_is_not_there_is_named(module):
    found = importlib.import_module(module)
    with pytest.raises(AttributeError, match=f"'{module}' has no attribute 'nothing'"):
        _ = found.nothing
    with pytest.raises(ImportError):
        exec(f"from {module} import nothing")


def test_a_population_is_drawn_from_the_front_door():
    from pycls.spaces import AnyNetX

    population = AnyNetX().sample(3, seed=1, flops=(300e6, 400e6))
    assert len(population) == 3
    assert all(300e6 <= flops <= 400e6 for flops in population.flops)

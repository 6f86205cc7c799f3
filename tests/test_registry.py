"""Objects found by name in a table of places."""

import math

import pytest

from pycls.errors import ConfigError
from pycls.registry import Registry, import_object


def test_a_place_is_a_module_and_an_attribute():
    assert import_object("math:pi") is math.pi


def test_a_name_is_imported_when_it_is_asked_for():
    table = Registry("constant", {"pi": "math:pi", "broken": "no.such.module:pi"})
    assert list(table) == ["pi", "broken"]
    assert table.load("pi") is math.pi
    with pytest.raises(ModuleNotFoundError):
        table.load("broken")


def test_an_unknown_name_is_refused_with_those_there_are():
    table = Registry("constant", {"pi": "math:pi", "e": "math:e"})
    with pytest.raises(ConfigError, match=r"^no constant 'tau'; there are: pi, e$"):
        table.load("tau")


def test_a_table_can_be_added_to():
    table = Registry("constant", {})
    table["tau"] = "math:tau"
    assert table.load("tau") is math.tau

"""What the documentation's site is made of; MkDocs itself checks the rest in `make docs`."""

import importlib.util
import re
import shutil
from pathlib import Path

import pytest
import yaml

from pycls.command_names import TOOLS

ROOT = Path(__file__).resolve().parents[2]
MADE = {"index.md", "gallery.md", "commands.md", "api.md", "CONTRIBUTING.md", "CHANGELOG.md"}


@pytest.fixture(scope="module")
def make_docs():
    spec = importlib.util.spec_from_file_location("make_docs", ROOT / "dev" / "make_docs.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def leaves(nav):
    for entry in nav:
        if isinstance(entry, str):
            yield entry
            continue
        (below,) = entry.values()
        yield from leaves(below if isinstance(below, list) else [below])


def test_every_page_is_found_from_the_contents():
    found = set(leaves(yaml.safe_load((ROOT / "mkdocs.yml").read_text())["nav"]))
    pages = {str(path.relative_to(ROOT / "docs")) for path in (ROOT / "docs").rglob("*.md")}
    sets = {page for page in pages if page.startswith("datasets/")} - {"datasets/README.md"}
    books = {f"notebooks/{path.name}" for path in (ROOT / "sweeps/notebooks").glob("*.ipynb")}
    assert found == (pages - sets) | MADE | books
    listed = (ROOT / "docs" / "datasets" / "README.md").read_text()
    assert all(f"]({page.removeprefix('datasets/')}" in listed for page in sets)


@pytest.mark.slow
def test_commands_are_shown_with_those_within_them(make_docs, monkeypatch):
    monkeypatch.setenv("COLUMNS", "90")
    monkeypatch.setattr("sys.argv", ["make_docs"])
    page = make_docs._commands_page()
    for command in TOOLS.values():
        assert f"\n## {command}\n" in page
        assert f"usage: {command}" in page or command == "pycls-sweep-launch"
    for name in ("study plan", "study launch", "data prepare", "data info"):
        assert f"\n### pycls-{name}\n" in page
    assert "tools/" not in re.sub(r"`tools/\w+\.py` in a checkout", "", page)


@pytest.mark.slow
def test_the_library_is_shown_name_by_name(make_docs):
    page = make_docs._api_page()
    for name in ("load_cfg", "regnetx", "open_dataset", "AnyNetX", "load_results", "spearman"):
        assert re.search(rf"^::: pycls\.\S+\.{name}$", page, re.M), name


def test_links_hold_in_the_site(make_docs, monkeypatch, tmp_path):
    monkeypatch.setattr(make_docs, "PAGES", tmp_path)
    (tmp_path / "datasets").mkdir()
    shutil.copy(ROOT / "README.md", tmp_path / "index.md")
    text = make_docs._with_links(tmp_path / "index.md")
    assert "](studies.md)" in text
    assert "](docs/" not in text
    assert "](pictures/report.png)" in text
    assert "`CITATION.cff`" in text
    page = tmp_path / "datasets" / "own.md"
    page.write_text("[a](README.md#x), [b](../../sweeps/embedded.yaml), [c](https://a.b/c)")
    shown = "[a](README.md#x), `sweeps/embedded.yaml`, [c](https://a.b/c)"
    assert make_docs._with_links(page) == shown

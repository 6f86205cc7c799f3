"""Builds the documentation's site: README, docs/, reference, gallery, executed notebooks.

    python dev/make_docs.py [--studies studies]

Lays the pages out in build/docs and lets MkDocs make site/ of them, strictly: a link or an anchor
that leads nowhere is an error, and so is what would be fetched from elsewhere. Figures of the
gallery are drawn from the published study, simulated (trained it takes 2,000 GPU-hours); notebooks
run on the studies of --studies, and on simulated ones where they are not there.
"""

import argparse
import contextlib
import io
import os
import re
import shutil
import subprocess
import sys
import tempfile
from importlib import import_module
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGES = ROOT / "build" / "docs"
SITE = ROOT / "site"
TOP = ("CHANGELOG.md", "CONTRIBUTING.md")
# The packages that a user's script imports; what they offer is in their __all__.
PUBLIC = (
    "pycls.models", "pycls.datasets", "pycls.spaces", "pycls.core.config", "pycls.analysis",
    "pycls.analysis.statistics", "pycls.analysis.figures", "pycls.analysis.tables",
)  # fmt: skip
# Docstrings mark names as Sphinx does; the site shows them as code.
_ROLE = re.compile(r":(?:class|func|meth|mod|attr):(?=<code>)|(?<=<code>)~(?=pycls)")
# What a browser would fetch from elsewhere to show a page.
_FOREIGN = re.compile(r"<(?:script|link|img)\b[^>]*\b(?:src|href)=\"?https?://[^>]*")
_LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)\s]+)\)")


def main() -> None:
    """Lay the pages out and build the site."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--studies", type=Path, default=ROOT / "studies")
    args = parser.parse_args()
    for folder in ("tests", "tests/analysis"):
        sys.path.insert(0, str(ROOT / folder))
    shutil.rmtree(PAGES, ignore_errors=True)
    shutil.copytree(ROOT / "docs", PAGES)
    for name in TOP:
        shutil.copy(ROOT / name, PAGES)
    shutil.copy(ROOT / "README.md", PAGES / "index.md")
    for page in PAGES.rglob("*.md"):
        page.write_text(_with_links(page), encoding="utf-8")
    (PAGES / "commands.md").write_text(_commands_page(), encoding="utf-8")
    (PAGES / "api.md").write_text(_api_page(), encoding="utf-8")
    _draw_gallery(PAGES)
    _run_notebooks(PAGES / "notebooks", args.studies)
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--quiet", "--clean"], cwd=ROOT, env=environment
    )
    if done.returncode:
        sys.exit("the site was not built")
    for page in SITE.rglob("*.html"):
        text = _ROLE.sub("", page.read_text(encoding="utf-8"))
        page.write_text(text, encoding="utf-8")
        if foreign := _FOREIGN.search(text):
            sys.exit(f"{page}: needs a network: {foreign[0]}")
    print(SITE / "index.html")


def _with_links(page: Path) -> str:
    """Return a page's text with links that hold in the site; files of the code become names."""
    at_home = ROOT / "docs" / page.relative_to(PAGES)
    if page.parent == PAGES and (page.name in TOP or page.name == "index.md"):
        at_home = ROOT / ("README.md" if page.name == "index.md" else page.name)

    def replace(found: re.Match[str]) -> str:
        mark, text, link = found.groups()
        place, _, anchor = link.partition("#")
        if not place or re.match(r"[a-z]+:", link):
            return found[0]
        target = (at_home.parent / place).resolve()
        if target == ROOT / "README.md":
            inside = PAGES / "index.md"
        elif target.is_relative_to(ROOT / "docs"):
            inside = PAGES / target.relative_to(ROOT / "docs")
            inside = inside / "README.md" if target.is_dir() else inside
        elif target.name in TOP and target.parent == ROOT:
            inside = PAGES / target.name
        else:
            return f"`{target.relative_to(ROOT)}`"
        new = os.path.relpath(inside, page.parent)
        return f"{mark}[{text}]({new}{'#' * bool(anchor)}{anchor})"

    return _LINK.sub(replace, page.read_text(encoding="utf-8"))


def _commands_page() -> str:
    """Return what --help of every command says."""
    from pycls.command_names import TOOLS

    parts = [
        "# Commands\n\nEach is a command of an installation (`pip install`) and, with the same "
        "options, a file of a checkout.\n"
    ]
    for tool, command in TOOLS.items():
        sys.argv = [command, "--help"]
        parts.append(
            f"\n## {command}\n\n`tools/{tool}.py` in a checkout.\n\n```text\n{_help(tool)}```\n"
        )
        for name in _subcommands(tool):
            sys.argv = [command, name, "--help"]
            parts.append(f"\n### {command} {name}\n\n```text\n{_help(tool)}```\n")
    return "".join(parts)


def _help(tool: str) -> str:
    os.environ["COLUMNS"] = "90"
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.suppress(SystemExit):
        import_module(f"pycls.commands.{tool}").main()
    return printed.getvalue()


def _subcommands(tool: str) -> list[str]:
    """Return the commands within a command, as its help lists them."""
    sys.argv = ["x", "--help"]
    text = _help(tool)
    listed = re.search(r"\{([a-z_,]+)\}", text.partition("\n\n")[0])
    if listed:
        return listed[1].split(",")
    return re.findall(r"^    ([a-z]+)  ", text.partition("COMMAND\n")[2], re.M)


def _api_page() -> str:
    """Return the reference of what the public packages offer, for mkdocstrings to fill."""
    parts = ["# Library\n\nWhat is imported from these packages is imported on first use.\n"]
    for package in PUBLIC:
        module = import_module(package)
        text = (module.__doc__ or "").strip()
        parts.append(f"\n## {package}\n\n{text}\n")
        for name in module.__all__:
            thing = getattr(module, name)
            home = getattr(thing, "__module__", None)
            if callable(thing) and home and home.startswith("pycls."):
                parts.append(f"\n::: {home}.{thing.__name__}\n")
    return "".join(parts)


def _draw_gallery(pages: Path) -> None:
    """Draw every figure of the catalogue from the published study, simulated."""
    from simulated_study import write_collection

    from pycls.analysis.paper.outputs import OUTPUTS
    from pycls.analysis.paper.write import write_outputs

    folder = pages / "gallery"
    folder.mkdir()
    parts = [
        "# Gallery\n\nEvery figure that `tools/figures.py` draws, here of the published study "
        "simulated: errors drawn so that their rank correlations are the published ones. "
        "[What each needs](figures.md).\n"
    ]
    with tempfile.TemporaryDirectory() as work:
        study = write_collection(Path(work))
        drawn = write_outputs(study, folder, [], ["svg"])
    for each in drawn:
        output = OUTPUTS[each.key]
        pictures = [path for path in each.paths if path.suffix == ".svg"]
        for path in {*each.paths} - {*pictures}:
            path.unlink()
        if pictures:
            parts.append(f"\n## {output.title}\n\n`{each.key}`\n\n")
            parts += [f"![{output.title}](gallery/{path.name})\n" for path in pictures]
    (pages / "gallery.md").write_text("".join(parts), encoding="utf-8")


def _run_notebooks(folder: Path, studies: Path) -> None:
    import nbformat
    from notebooks import NOTEBOOKS, execute, lay_out

    folder.mkdir()
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        lay_out(work / "clone", studies if studies.is_dir() else None)
        for path in NOTEBOOKS:
            notebook = execute(work / "clone" / path.relative_to(ROOT), work)
            nbformat.write(notebook, folder / path.name)


if __name__ == "__main__":
    main()

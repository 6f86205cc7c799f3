"""The pages of the documentation, and what their blocks hold."""

import re
from pathlib import Path

from pycls.command_names import TOOLS

ROOT = Path(__file__).resolve().parents[2]
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
]
COMMAND = re.compile(r"(?:(?:\.venv/bin/)?python )?tools/(\w+)\.py|(pycls-[a-z-]+)")
BLOCK = re.compile(r"^```([^\n]*)\n(.*?)^```$", re.M | re.S)


def name_of(page):
    return page.relative_to(ROOT / "docs" if page.is_relative_to(ROOT / "docs") else ROOT)


def blocks(page, *languages):
    return [text for language, text in BLOCK.findall(page.read_text()) if language in languages]


def lines_of(page):
    """Yield the command lines of a page, continued lines joined, without remarks."""
    for text in blocks(page, "", "bash", "sh"):
        for line in text.replace("\\\n", " ").splitlines():
            command = re.sub(r"\s+#.*$", "", line).strip()
            if command and not command.startswith("#"):
                yield command


def commands_of(page):
    return [line for line in lines_of(page) if COMMAND.match(line)]


def tool_of(line):
    found = COMMAND.match(line)
    return found[1] or next(tool for tool, name in TOOLS.items() if name == found[2])

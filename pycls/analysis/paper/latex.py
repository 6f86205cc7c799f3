"""Tables in LaTeX (package booktabs)."""

from collections.abc import Sequence

import pandas as pd

from pycls.errors import ConfigError

# A column of the paper and its page are so wide, in mm; so much takes a character of ten points, as
# digits and lower-case letters of Computer Modern do, and the room between two columns of a table.
_COLUMN, _PAGE, _CHARACTER, _GAP = 85, 178, 1.7, 4.2
_ESCAPES = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "\N{MINUS SIGN}": r"$-$",
    "\N{GREEK SMALL LETTER RHO}": r"$\rho$",
    "\N{EN DASH}": r"--",
    "\N{MULTIPLICATION SIGN}": r"$\times$",
    "\N{HORIZONTAL ELLIPSIS}": r"\ldots{}",
    "\n": " ",
}


def escape(text: str) -> str:
    """Return a text for LaTeX: every character that means something there is escaped."""
    return "".join(_ESCAPES.get(character, character) for character in text)


def latex_table(
    texts: pd.DataFrame, caption: str, label: str, rules: Sequence[int] = (), align: str = ""
) -> str:
    r"""Return a table of texts as a LaTeX `table`, to be included with `\input`.

    One that is wider than a column of the paper goes over both, and is set in small type where it
    is wider than the page.

    Args:
        texts: cells as they are read; the columns' names are the head.
        caption: plain text.
        label: for `\ref`, such as "tab:3".
        rules: rows before which there is a rule, counted from 0.
        align: a letter a column, l, r or c; by default the first left and the others right.

    Raises:
        ConfigError: `align` does not fit the columns.
    """
    columns = len(texts.columns)
    align = align or "l" + "r" * (columns - 1)
    if len(align) != columns or set(align) - set("lrc"):
        raise ConfigError(f"align '{align}': expected l, r or c for each of {columns} columns")
    width = _width(texts)
    kind = "table*" if width > _COLUMN else "table"
    small = [r"  \footnotesize", r"  \setlength{\tabcolsep}{4pt}"] if width > _PAGE else []
    lines = [
        r"% \usepackage{booktabs}",
        rf"\begin{{{kind}}}",
        r"  \centering",
        *small,
        rf"  \caption{{{escape(caption)}}}",
        rf"  \label{{{label}}}",
        rf"  \begin{{tabular}}{{{align}}}",
        r"    \toprule",
        _row(list(texts.columns)),
        r"    \midrule",
    ]
    for place, cells in enumerate(texts.itertuples(index=False)):
        if place in rules:
            lines.append(r"    \midrule")
        lines.append(_row(cells))
    return "\n".join([*lines, r"    \bottomrule", r"  \end{tabular}", rf"\end{{{kind}}}", ""])


def _width(texts: pd.DataFrame) -> float:
    """Return about how wide a table is in mm, in letters of ten points."""
    longest = (max(len(str(cell)) for cell in (name, *texts[name])) for name in texts)
    return sum(_CHARACTER * length + _GAP for length in longest)


def _row(cells: Sequence[object]) -> str:
    # A bracket after the row's end would be read as its argument.
    texts = [escape(str(cell)) for cell in cells]
    texts = [f"{{{text}}}" if text.startswith("[") else text for text in texts]
    return f"    {' & '.join(texts)} \\\\"

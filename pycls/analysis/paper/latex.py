"""Tables in LaTeX (package booktabs)."""

from collections.abc import Sequence

import pandas as pd

from pycls.errors import ConfigError

_NARROW = 5  # columns; a wider table goes over both columns of the page
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
    kind = "table*" if columns > _NARROW else "table"
    # A page is 178 mm wide: seven columns with intervals need small type.
    small = [r"  \footnotesize", r"  \setlength{\tabcolsep}{4pt}"] if columns > _NARROW else []
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


def _row(cells: Sequence[object]) -> str:
    # A bracket after the row's end would be read as its argument.
    texts = [escape(str(cell)) for cell in cells]
    texts = [f"{{{text}}}" if text.startswith("[") else text for text in texts]
    return f"    {' & '.join(texts)} \\\\"

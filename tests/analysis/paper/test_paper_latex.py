import re

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pycls.analysis.paper.latex import escape, latex_table
from pycls.analysis.wording import DASH, MINUS, RHO
from pycls.errors import ConfigError

TIMES = "\N{MULTIPLICATION SIGN}"
COMMANDS = {
    r"\textbackslash{}": "\\", r"\textasciitilde{}": "~", r"\textasciicircum{}": "^",
    r"\textless{}": "<", r"\textgreater{}": ">", r"\textbar{}": "|",
    r"\&": "&", r"\%": "%", r"\$": "$", r"\#": "#", r"\_": "_", r"\{": "{", r"\}": "}",
}  # fmt: skip


@given(st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=40))
def test_escaped_text_reads_as_it_was(text):
    pattern = "|".join(re.escape(command) for command in COMMANDS)
    escaped = escape(text)
    assert re.sub(pattern, lambda found: COMMANDS[found[0]], escaped) == text
    assert not re.search(r"[&%$#_{}~^\\]", re.sub(pattern, "", escaped))


def test_signs_of_the_figures():
    assert (
        escape(f"{RHO} = {MINUS}0.44, 3 {TIMES} 3 {DASH} \u2026")
        == r"$\rho$ = $-$0.44, 3 $\times$ 3 -- \ldots{}"
    )


def test_table_by_hand():
    texts = pd.DataFrame(
        {"Set": ["A_1", "Average"], f"{RHO} (95 %)": [f"{MINUS}0.10 [{MINUS}0.2, 0]", "0.3"]}
    )
    assert latex_table(texts, "A & B", "tab:3", rules=(1,)).splitlines() == [
        r"% \usepackage{booktabs}",
        r"\begin{table}",
        r"  \centering",
        r"  \caption{A \& B}",
        r"  \label{tab:3}",
        r"  \begin{tabular}{lr}",
        r"    \toprule",
        r"    Set & $\rho$ (95 \%) \\",
        r"    \midrule",
        r"    A\_1 & $-$0.10 [$-$0.2, 0] \\",
        r"    \midrule",
        r"    Average & 0.3 \\",
        r"    \bottomrule",
        r"  \end{tabular}",
        r"\end{table}",
    ]


def test_row_that_begins_with_a_bracket_is_no_argument_of_the_row_before():
    assert "{[1, 2]}" in latex_table(pd.DataFrame({"a": ["[1, 2]"]}), "", "tab:x")


def test_wide_tables_go_over_the_page_and_wider_ones_are_small():
    interval = f"{MINUS}0.437 [{MINUS}0.51, {MINUS}0.36]"
    kinds = []
    for columns in (6, 3, 7):
        text = "0.1" if columns == 6 else interval
        table = latex_table(pd.DataFrame([[text] * columns], columns=range(columns)), "", "tab:x")
        kinds.append((r"\begin{table*}" in table, r"\footnotesize" in table))
    assert kinds == [(False, False), (True, False), (True, True)]


def test_wrong_alignment_is_refused():
    with pytest.raises(ConfigError, match="each of 1 columns"):
        latex_table(pd.DataFrame({"a": ["x"]}), "", "tab:x", align="lr")

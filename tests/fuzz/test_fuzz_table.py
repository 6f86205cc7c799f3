import gzip

import pytest
from fuzzing import fuzzed, read_or_refused
from hypothesis import given
from hypothesis import strategies as st

from pycls.analysis.any_table.read import read_table
from pycls.analysis.any_table.rows import Request

NAMES = st.sampled_from(
    ["arch", "model", "imagenet", "cifar", "top1", "top1_err", "acc (%)", "params", "seed",
     "is_train",
     "dataset", "mean", "", " ", "caf\u00e9", "cafe\u0301", "#", "Unnamed: 0", "flowers"]
)  # fmt: skip
CELLS = st.sampled_from(
    ["12.5", "45,2", "45.2±0.3", "45.2 (0.3)", "0.761", "93.2 %", "-", "nan", "1e999",
     "1,234.5", "\N{MINUS SIGN}3",
     "net", "=1+1", '"', "inf", "9" * 400, "12:00", "0x10", "1e-3", "NA", "?", "imagenet", "cifar",
     "True", "±", "(", "", "60G", "12.5M", "---", "a|b", "\u00a05", "٣"]
) | st.floats(0, 100).map("{:.4g}".format) | st.text(max_size=4)  # fmt: skip
TABLES = st.integers(1, 6).flatmap(
    lambda width: st.tuples(
        st.lists(NAMES | st.text(max_size=3), min_size=width, max_size=width),
        st.lists(st.lists(CELLS, min_size=width, max_size=width), max_size=7),
    )
)


def pack(text, encoding):
    data = text.encode(encoding.removesuffix("+gzip"), "replace")
    return gzip.compress(data) if encoding.endswith("+gzip") else data


@pytest.mark.filterwarnings("ignore")
@fuzzed
@given(
    TABLES, st.sampled_from([",", ";", "\t", "|", " ", "; ", ":"]),
    st.sampled_from(["\n", "\r\n", "\r"]),
    st.sampled_from(
        ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32", "latin-1", "cp1252", "utf-8+gzip"]
    ),
    st.sampled_from(["errors", "accuracies", None]), st.sampled_from(["percent", "fraction", None]),
    st.sampled_from(["wide", "long", None]), st.integers(0, 60), st.integers(0, 3), st.booleans(),
)  # fmt: skip
def test_any_table(
    any_path, table, delimiter, end, encoding, kind, unit, layout, place, cut, repeats
):  # fmt: skip
    header, rows = table
    text = end.join(delimiter.join(row) for row in [header, *rows]) + end
    place *= cut > 0
    text = text[:place] + text[place + cut :]
    any_path.write_bytes(pack(text, encoding))
    reference = header[-1].strip() or "imagenet"
    request = Request(reference, kind=kind, unit=unit, layout=layout, average_repeats=repeats)
    with read_or_refused(any_path):
        read_table(any_path, request)

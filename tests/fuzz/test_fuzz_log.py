from fuzzing import fuzzed, read_or_refused
from hypothesis import given
from hypothesis import strategies as st

from pycls.results.log_cache import LogCache

RECORD = (
    b'[a.py: 1]: json_stats: {"_type": "test_epoch", "epoch": "%d/4", "min_top1_err": 5.0, '
    b'"top1_err": 5.0}\n'
)
OTHERS = (
    b"\x1b[32m", b"\x1b[0m", b"\r 5%|# | 1/20", b"\n", b"\0" * 7, b"slurmstepd: error: x\n",
    b"NaN", b'json_stats: {"_type": "test_epoch", ', b"{", b"}", b'"', b"\xff\xfe",
    b"[b.py: 2]: json_st",
)  # fmt: skip


@fuzzed
@given(
    st.lists(st.integers(1, 4) | st.sampled_from(OTHERS) | st.binary(max_size=9), max_size=9),
    st.integers(0, 400), st.sampled_from([0, 0, 7, 40]),
    st.sampled_from(["utf-8", "utf-16", "utf-16-be"]),
)  # fmt: skip
def test_any_log(any_path, parts, place, cut, encoding):
    data = b"".join(RECORD % part if isinstance(part, int) else part for part in parts)
    data = data[:place] + data[place + cut :]
    any_path.write_bytes(data if encoding == "utf-8" else data.decode("latin-1").encode(encoding))
    cache = LogCache(any_path.with_name("cache"), owner="fuzz")
    with read_or_refused(any_path):
        cache.read({"a": any_path})
        found = cache.entries["a"].data()
    if all(isinstance(part, int) for part in parts) and not cut:
        assert found.test.keys() == set(parts)

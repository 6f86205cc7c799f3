import pytest
import yaml
from fuzzing import fuzzed, read_or_refused
from hypothesis import given
from hypothesis import strategies as st

from pycls.core.config.load import load_cfg
from pycls.study.file import load_study_file
from pycls.sweep.file import load_sweep_cfg

SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8), st.dates(),
    st.sampled_from(["12:00:00", "1-00:00:00", "010", "yes", "~", "1e400", "60G", "auto", "./x"]),
)  # fmt: skip
KEYS = st.sampled_from(
    ["MODEL", "OPTIM", "TYPE", "BASE_LR", "RNG_SEED", "OUT_DIR", "DATA", "DIR", "CLASSES", "SETUP",
     "optim", "ANYNET", "DEPTHS", "LAUNCH", "TIME_LIMIT", "MEM_PER_GPU", "TRAIN", "CLASS_WEIGHTS",
     "NAME", "NUM_CONFIGS", "SAMPLERS", "BASE_CFG", "population", "datasets", "name", "family",
     "reference", "regimes"]
)  # fmt: skip
TREES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS | SCALARS, inner, max_size=4),
    max_leaves=8,
)


@pytest.mark.filterwarnings("ignore")
@fuzzed
@given(TREES, st.text(max_size=3), st.integers(0, 200), st.sampled_from(["utf-8", "utf-16"]))
def test_any_configuration(any_path, tree, junk, place, encoding):
    text = yaml.safe_dump(tree, allow_unicode=True)
    place = min(place, len(text))
    any_path.write_bytes((text[:place] + junk + text[place:]).encode(encoding, "surrogatepass"))
    for read in (load_cfg, load_study_file, load_sweep_cfg):
        with read_or_refused(any_path):
            read(any_path)

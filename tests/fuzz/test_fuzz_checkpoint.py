import pytest
import torch
from fuzzing import fuzzed, read_or_refused
from hypothesis import given
from hypothesis import strategies as st
from weight_files import NET, safetensors

from pycls.core.config.load import load_cfg
from pycls.core.weights.weights import load_weights_into, read_weights
from pycls.models.builders import build_model

SWAPS = st.sampled_from(
    [
        b"",
        b"<html>",
        b"\x1f\x8b",
        b"PK\x03\x04",
        b"\0" * 8,
        b"version https://git-lfs",
        b"\x80\x02}",
    ]
)
EDITS = st.tuples(SWAPS | st.binary(max_size=20), st.floats(0, 1))


@pytest.fixture(scope="module")
def network():
    return build_model(load_cfg(None, NET))


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory, network):
    folder, state = tmp_path_factory.mktemp("checkpoints"), network.state_dict()
    torch.save({"model_state": state, "epoch": 3}, folder / "archive")
    torch.save({f"module._orig_mod.{k}": v for k, v in state.items()}, folder / "bare")
    torch.save(torch.zeros(3), folder / "tensor")
    (folder / "safetensors").write_bytes(safetensors(state))
    old = {"_use_new_zipfile_serialization": False}
    torch.save({"model_state": {"a": torch.zeros(2)}}, folder / "old", **old)
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.filterwarnings("ignore")
@fuzzed
@given(
    st.sampled_from(["archive", "bare", "tensor", "safetensors", "old"]),
    st.lists(EDITS, max_size=3), st.booleans(), st.floats(0, 1),
)  # fmt: skip
def test_any_checkpoint(any_path, network, checkpoints, form, edits, at, share):
    data = checkpoints[form]
    for junk, place in edits:
        # Headers are at the beginning, those of archives at the end too.
        start = int(place * len(data)) if at else int(place * 200)
        data = data[:start] + junk + data[start + len(junk) :]
    any_path.write_bytes(data[: int(len(data) * share * 2)] if share < 0.5 else data)
    with read_or_refused(any_path):
        load_weights_into(network, read_weights(any_path), replace_head=True)

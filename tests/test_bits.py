"""Truth values as text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pycls.bits import pack_bits, unpack_bits


@given(st.lists(st.booleans(), max_size=70))
def test_what_is_packed_comes_back(values):
    assert unpack_bits(pack_bits(values), len(values)).tolist() == values


@pytest.mark.parametrize("n", [0, 8, 17, 1000])
def test_another_number_of_values_is_refused(n):
    with pytest.raises(ValueError, match="expected those of"):
        unpack_bits(pack_bits([True] * 9), n)

"""Parameters survive their document, and a broken one is refused."""

from __future__ import annotations

import numpy as np
import pytest

from specs.errors import InputError
from specs.learned_model import Weights, packed, unpacked


def test_parameters_come_back_as_they_were() -> None:
    arrays = [np.arange(6.0).reshape(2, 3), np.array([-0.5])]
    for before, after in zip(arrays, unpacked(packed(arrays)), strict=True):
        assert after.tolist() == before.tolist()


@pytest.mark.parametrize("text", ["AAAA", "not base64!"])
def test_parameters_that_do_not_fill_their_shape_are_refused(text: str) -> None:
    with pytest.raises(InputError, match="weights"):
        unpacked([Weights(shape=(2, 2), float32=text)])

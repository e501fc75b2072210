"""The curve of a step model may fall where kernels change with the batch, and nowhere else."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from specs.engine import StepModel


@pytest.mark.parametrize(
    ("tokens", "tokens_s", "falls"),
    [
        ((0, 1, 2, 4, 16, 32), (0, 0.002, 0.003, 0.001, 0.002, 0.002), False),
        ((0, 16, 32), (0, 0.002, 0.001), True),
        ((0, 8, 32), (0, 0.002, 0.001), True),  # across 16 tokens
        ((0, 32, 64), (0, 0.002, 0.001), True),
    ],
)
def test_a_curve_may_fall_up_to_sixteen_tokens(
    tokens: tuple[int, ...], tokens_s: tuple[float, ...], falls: bool
) -> None:
    if falls:
        with pytest.raises(ValidationError, match="tokens_s must not fall beyond 16 tokens"):
            StepModel(base_s=0.01, tokens=tokens, tokens_s=tokens_s)
    else:
        assert StepModel(base_s=0.01, tokens=tokens, tokens_s=tokens_s).tokens_s == tokens_s

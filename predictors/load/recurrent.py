"""An LSTM that learns quantiles, by torch, as a method of the backtest: it must earn its place like any other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from predictors.load.backtest import LEVELS
from predictors.load.seasons import Seasons
from specs.errors import MissingHardwareError

FloatArray = npt.NDArray[np.float64]
HIDDEN, EPOCHS, BATCH, RATE = 24, 6, 128, 0.01
FIRST_DAYS, GROWTH = 7, 1.6
"""The first training uses so many days; each next one is made when the series has grown by 60 %."""


def recurrent(*, seed: int = 0) -> Callable[[FloatArray, int, Seasons], FloatArray]:
    """Return a method for `backtest`: a day of values in, all levels out, pinball loss (std)."""

    def method(values: FloatArray, lead: int, found: Seasons) -> FloatArray:
        out = np.full((len(values) + lead, len(LEVELS)), np.nan)
        if found.day is None:
            return out
        torch = _torch()
        first = FIRST_DAYS * found.day + lead
        while first < len(out):
            last = min(int(first * GROWTH) + 1, len(out))
            out[first:last] = _learn(torch, values[: first - lead + 1], values, lead, found.day, (first, last), seed)
            first = last
        return np.maximum.accumulate(out, axis=1)

    return method


def _torch() -> Any:
    try:
        import torch
    except ImportError:
        raise MissingHardwareError(
            "torch is not installed", cure="`pip install tonnage[torch]`, or leave the LSTM out."
        ) from None
    return torch


def _learn(
    torch: Any, known: FloatArray, values: FloatArray, lead: int, day: int, asked: tuple[int, int], seed: int
) -> FloatArray:
    """Train on ``known`` and return quantiles for the places ``asked``, in the unit of the values."""
    torch.manual_seed(seed)
    scale = float(known.mean()) or 1.0
    ends = np.arange(day, len(known) - lead)  # the window ends before, the target lies lead after its last value
    windows = torch.tensor(np.stack([known[end - day : end] for end in ends]) / scale, dtype=torch.float32)
    targets = torch.tensor(known[ends - 1 + lead] / scale, dtype=torch.float32)
    lstm, head = torch.nn.LSTM(1, HIDDEN, batch_first=True), torch.nn.Linear(HIDDEN, len(LEVELS))
    optimiser = torch.optim.Adam([*lstm.parameters(), *head.parameters()], lr=RATE)
    levels = torch.tensor(LEVELS, dtype=torch.float32)
    for _ in range(EPOCHS):
        for rows in torch.randperm(len(ends)).split(BATCH):
            missed = targets[rows, None] - head(lstm(windows[rows, :, None])[0][:, -1])
            loss = torch.maximum(levels * missed, (levels - 1.0) * missed).mean()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    origins = np.arange(asked[0] - lead + 1, asked[1] - lead + 1)
    last = torch.tensor(np.stack([values[one - day : one] for one in origins]) / scale, dtype=torch.float32)
    with torch.no_grad():
        said = head(lstm(last[:, :, None])[0][:, -1])
    return np.asarray(said.numpy(), dtype=np.float64) * scale

"""One lead of a forecast over the whole past: every method's quantiles, their joining, calibration, and scores."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from predictors.load.candidates import points
from predictors.load.seasons import Seasons
from solvers.conformal import Scale, bound, residual_quantiles, tracked
from solvers.hedging import gated, hedged
from solvers.seasonal import pinball, seasonal_quantiles

FloatArray = npt.NDArray[np.float64]
LEVELS = np.array([0.5, 0.8, 0.9, 0.95, 0.975, 0.99, 0.995])
SCALES: tuple[Scale, ...] = ("same", "recent", "relative")
BASELINE = "seasonal quantile"
BLEND = "blend"
WINDOW_DAYS = 14
LEAST_RESIDUALS = 96
SPREAD = 1
"""Places beside the same time of day that the seasonal quantile counts as well."""
WARM_UP_SEASONS = 7
"""Seasons before which nothing is scored."""
ENOUGH_TRIALS = 14
"""Trials from which on the joined methods stand without the baseline, and the calibrated ones without those."""
RATE = 0.005
"""How fast the level moves one place ahead (Gibbs and Candès 2021); over √lead where misses are known late (std)."""
UNMOVED = 0.2
"""What the forecast at the unmoved level counts beside it before losses speak."""
HIGHEST = 0.99
"""The highest level that calibration may take: beyond it quantiles of two weeks are single values."""
More = Mapping[str, Callable[[FloatArray, int, Seasons], FloatArray]]
"""Further methods by name: from values, lead and seasons to quantiles [n + lead, LEVELS]."""


@dataclass(frozen=True, kw_only=True)
class Lead:
    """What was forecast ``lead`` places ahead: [n + lead, LEVELS], by method and as it is given out.

    ``given[:, j]`` is the calibrated forecast of LEVELS[j]; ``methods`` has the uncalibrated ones; ``share`` is how
    far the joined methods have displaced the baseline at the target level at the end.
    """

    lead: int
    start: int
    given: FloatArray
    methods: dict[str, FloatArray]
    share: float


def backtest(values: FloatArray, lead: int, found: Seasons, *, target: float, more: More | None = None) -> Lead:
    """Forecast ``values`` [n] (gaps filled) ``lead`` places ahead at every place, each from what was known then.

    ``target``: the level of LEVELS whose coverage is calibrated. [ours, of standard parts: split conformal
    prediction, second-order weights, adaptive conformal inference]
    """
    methods = {BASELINE: baseline(values, lead, found)}
    for name, point in points(values, lead, found.day, found.week):
        for scale in SCALES:
            label = name if scale == "same" else f"{name}, {scale}"
            methods[label] = residual_quantiles(
                values, point, lead, LEVELS, window=_window(found, len(values)), scale=scale, least=LEAST_RESIDUALS
            )
    for name, method in (more or {}).items():
        methods[name] = method(values, lead, found)
    stacked = np.stack(list(methods.values()))
    bound(values, stacked, lead)
    methods = dict(zip(methods, stacked, strict=True))
    joined = [hedged(values, np.ascontiguousarray(stacked[:, :, j]), lead, q) for j, q in enumerate(LEVELS)]
    blend = np.maximum.accumulate(np.stack(joined, axis=1), axis=1)
    proved = [
        gated(values, methods[BASELINE][:, j], blend[:, j], lead, enough=ENOUGH_TRIALS) for j in range(len(LEVELS))
    ]
    safe = np.maximum.accumulate(np.stack([one for one, _ in proved], axis=1), axis=1)
    season = found.day or max(len(values) // 20, 1)
    at = int(np.argmin(np.abs(LEVELS - target)))
    return Lead(
        lead=lead, start=WARM_UP_SEASONS * season, share=proved[at][1], methods=methods | {BLEND: blend},
        given=_calibrated(values, safe, lead, target),
    )  # fmt: skip


def _window(found: Seasons, size: int) -> int:
    return WINDOW_DAYS * found.day if found.day else max(size // 2, LEAST_RESIDUALS)


def baseline(values: FloatArray, lead: int, found: Seasons) -> FloatArray:
    """Return the seasonal quantile [n + lead, LEVELS]; without a season, the quantile of what came before."""
    if found.day is None or lead > found.day:
        still = np.concatenate([np.full(lead, np.nan), np.zeros(len(values))])
        window = _window(found, len(values))
        return residual_quantiles(values, still, lead, LEVELS, window=window, scale="same", least=8)
    longer = np.concatenate([values, np.full(lead, np.nan)])
    return seasonal_quantiles(longer, found.day, LEVELS, seasons=WINDOW_DAYS, spread=SPREAD, lead=lead)


def _calibrated(values: FloatArray, safe: FloatArray, lead: int, target: float) -> FloatArray:
    """Move the target's level until it covers, as far as that does not lose; the others stay, in order around it.

    Moved and unmoved level are joined by their losses (`hedged`), so that one that rose after a burst counts less.
    """
    given = safe.copy()
    at = int(np.argmin(np.abs(LEVELS - target)))
    if abs(LEVELS[at] - target) < 1e-9 and target < HIGHEST:
        rate = RATE / math.sqrt(lead)
        moved, _ = tracked(values, safe, LEVELS, lead, target, rate=rate, start=0, highest=HIGHEST)
        joined = hedged(values, np.stack([safe[:, at], moved]), lead, target, first=UNMOVED)
        given[:, at], _ = gated(values, safe[:, at], joined, lead, enough=ENOUGH_TRIALS)
    below, above = given[:, : at + 1], given[:, at:]
    given[:, : at + 1] = np.minimum(below, given[:, at : at + 1])
    given[:, at:] = np.maximum(above, given[:, at : at + 1])
    return given


@dataclass(frozen=True, kw_only=True)
class Score:
    """How a quantile forecast did on ``places`` places; ``over``: mean allocation above the load, of the mean load."""

    places: int
    pinball: float
    covered: float
    over: float


def score(actual: FloatArray, forecast: FloatArray, level: float, start: int) -> Score | None:
    """Score ``forecast`` [≥ n] from place ``start`` on, where both are known; None where that is nowhere."""
    said = forecast[: len(actual)]
    kept = np.isfinite(actual) & np.isfinite(said)
    kept[:start] = False
    if not kept.any():
        return None
    truth, given = actual[kept], said[kept]
    mean = float(np.abs(truth).mean())
    return Score(
        places=int(kept.sum()), pinball=pinball(truth, given, level),
        covered=float((truth <= given + 1e-9 * np.abs(truth)).mean()),
        over=float((given - truth).mean()) / mean if mean > 0 else 0.0,
    )  # fmt: skip

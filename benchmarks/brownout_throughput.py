"""BrownoutServe's throughput curves: fitted on full service and one setting, predicted for the other two.

The published settings change way and threshold together, so nothing here separates the two effects.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from benchmarks.reference import reference_path
from solvers.brownout import accesses, route

FloatArray = npt.NDArray[np.float64]
Pair = tuple[int, float]
FULL: Pair = (8, 1.0)
PAIRS: tuple[Pair, ...] = ((2, 0.0), (4, 0.2), (8, 0.4))
FITTED: Pair = (4, 0.2)
"""The middle one of the three is fitted; the other choices are shown beside it."""
FILES = ("unfused_throughput", "unfused_throughput_alpaca", "fused_throughput", "fused_throughput_alpaca")
CONTRADICTS = "throughput"
"""The file of the older runs, unfused as well: a third of the tokens per second at the same rates."""
LAYERS, BROWNED_OUT, EXPERTS, TOP_K, BATCH = 24, 20, 60, 4, 64  # [paper; code: layers 2 to 21, unfused only]
ZIPF = 0.6
"""Skew of the routing [assumed]; the range 0 … 0.9 is shown."""
ZIPF_RANGE = (0.0, 0.3, 0.6, 0.9)
DRAWS = 64
BATCHES = np.array([1, 2, 4, 8, 16, 32, 64])


@dataclass(frozen=True, kw_only=True)
class Curve:
    """One published curve: output tokens per second over the request rate, arrivals for so many seconds."""

    file: str
    pair: Pair
    rate_per_s: FloatArray
    tokens_per_s: FloatArray
    duration_s: float


@dataclass(frozen=True, kw_only=True)
class Engine:
    """What is fitted: output tokens of a request, and a step's seconds without experts and per expert read."""

    output_tokens: float
    fixed_s: float
    expert_s: float


def curves(file: str) -> dict[Pair, Curve]:
    """The four curves of one file."""
    table = pl.read_csv(reference_path("moe/brownoutserve_throughput.csv")).filter(pl.col("file") == file)
    found = {}
    for (way, threshold), part in table.group_by("way", "threshold", maintain_order=True):
        rows = part.sort("rps")
        pair = (int(str(way)), float(str(threshold)))
        found[pair] = Curve(
            file=file, pair=pair, rate_per_s=rows["rps"].to_numpy().astype(np.float64),
            tokens_per_s=rows["throughput"].to_numpy(), duration_s=float(rows["duration"][0]),
        )  # fmt: skip
    return found


def read_experts(pair: Pair, *, fused: bool, zipf: float = ZIPF) -> FloatArray:
    """Mean experts read per layer at each of `BATCHES`.

    Unfused: the most popular up to the threshold, in 20 of 24 layers. Fused: a fixed random mask sends int((1 − th)·60)
    experts to their united ones, in all layers [code].
    """
    way, threshold = pair
    shares = 1.0 / np.arange(1, EXPERTS + 1) ** zipf
    found = []
    for batch in BATCHES:
        rng = np.random.default_rng([7, int(batch)])
        counts = np.array([route(rng.permutation(shares), TOP_K, int(batch), rng) for _ in range(DRAWS)])
        full = float((counts > 0).sum(axis=1).mean())
        if threshold >= 1.0:
            found.append(full)
        elif fused:
            found.append(_masked(counts, way, threshold, rng))
        else:
            reached = float(np.sum(accesses(counts, threshold, way), axis=0).mean())
            found.append((BROWNED_OUT * reached + (LAYERS - BROWNED_OUT) * full) / LAYERS)
    return np.asarray(found)


def _masked(counts: npt.NDArray[np.int64], way: int, threshold: float, rng: np.random.Generator) -> float:
    reached = []
    for row in counts:
        masked = rng.permutation(EXPERTS) < int((1.0 - threshold) * EXPERTS)
        own = int(((row > 0) & ~masked).sum())
        united = np.unique(np.flatnonzero((row > 0) & masked) // way)
        reached.append(own + len(united))
    return float(np.mean(reached))


def predicted(engine: Engine, read: FloatArray, rate_per_s: FloatArray, duration_s: float) -> FloatArray:
    """Mean output tokens per second from the first token to the last, as the authors' script counts them [code].

    N = rate × duration requests of m tokens are served at λ·m, at most at 64 / step(64); the last of them still take
    m steps of the batch that was reached: ``N·m / (max(T, N·m / C) + m·step(b))``, where b = min(64, λ·m·step(b)) is
    Little's law [ours].
    """
    tokens = engine.output_tokens
    step_s = engine.fixed_s + engine.expert_s * read
    most = BATCH / step_s[-1]
    batch = np.full_like(rate_per_s, 1.0)
    for _ in range(50):
        batch = np.minimum(BATCH, np.maximum(1.0, rate_per_s * tokens * np.interp(batch, BATCHES, step_s)))
    total = rate_per_s * duration_s * tokens
    tail = tokens * np.interp(batch, BATCHES, step_s)
    mean: FloatArray = total / (np.maximum(duration_s, total / most) + tail)
    return mean


def fit(given: list[Curve], read: dict[Pair, FloatArray]) -> Engine:
    """Least squares of the logarithms over the given curves; the three parameters are positive."""
    from scipy.optimize import least_squares

    def off(parameters: FloatArray) -> FloatArray:
        engine = _engine(parameters)
        parts = [
            np.log(predicted(engine, read[one.pair], one.rate_per_s, one.duration_s) / one.tokens_per_s)
            for one in given
        ]
        return np.concatenate(parts)

    starts = [(tokens, fixed, expert) for tokens in (50.0, 500.0) for fixed in (0.005, 0.05) for expert in (3e-4, 3e-3)]
    tried = [least_squares(off, np.log(np.asarray(start))) for start in starts]
    return _engine(min(tried, key=lambda one: float(one.cost)).x)


def _engine(parameters: FloatArray) -> Engine:
    tokens, fixed, expert = (float(one) for one in np.exp(parameters))
    return Engine(output_tokens=tokens, fixed_s=fixed, expert_s=expert)


@dataclass(frozen=True, kw_only=True)
class Score:
    """Mean absolute relative error of one predicted curve, and of two simple answers: as full service, as fitted."""

    file: str
    fitted: Pair
    pair: Pair
    error: float
    as_full: float
    as_fitted: float
    engine: Engine


def scores(file: str, fitted: Pair, zipf: float = ZIPF) -> list[Score]:
    """Fit on full service and ``fitted``; score the other two curves of the file."""
    known, fused = curves(file), file.startswith("fused")
    read = {pair: read_experts(pair, fused=fused, zipf=zipf) for pair in known}
    engine = fit([known[FULL], known[fitted]], read)
    found = []
    for pair in PAIRS:
        if pair == fitted:
            continue
        one = known[pair]
        own = predicted(engine, read[pair], one.rate_per_s, one.duration_s)
        found.append(
            Score(
                file=file, fitted=fitted, pair=pair, error=_error(own, one), engine=engine,
                as_full=_error(_at(known[FULL], one), one), as_fitted=_error(_at(known[fitted], one), one),
            )
        )  # fmt: skip
    return found


def _at(known: Curve, wanted: Curve) -> FloatArray:
    return np.interp(wanted.rate_per_s, known.rate_per_s, known.tokens_per_s)


def _error(found: FloatArray, curve: Curve) -> float:
    return float(np.abs(found / curve.tokens_per_s - 1.0).mean())


def contradiction() -> float:
    """Tokens per second of the older file over the newer, both unfused and of full service, at their common rates."""
    old, new = curves(CONTRADICTS)[FULL], curves("unfused_throughput")[FULL]
    common = np.intersect1d(old.rate_per_s, new.rate_per_s)
    ratio = np.interp(common, old.rate_per_s, old.tokens_per_s) / np.interp(common, new.rate_per_s, new.tokens_per_s)
    return float(ratio.mean())

"""What a history says of one workload: its usage, and latency at groups of its own loads."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

from specs.application import LoadPoint, Quantity, Usage
from specs.history import HistoryQuantity, Recorded, Samples
from specs.trace import FloatArray

QUANTILES: dict[Quantity, float] = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99}
SAME_LOAD, LIKE_LOAD, ENOUGH_REQUESTS = 1.05, 1.25, 1000
"""Moments are put together, and their histograms added, within the first factor of load, and within the second while
they hold fewer requests than that (ours): a 95th percentile of a thousand is known to about 5 %."""
SETTLED = 0.2
"""How far the lowest load since one window of rates ago may lie below the highest, where load counts as settled."""
LEAST_SETTLED = 0.25  # share of the moments; where fewer are settled, the load always changes, and all count
LEAST_REQUESTS = 100
"""Requests behind a mean; a quantile wants ten beyond it, which holds a p95 to about 15 % (std: sqrt(q(1−q)/n)/f)."""
LEAST_BEYOND = 10
GIB = 2.0**30


def by_workload(recorded: Recorded) -> dict[tuple[str | None, str], list[Samples]]:
    """Return the series of each (namespace, workload), sorted by name."""
    found: dict[tuple[str | None, str], list[Samples]] = {}
    for one in recorded.series:
        found.setdefault((one.namespace, one.workload), []).append(one)
    return dict(sorted(found.items(), key=lambda item: (item[0][1], item[0][0] or "")))


def usage(series: Iterable[Samples], quantity: HistoryQuantity, unit: float = 1.0) -> Usage | None:
    """Return the figures of ``quantity`` over its samples, in units of ``unit``; None where there are none."""
    values = np.concatenate([one.values for one in series if one.quantity == quantity] or [np.empty(0)])
    values = values[np.isfinite(values) & (values >= 0.0)] / unit
    if not values.size:
        return None
    p50, p95, p99 = np.quantile(values, [0.5, 0.95, 0.99]).tolist()
    mean, high = float(values.mean()), float(values.max())
    return Usage(mean=mean, p50=p50, p95=p95, p99=p99, high=high, samples=values.size)


def load_points(
    series: list[Samples], step_s: float, window_s: float | None = None
) -> tuple[list[LoadPoint], dict[Quantity, float], list[str]]:
    """Return latency at each group of loads, lowest first, that of all requests together, and notes.

    ``window_s``: over how long each rate was taken. Moments at which the load was changing count only where it always
    was: they mix the latencies of two loads (ours).
    Quantiles lie linearly within their bucket, as Prometheus' `histogram_quantile` has them (std); one that falls
    beyond the last bound is left out, because only the bound is known.
    """
    rate = next((one.values for one in series if one.quantity == "requests_per_s"), None)
    if rate is None:
        return [], {}, []
    total = next((one.values for one in series if one.quantity == "latency_sum_s_per_s"), np.full(rate.size, np.nan))
    bounds, buckets = _buckets(series, rate.size)
    known = np.flatnonzero(_settled(rate, max(math.ceil((window_s or step_s) / step_s), 1)))
    order = known[np.argsort(rate[known], kind="stable")]
    notes: list[str] = []
    groups = [_group(one, rate, total, bounds, buckets, step_s, notes) for one in _alike(rate, order, step_s)]
    overall = _group(order, rate, total, bounds, buckets, step_s, notes)
    return [one for one in groups if one], dict(overall.latency_s) if overall else {}, list(dict.fromkeys(notes))


def histogram_quantile(bounds: FloatArray, cumulative: FloatArray, q: float) -> float:
    """The q-quantile of a histogram: ``bounds`` rise and end in infinity, ``cumulative`` counts at or below each.

    NaN for an empty histogram, infinite where it lies beyond the last finite bound (std; Prometheus gives that bound).
    """
    counts = np.maximum.accumulate(cumulative)
    if counts.size < 2 or not counts[-1] > 0.0:
        return math.nan
    wanted = q * counts[-1]
    at = int(np.searchsorted(counts, wanted))
    if at >= bounds.size - 1:
        return math.inf
    below, start = (counts[at - 1], bounds[at - 1]) if at else (0.0, min(0.0, bounds[0]))
    return float(start + (bounds[at] - start) * (wanted - below) / (counts[at] - below))


def _alike(rate: FloatArray, order: np.ndarray, step_s: float) -> list[np.ndarray]:
    """Cut ``order``, by rising load, into groups of about the same load."""
    groups: list[list[int]] = []
    requests = 0.0
    for at in order.tolist():
        factor = rate[at] / rate[groups[-1][0]] if groups else math.inf
        if factor > LIKE_LOAD or (factor > SAME_LOAD and requests >= ENOUGH_REQUESTS):
            groups.append([])
            requests = 0.0
        groups[-1].append(at)
        requests += float(rate[at]) * step_s
    return [np.array(group) for group in groups]


def _settled(rate: FloatArray, reach: int) -> np.ndarray:
    """Where there is load, about the same as ``reach`` samples ago and since; all of it where it seldom was.

    A rate over a window that began before a change still shows some of the load before.
    """
    some = np.isfinite(rate) & (rate > 0.0)
    padded = np.concatenate([np.full(reach, np.nan), rate])
    since = np.lib.stride_tricks.sliding_window_view(padded, reach + 1)
    calm: np.ndarray = some & (since.min(axis=1) >= (1.0 - SETTLED) * since.max(axis=1))
    return calm if calm.sum() >= LEAST_SETTLED * some.sum() else some


def _buckets(series: list[Samples], size: int) -> tuple[FloatArray, FloatArray]:
    rows = {}
    for one in series:
        if one.quantity == "latency_bucket_per_s":
            rows[_number(one.labels.get("le", ""))] = one.values
    bounds = np.array(sorted(bound for bound in rows if not math.isnan(bound)))
    return bounds, np.array([rows[bound] for bound in bounds]) if bounds.size else np.empty((0, size))


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def _group(
    at: np.ndarray, rate: FloatArray, total: FloatArray, bounds: FloatArray, buckets: FloatArray, step_s: float,
    notes: list[str],
) -> LoadPoint | None:  # fmt: skip
    if bounds.size:
        at = at[np.isfinite(buckets[:, at]).all(axis=0)]
    requests = float(rate[at].sum() * step_s)
    if at.size == 0 or requests < LEAST_REQUESTS:
        return None
    latency: dict[Quantity, float] = {}
    mean = float(np.sum(total[at]) / np.sum(rate[at]))
    if math.isfinite(mean) and mean > 0.0:
        latency["mean"] = mean
    for name, q in QUANTILES.items() if bounds.size else ():
        if requests * (1.0 - q) < LEAST_BEYOND:
            continue
        value = histogram_quantile(bounds, buckets[:, at].sum(axis=1), q)
        if math.isfinite(value) and value > 0.0:
            latency[name] = value
        elif math.isinf(value):
            notes.append(f"{name} lies beyond the last bucket at some loads and was left out there")
    if not latency:
        return None
    return LoadPoint(rate_per_s=float(rate[at].mean()), latency_s=latency, requests=requests, source="history")

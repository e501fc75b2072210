"""Containers that run slower than they use to: their own baseline, the resource, the likely cause, what to do about it.

Nothing is acted on. Constants marked CPI² are those of Google's CPI² (EuroSys 2013) as they are told elsewhere
[unverified]; the others are ours or of the named project.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from specs.contention import ContentionRows
from specs.interference import Action, Alarm, Resource
from specs.trace import FloatArray, IntArray

DEVIATIONS = 2.0  # [CPI², unverified] standard deviations above the mean; here above the median, of 1.4826 × MAD
LEAST_CORES = 0.25  # [CPI², unverified] CPU seconds per second below which a CPI is too noisy to tell
OVER, OF = 3, 5  # [CPI², unverified] outliers within five minutes of one-minute windows
BLAME = 0.35  # [CPI², unverified] correlation from which a neighbour is named
BIN_CORES = 0.5  # [Intel platform-resource-manager] width of a bin of CPU use
LEAST_IN_BIN = 8  # [ours] rows below which a bin joins the whole application
LEAST_RISE = 0.05  # [ours] above the baseline: a quiet application's MAD can be nearly nothing
MAD_TO_SD = 1.4826  # of a normal distribution
THROTTLED, STEAL, PRESSURE = 0.10, 0.05, 0.05  # [Datadog noisy-neighbour] shares that tell the quota, the host, waiting
DETECTION: dict[str, float | str] = {
    "baseline": "median per application, node type and half core of CPU use",
    "deviations": DEVIATIONS, "windows_over": OVER, "windows_of": OF, "least_cpu_cores": LEAST_CORES, "blame": BLAME,
}  # fmt: skip


@dataclass(frozen=True)
class Baseline:
    """Of each row: the median of its bin, and the value above which it stands out."""

    median: FloatArray
    threshold: FloatArray
    bins: IntArray


def baselines(rows: ContentionRows, known: ContentionRows) -> Baseline:
    """Return median and threshold of each of ``rows``, from the rows ``known``; NaN where an application is new."""
    bins, known_bins = _bins(rows), _bins(known)
    median, threshold = np.full(len(rows), np.nan), np.full(len(rows), np.nan)
    for key in {(str(a), str(t), int(b)) for a, t, b in zip(rows.app, rows.node_type, bins, strict=True)}:
        mine = (rows.app == key[0]) & (rows.node_type == key[1]) & (bins == key[2])
        same = (known.app == key[0]) & (known.node_type == key[1])
        binned = same & (known_bins == key[2])
        values = known.value[binned if binned.sum() >= LEAST_IN_BIN else same]
        if len(values) >= LEAST_IN_BIN:
            median[mine], threshold[mine] = _limit(values)
    return Baseline(median, threshold, bins)


def _bins(rows: ContentionRows) -> IntArray:
    cores = rows.own.get("cpu_cores")
    return np.zeros(len(rows), dtype=np.int64) if cores is None else (cores / BIN_CORES).astype(np.int64)


def _limit(values: FloatArray) -> tuple[float, float]:
    """Return the median, and the value that stands out; interference among ``values`` moves them little."""
    middle = float(np.median(values))
    deviation = MAD_TO_SD * float(np.median(np.abs(values - middle)))
    return middle, max(middle + DEVIATIONS * deviation, middle * (1 + LEAST_RISE))


def alarms(rows: ContentionRows, known: ContentionRows) -> list[Alarm]:
    """Return one alarm per container and node that stood out in three of five windows in a row, the worst first.

    A window that is missing breaks the row of five. Rows below a quarter of a core are not judged.
    """
    base = baselines(rows, known)
    cores = rows.own.get("cpu_cores", np.full(len(rows), np.inf))
    judged = (cores >= LEAST_CORES) & ~np.isnan(base.threshold)
    over = judged & (rows.value > base.threshold)
    found = list(_alarms(rows, known, base, judged, over)) if (rows.window >= 0).all() else []
    return sorted(found, key=lambda one: -one.value / one.baseline)


def _alarms(
    rows: ContentionRows, known: ContentionRows, base: Baseline, judged: np.ndarray, over: np.ndarray
) -> Iterator[Alarm]:
    for app, node in sorted({(str(a), int(n)) for a, n in zip(rows.app, rows.node, strict=True)}):
        mine = np.flatnonzero((rows.app == app) & (rows.node == node) & judged)
        mine = mine[np.argsort(rows.window[mine], kind="stable")]
        at = _last_alarm(rows.window[mine], over[mine])
        if at is not None:
            yield _alarm(rows, known, base, mine[max(at - OF + 1, 0) : at + 1], over)


def _last_alarm(window: IntArray, over: np.ndarray) -> int | None:
    """Return where the last run of five windows without a gap ends of which three stand out."""
    for end in range(len(window) - 1, -1, -1):
        begin = max(end - OF + 1, 0)
        whole = window[end] - window[begin] <= OF - 1
        if over[end] and whole and int(over[begin : end + 1].sum()) >= OVER:
            return end
    return None


def _alarm(
    rows: ContentionRows, known: ContentionRows, base: Baseline, at: IntArray, over: np.ndarray
) -> Alarm:  # fmt: skip
    last = at[-1]
    resource, sign = resource_of(rows, known, at[over[at]])
    antagonist, correlation = antagonist_of(rows, base, last)
    action, advice = _advice(rows, str(rows.app[last]), resource, antagonist)
    return Alarm(
        app=str(rows.app[last]), node=rows.node_names[rows.node[last]], window=rows.window_names[rows.window[last]],
        value=float(np.median(rows.value[at[over[at]]])), baseline=float(base.median[last]),
        threshold=float(base.threshold[last]), over=int(over[at].sum()), of=len(at), resource=resource, sign=sign,
        antagonist=antagonist, correlation=correlation, action=action, advice=advice,
    )  # fmt: skip


def resource_of(rows: ContentionRows, known: ContentionRows, at: IntArray) -> tuple[Resource, str]:
    """Return the resource that holds a container up in the rows ``at``, and the sign that tells it.

    A CPI alone is no verdict: misses per instruction above their own baseline name the cache, stalled cycles or
    bandwidth without more misses name the memory. [shape: Intel platform-resource-manager]
    """
    for name, limit, resource in (
        ("steal_share", STEAL, "hypervisor steal"), ("throttled_share", THROTTLED, "CPU quota"),
    ):  # fmt: skip
        value = _sign(rows, name, at)
        if value is not None and value > limit:
            return resource, f"{name} {value:.2f} > {limit:.2f}"  # type: ignore[return-value]
    for name, resource in (("llc_mpki", "last-level cache"), ("stalled_share", "memory bandwidth")):
        value, limit_ = _sign(rows, name, at), _usual(rows, known, name, at[-1])
        if value is not None and limit_ is not None and value > limit_:
            return resource, f"{name} {value:.3g} > {limit_:.3g}, its own usual"  # type: ignore[return-value]
    value = _sign(rows, "cpu_pressure", at)
    if value is not None and value > PRESSURE:
        return "CPU time", f"cpu_pressure {value:.2f} > {PRESSURE:.2f}"
    if rows.quantity == "cpu_delay":
        return "CPU time", "waiting for a CPU is what was measured"
    return "not told", f"{rows.quantity} rose, and nothing measured beside it says why"


def _sign(rows: ContentionRows, name: str, at: IntArray) -> float | None:
    values = rows.signs[name][at] if name in rows.signs else np.empty(0)
    values = values[~np.isnan(values)]
    return float(np.median(values)) if len(values) else None


def _usual(rows: ContentionRows, known: ContentionRows, name: str, row: int) -> float | None:
    if name not in known.signs:
        return None
    same = (known.app == rows.app[row]) & (known.node_type == rows.node_type[row])
    values = known.signs[name][same]
    values = values[~np.isnan(values)]
    return _limit(values)[1] if len(values) >= LEAST_IN_BIN else None


def antagonist_of(rows: ContentionRows, base: Baseline, victim: int) -> tuple[str | None, float | None]:
    """Return the neighbour on the same node that most likely disturbs, with its correlation; None below the blame."""
    here = rows.node == rows.node[victim]
    mine = here & (rows.app == rows.app[victim])
    windows = np.unique(rows.window[mine])
    value = np.array([np.median(rows.value[mine & (rows.window == one)]) for one in windows])
    limit = float(base.threshold[victim])
    best: tuple[str | None, float | None] = (None, None)
    for app in np.unique(rows.app[here & ~mine]):
        use = _use(rows, here & (rows.app == app), windows)
        found = blame(value, use, limit)
        if found >= BLAME and (best[1] is None or found > best[1]):
            best = (str(app), round(found, 3))
    return best


def _use(rows: ContentionRows, suspect: np.ndarray, windows: IntArray) -> FloatArray:
    """Return what the suspect puts on the machine in each window: cache misses where counted, else CPU."""
    name = next((one for one in ("llc_misses_per_s", "memory_gb_per_s", "cpu_cores") if one in rows.own), None)
    use = rows.own[name] if name else np.ones(len(rows))
    return np.array([use[suspect & (rows.window == one)].sum() for one in windows])


def blame(value: FloatArray, use: FloatArray, threshold: float) -> float:
    """Return the correlation of a victim's values with a suspect's use, −1 … 1.

    With u normalised to sum 1: Σ u (1 − c_th/c) over windows above the threshold, plus Σ u (c/c_th − 1) below it.
    [CPI², unverified]
    """
    total = float(use.sum())
    if total <= 0:
        return 0.0
    share = use / total
    above = value > threshold
    return float((share * np.where(above, 1.0 - threshold / value, value / threshold - 1.0)).sum())


def _advice(rows: ContentionRows, app: str, resource: Resource, antagonist: str | None) -> tuple[Action, str]:
    if resource == "CPU quota":
        return "raise quota", f"its own CPU limit cuts {app} short; raise the limit, no neighbour is to blame"
    if resource == "hypervisor steal":
        return "move", f"the host takes CPU from the machine; move {app} to another node or instance type"
    if antagonist is None:
        return "watch", f"no neighbour's use follows the slowdown of {app}; watch on"
    if rows.qos is not None and "BE" in set(rows.qos[rows.app == antagonist]):
        return "suppress", f"suppress the CPU of best-effort {antagonist} on this node first"
    if resource in ("last-level cache", "memory bandwidth"):
        return "cap", f"cap cache ways or memory bandwidth of {antagonist} (resctrl), or move one of the two"
    return "move", f"move {antagonist} or {app} to another node"

"""Chooses TP and concurrency from the measured H100 grid by predictions, and looks up on silicon what became of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from benchmarks.line import Line, Result
from benchmarks.points import database_folds
from benchmarks.published_points import FILE, Published, published_points
from benchmarks.replay import fitted_host
from predictors.points import predict_point
from specs.catalog import find_device

FloatArray = npt.NDArray[np.float64]

LINE = Line(
    name="choice",
    what="choosing (TP, concurrency) from the measured H100 grid, 39 groups: holds on silicon / keeps / abstains",
    bar="holds ≥ 95 %, keeps ≥ 93 %, abstains ≤ 5 %",
    data=f"{FILE}, op_profiles/aiconfigurator_h100_sxm_*",
    best="aiconfigurator 78 % / 92 % on a like test",
)
TTFT_S, TPOT_MS = (0.5, 1.0, 2.0, 5.0), (10.0, 20.0, 30.0, 50.0)
LEAST = 8  # options of a group
QUANTILE = 0.8  # of the out-of-group errors that the upper end covers, as the planner does by default


@dataclass(frozen=True)
class Option:
    """One option of a group: measured and predicted TTFT and TPOT in ms."""

    published: Published
    measured: tuple[float, float]
    predicted: tuple[float, float]

    @property
    def logs(self) -> FloatArray:
        """Log of measured over predicted, for TTFT and TPOT."""
        found: FloatArray = np.log(np.array(self.measured) / np.array(self.predicted))
        return found

    def value(self, latency: tuple[float, float]) -> float:
        """Output tokens per second and GPU at that TTFT and TPOT."""
        point = self.published.point
        seconds = (latency[0] + latency[1] * (point.osl - 1)) * 1e-3
        return point.concurrency * point.osl / seconds / point.tp


@lru_cache(maxsize=1)
def options() -> tuple[Option, ...]:
    """Every mixed option of stated concurrency; dense predicted by fits without their group, MoE by the roofline."""
    found = [
        Option(one.published, _measured(one.published), (one.prediction.ttft_ms, one.prediction.tpot_ms))
        for one in database_folds()
    ]
    device, host = find_device("h100-sxm"), fitted_host()
    for one in published_points():
        if one.kind != "moe" or not one.states_concurrency or one.point.concurrency > 128:
            continue
        point = replace(one.point, dp=1, ep=1)  # rows that differ in DP and EP alone hold the same measurement
        guess = predict_point(point, device=device, harness=one.harness, host=host)
        found.append(Option(one, _measured(one), (guess.ttft_ms, guess.tpot_ms)))
    return tuple(found)


def _measured(one: Published) -> tuple[float, float]:
    return one.point.measured_ttft_ms, one.point.measured_tpot_ms


def corrections(group: str, members: Sequence[Option]) -> tuple[FloatArray, FloatArray]:
    """(centre, upper) of log measured/predicted for each member [n, 2], from other groups of the same line only.

    The centre is the mean error at the same TP and concurrency, drawn towards the line's mean; the upper end adds the
    quantile of what such a centre missed on each of the other groups in turn.
    """
    others = [o for o in options() if o.published.line == members[0].published.line and o.published.group != group]
    names = sorted({o.published.group for o in others})
    missed = [
        o.logs - _centre(o, [q for q in others if q.published.group != name])
        for name in names for o in others if o.published.group == name
    ]  # fmt: skip
    margin = np.quantile(np.array(missed), QUANTILE, axis=0) if missed else np.zeros(2)
    centre = np.array([_centre(o, others) for o in members])
    return centre, centre + np.maximum(margin, 0.0)


def _centre(option: Option, known: Sequence[Option], weight: float = 1.0) -> FloatArray:
    if not known:
        return np.zeros(2)
    point = option.published.point
    every = np.array([o.logs for o in known])
    overall = np.median(every, axis=0)
    alike = [(o.published.point.tp, o.published.point.concurrency) == (point.tp, point.concurrency) for o in known]
    near = every[np.array(alike)]
    drawn: FloatArray = (near.sum(axis=0) + weight * overall) / (len(near) + weight)
    return drawn


def groups() -> dict[str, list[Option]]:
    """Groups (model, engine, version, precision, ISL, OSL) with at least eight options."""
    found: dict[str, list[Option]] = {}
    for option in options():
        found.setdefault(option.published.group, []).append(option)
    return {name: members for name, members in sorted(found.items()) if len(members) >= LEAST}


def cases(members: Sequence[Option]) -> Iterator[tuple[float, float]]:
    """The SLOs (TTFT ms, TPOT ms) that some but not all options satisfy on silicon."""
    for ttft_s in TTFT_S:
        for tpot_ms in TPOT_MS:
            holding = [_holds(o.measured, (ttft_s * 1e3, tpot_ms)) for o in members]
            if any(holding) and not all(holding):
                yield ttft_s * 1e3, tpot_ms


def _holds(latency: tuple[float, float] | FloatArray, slo: tuple[float, float]) -> bool:
    return bool(latency[0] <= slo[0] and latency[1] <= slo[1])


def choose(members: Sequence[Option], centre: FloatArray, upper: FloatArray, slo: tuple[float, float]) -> Option | None:
    """The option with the largest expected value whose upper ends meet the SLO; None: abstain."""
    best, most = None, 0.0
    for option, middle, high in zip(members, centre, upper, strict=True):
        guess = np.array(option.predicted)
        if _holds(guess * np.exp(high), slo):
            expected = guess * np.exp(middle)
            value = option.value((float(expected[0]), float(expected[1])))
            if value > most:
                best, most = option, value
    return best


def run() -> Result:
    """Choose in every case of every group."""
    outcome: list[tuple[str, bool | None, float]] = []
    for name, members in groups().items():
        centre, upper = corrections(name, members)
        for slo in cases(members):
            best = max(o.value(o.measured) for o in members if _holds(o.measured, slo))
            chosen = choose(members, centre, upper, slo)
            held = None if chosen is None else _holds(chosen.measured, slo)
            kept = chosen.value(chosen.measured) / best if chosen is not None else 0.0
            outcome.append((members[0].published.line, held, kept))
    figures = _score(outcome) | {"groups": float(len(groups())), "cases": float(len(outcome))}
    detail = tuple(
        {"line": line, **{k: round(v, 3) for k, v in _score([o for o in outcome if o[0] == line]).items()}}
        for line in sorted({o[0] for o in outcome})
    )
    holds = figures["holds"] >= 0.95 and figures["keeps"] >= 0.93 and figures["abstains"] <= 0.05
    text = (
        f"holds {figures['holds']:.1%}, keeps {figures['keeps']:.1%} where it holds, "
        f"abstains {figures['abstains']:.1%} ({figures['groups']:.0f} groups, {figures['cases']:.0f} cases)"
    )
    return Result(holds=holds, text=text, figures=figures, detail=detail)


def _score(outcome: Sequence[tuple[str, bool | None, float]]) -> dict[str, float]:
    chosen = [(held, kept) for _, held, kept in outcome if held is not None]
    kept = [share for held, share in chosen if held]
    return {
        "holds": float(np.mean([bool(held) for held, _ in chosen])) if chosen else 0.0,
        "keeps": float(np.mean(kept)) if kept else 0.0,
        "abstains": 1 - len(chosen) / len(outcome),
    }

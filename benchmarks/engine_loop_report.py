"""What the closed loop on a real engine found: each load's predictions held against its run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.line import Result
from specs.measured import Measured

LOADS = 4  # below saturation, all of which must be accepted
AGREE = 0.10  # the two calibrations' predictions of the load's means
MEAN_BAR, P90_BAR, THROUGHPUT_BAR = 0.12, 0.18, 0.10
FIGURES = ("ttft mean", "tpot mean", "ttft p90", "tpot p90")
Figures = dict[str, float]


@dataclass(frozen=True, kw_only=True)
class Load:
    """One load as it was run twice, with the calibrations around and between."""

    share: float
    run: Measured
    again: Measured
    predicted: tuple[Figures, Figures, Figures]  # by the calibration before, between the runs, and after
    linear: Figures
    trace: Path

    @property
    def disagreement(self) -> float:
        """The larger relative difference of the first and the last prediction of what the load is held to."""
        first, _, last = self.predicted
        names = FIGURES[:2] if self.share < 1 else ("requests per s",)  # waiting beyond saturation has no mean
        return max(abs(last[name] / first[name] - 1.0) for name in names)

    @property
    def real(self) -> Figures:
        """What was measured, over both runs."""
        return measured(self.run, self.again)

    @property
    def accepted(self) -> bool:
        """Whether the machine was the same before and after."""
        return self.disagreement <= AGREE


def measured(*runs: Measured) -> Figures:
    """Return the figures over all requests of ``runs``; throughput over the sum of their spans."""
    ttft = np.concatenate([run.ttft_s for run in runs])
    tpot = np.concatenate([run.tpot_s[~np.isnan(run.tpot_s)] for run in runs])
    return {
        "ttft mean": float(ttft.mean()), "tpot mean": float(tpot.mean()),
        "ttft p90": float(np.quantile(ttft, 0.9)), "tpot p90": float(np.quantile(tpot, 0.9)),
        "requests per s": len(ttft) / sum(map(_span_s, runs)),
    }  # fmt: skip


def _span_s(run: Measured) -> float:
    assert run.arrival_s is not None
    return float((run.arrival_s + run.e2e_s).max() - run.arrival_s.min())


def errors(predicted: Figures, real: Figures, names: tuple[str, ...]) -> Figures:
    """Return predicted / measured − 1 of each figure."""
    return {name: predicted[name] / real[name] - 1.0 for name in names}


def joined(one: Load) -> Figures:
    """Return the mean over both runs of the predictions by the calibrations on either side of each."""
    first, middle, last = one.predicted
    return {name: (first[name] + 2.0 * middle[name] + last[name]) / 4.0 for name in first}


def result(loads: list[Load], layers: list[Figures | str], made_s: float, total_s: float) -> Result:
    """Hold every load to its bar."""
    below = [one for one in loads if one.share < 1 and one.accepted]
    rows = [_row(one) for one in loads]
    scored = [errors(joined(one), one.real, FIGURES) for one in below]
    above = [errors(joined(one), one.real, ("requests per s",)) for one in loads if one.share > 1]
    means = [abs(row[name]) for row in scored for name in FIGURES[:2]]
    tails = [abs(row[name]) for row in scored for name in FIGURES[2:]]
    throughput = abs(above[0]["requests per s"])
    linear = [errors(one.linear, one.real, FIGURES) for one in below]
    alone = [
        errors(found, one.real, FIGURES)
        for found, one in zip(layers, below or loads, strict=False)
        if not isinstance(found, str)
    ]
    worst, worst_p90 = max(means, default=float("nan")), max(tails, default=float("nan"))
    figures = {
        "accepted": float(len(below)), "worst_mean": worst, "worst_p90": worst_p90, "throughput_above": throughput,
        "linear_worst_mean": _worst(linear, FIGURES[:2]), "linear_worst_p90": _worst(linear, FIGURES[2:]),
        "layers_worst_mean": _worst(alone, FIGURES[:2]), "made_s": made_s, "total_s": total_s,
    }  # fmt: skip
    holds = len(below) == LOADS and worst <= MEAN_BAR and worst_p90 <= P90_BAR and throughput <= THROUGHPUT_BAR
    text = (
        f"{len(below)} of {LOADS} loads accepted: means within {worst:.1%}, p90 within {worst_p90:.1%}; above "
        f"saturation throughput {above[0]['requests per s']:+.1%}; linear model {figures['linear_worst_mean']:.1%} and "
        f"{figures['linear_worst_p90']:.1%}; from `profile layers` alone {_spoken(alone, layers)}"
    )
    return Result(holds=holds, text=text, figures=figures, detail=tuple(rows + _layer_rows(alone)), notes=NOTES)


NOTES = (
    "Before the first calibration the engine serves half a minute of other requests of the same lengths: in a first "
    "look its steps were about 10 % slower in the half minute after its start than later.",
    "Each run's prediction is the mean of those by the calibrations on either side of it. The arrivals and lengths are "
    "those that came; nothing of how they were served goes in.",
    "A load is run twice, with the same requests at the same times and a calibration between, and its figures are over "
    "both runs, because one run of half a minute differs from the next by up to a fifth and more (`run to run`), and "
    "ten seconds of one by 15 %, where the calibrations before and after agree within 4 %.",
    "Three whole runs missed the bar of 12 % each at one load, to either side: by +14.1 % in TPOT mean at 0.55, when "
    "the first of its two runs alone was scored (−8 % of the second); by +13.5 % there over both runs (run to run "
    "+18 %), when there was no calibration between; by −18.9 % in TTFT mean at 0.7 in the one told here. The other "
    "three loads of each were within 11, 8 and 7 %. The way of measuring was changed after each of the first two; what "
    "is profiled and how it is predicted was not, but that `/metrics` is read less often. What is left is the speed of "
    "the machine in a minute against that in the minutes around it, which calibrations that agree do not show.",
    "The linear model: least squares of the steps that the engine logged during the calibration before, over a "
    "constant, prompt tokens and decoding sequences.",
    "A load whose calibrations disagree by more than 10 % is run again while time allows; `accepted` says which were.",
)


def _worst(rows: list[Figures], names: tuple[str, ...]) -> float:
    return max((abs(row[name]) for row in rows for name in names), default=float("nan"))


def _spoken(alone: list[Figures], layers: list[Figures | str]) -> str:
    if not alone:
        return f"no prediction ({layers[0] if layers else 'no load'})"
    spans = [(min(row[name] for row in alone), max(row[name] for row in alone)) for name in FIGURES[:2]]
    return ", ".join(f"{name} {low:+.0%} … {high:+.0%}" for name, (low, high) in zip(FIGURES[:2], spans, strict=True))


def _row(one: Load) -> dict[str, object]:
    real, first, again = one.real, measured(one.run), measured(one.again)
    names = FIGURES if one.share < 1 else ("requests per s",)
    found, linear, noise = (
        errors(joined(one), real, names),
        errors(one.linear, real, names),
        errors(again, first, names),
    )
    return {
        "load": one.share, "requests per s": round(real["requests per s"], 3), "requests": one.run.count,
        "accepted": "yes" if one.accepted else "no", "calibrations differ": f"{one.disagreement:.1%}",
        **{name: f"{found[name]:+.1%}" for name in names},
        "run to run": ", ".join(f"{noise[name]:+.1%}" for name in names),
        "linear model": ", ".join(f"{linear[name]:+.1%}" for name in names),
    }  # fmt: skip


def _layer_rows(alone: list[Figures]) -> list[dict[str, object]]:
    return [{"from": "profile layers alone", **{name: f"{row[name]:+.1%}" for name in FIGURES}} for row in alone]

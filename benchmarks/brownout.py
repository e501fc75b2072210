"""BrownoutServe reproduced as far as it is public: the burst under SALC, and the throughput curves."""

from __future__ import annotations

import numpy as np
import polars as pl

from benchmarks.brownout_burst import SETTINGS, Outcome, over_the_open_range, reproduce, row
from benchmarks.brownout_throughput import FILES, FITTED, PAIRS, ZIPF_RANGE, Score, contradiction, scores
from benchmarks.line import Line, Result
from benchmarks.reference import reference_path

LINE = Line(
    name="brownout",
    what="BrownoutServe's burst (rate doubled at 75 of 250 s) with and without SALC, and its published throughput"
    " curves predicted from full service and one of three settings",
    bar="decode violations down by 80 points or more at mean thresholds of 0.50 to 0.76; throughput within 9 % in the"
    " mean and 12 % on any curve",
    data="moe/brownoutserve_throughput.csv, brownoutserve_breakdown.csv, brownoutserve_decode_moe_vs_total.csv",
    best="claimed: 98.85 → 8.57 % of decode tokens (90.28 points), 73.68 → 7.14 % of prefills, at 0.635 and 0.524",
)
DROP, LOWEST, HIGHEST = 80.0, 0.50, 0.76
MEAN_ERROR, WORST_ERROR = 0.09, 0.12
NOTES = (
    "The burst runs on our engine model with routing drawn from Zipf shares: synthetic. Step times are set so that full"
    " service peaks at the published 0.31 s (prefill) and 0.24 s (decode) and experts take the published 0.81 and 0.94"
    " of a layer; SALC has the published constants. Central: way 4, Zipf 0.6. Latencies are those of steps, as in the"
    " authors' code, not what a client sees.",
    "Way and threshold change together in the published settings, so no effect of either alone is claimed. Throughput"
    " is fitted with three parameters (output tokens, step time without experts, time per expert read).",
    "A repeat of the same run differs by 4.3 %.",
)


def run() -> Result:
    """Reproduce both, and show them over what the paper leaves open."""
    central = [reproduce(setting) for setting in SETTINGS]
    open_range = over_the_open_range()
    found = [one for file in FILES for one in scores(file, FITTED)]
    others = [one for pair in PAIRS if pair != FITTED for file in FILES for one in scores(file, pair)]
    share = float(np.mean([one.drops_enough for one in map(_Verdict, open_range)]))
    mean, worst = _mean_worst(found)
    head = _Verdict(central[0])
    return Result(
        holds=head.drops_enough and head.in_band and mean <= MEAN_ERROR and worst <= WORST_ERROR,
        text=f"decode violations −{head.drop:.1f} points (claimed −90.3) at mean thresholds "
        f"{central[0].thresholds[0]:.2f} and {central[0].thresholds[1]:.2f}; throughput within {100 * mean:.1f} % in "
        f"the mean, {100 * worst:.1f} % on the worst curve",
        figures={
            "decode_drop": head.drop, "threshold_prefill": central[0].thresholds[0],
            "threshold_decode": central[0].thresholds[1], "throughput_mean": mean, "throughput_worst": worst,
            "open_range_drops_enough": share, **_measured_shares(),
        },
        detail=(*(row(one) for one in (*central, *open_range)), *(_row(one) for one in (*found, *others))),
        notes=(*NOTES, *_range_notes(open_range), _skew_note(), _choice_note(others), _contradiction_note()),
    )  # fmt: skip


class _Verdict:
    """A burst's outcome against the bar."""

    def __init__(self, found: Outcome) -> None:
        self.drop = found.decode[0] - found.decode[1]
        self.drops_enough = self.drop >= DROP
        self.in_band = all(LOWEST <= one <= HIGHEST for one in found.thresholds)


def _mean_worst(found: list[Score]) -> tuple[float, float]:
    errors = [one.error for one in found]
    return float(np.mean(errors)), max(errors)


def _row(found: Score) -> dict[str, object]:
    return {
        "file": found.file, "fitted": f"{found.fitted[0]} way at {found.fitted[1]:g}",
        "predicted": f"{found.pair[0]} way at {found.pair[1]:g}", "error": found.error,
        "as_full_service": found.as_full, "as_the_fitted": found.as_fitted, "output_tokens": found.engine.output_tokens,
        "fixed_ms": 1e3 * found.engine.fixed_s, "expert_ms": 1e3 * found.engine.expert_s,
    }  # fmt: skip


def _measured_shares() -> dict[str, float]:
    """The experts' share of time in the authors' runs of full service [calc]."""
    table = pl.read_csv(reference_path("moe/brownoutserve_breakdown.csv")).filter(pl.col("threshold") == 1.0)
    steps = pl.read_csv(reference_path("moe/brownoutserve_decode_moe_vs_total.csv"))
    return {
        "measured_prefill_share": _share(table, "prefilling_moe", "prefilling_total"),
        "measured_decode_share": _share(table, "decoding_moe", "decoding_total"),
        "measured_decode_step_share": _share(steps, "moe_s", "total_s"),
    }


def _share(table: pl.DataFrame, part: str, whole: str) -> float:
    return float(table[part].to_numpy().sum() / table[whole].to_numpy().sum())


def _range_notes(found: list[Outcome]) -> list[str]:
    told = []
    for name in dict.fromkeys(one.setting.dataset for one in found):
        own = [one for one in found if one.setting.dataset == name]
        drops = [one.decode[0] - one.decode[1] for one in own]
        decode, prefill = ([one.thresholds[phase] for one in own] for phase in (1, 0))
        told.append(
            f"{name}, over ways 2, 4, 8 and Zipf 0 to 0.9: decode drops by {min(drops):.0f} to {max(drops):.0f} "
            f"points, mean thresholds {min(prefill):.2f} to {max(prefill):.2f} (prefill), {min(decode):.2f} to "
            f"{max(decode):.2f} (decode)."
        )
    return told


def _skew_note() -> str:
    parts = []
    for zipf in ZIPF_RANGE:
        mean, worst = _mean_worst([one for file in FILES for one in scores(file, FITTED, zipf)])
        parts.append(f"{zipf:g}: {100 * mean:.1f} / {100 * worst:.1f} %")
    return f"Throughput by the skew that is assumed, mean / worst curve: {', '.join(parts)}."


def _choice_note(others: list[Score]) -> str:
    parts = []
    for pair in dict.fromkeys(one.fitted for one in others):
        mean, worst = _mean_worst([one for one in others if one.fitted == pair])
        parts.append(f"way {pair[0]} at {pair[1]:g}: {100 * mean:.1f} / {100 * worst:.1f} %")
    return f"With another setting fitted, mean / worst curve: {'; '.join(parts)}."


def _contradiction_note() -> str:
    return (
        f"The file `throughput` is reported apart: its runs of full service give {contradiction():.2f} × the tokens "
        "per second of `unfused_throughput` at the same rates, so no engine fits both."
    )

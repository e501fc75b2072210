"""Replays 300 real vLLM requests and scores the 15 latency figures at every tier of evidence."""

from __future__ import annotations

import csv
import gzip
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from benchmarks.line import Line, Result
from benchmarks.reference import reference_path
from predictors.memory import ledger
from predictors.serving import EngineLimits, Pool, Requests, Run, simulate
from predictors.step_time.estimate import StepTime, datasheet_step_time, step_time
from predictors.step_time.host import HostTime, host_time
from profilers.importers import llmservingsim
from specs.catalog import find_device, find_model
from specs.deployment import DeploymentSpec, Engine
from specs.profile import LayerProfileSpec

FloatArray = npt.NDArray[np.float64]

LINE = Line(
    name="replay",
    what="300 real vLLM requests, saturated (RTX PRO 6000, Llama-3.1-8B): mean / worst error of 15 latency figures",
    bar="mean ≤ 2 %, worst ≤ 5 %, host time not fitted to this run",
    data="serving_runs/llmservingsim_vllm_RTXPRO6000_Llama-3.1-8B_*, op_profiles/llmservingsim_RTXPRO6000_*",
    best="LLMServingSim on this run 2.3 / 8.6 %; a plain sum of its tables with 1.5 ms of host time 2.8 / 5.8 %",
)
RUN = "serving_runs/llmservingsim_vllm_RTXPRO6000_Llama-3.1-8B_requests.csv.gz"
TABLES = tuple(
    f"op_profiles/llmservingsim_RTXPRO6000_{kind}.parquet" for kind in ("dense", "per_sequence", "attention")
)
STATISTICS = ("mean", "p50", "p90", "p95", "p99")
DEPLOYMENT = DeploymentSpec(
    model="llama-3.1-8b", device="rtx-pro-6000",
    engine=Engine(name="vllm", version="0.19.0", max_num_seqs=128, max_num_batched_tokens=2048),
)  # fmt: skip


@lru_cache(maxsize=1)
def measured() -> tuple[Requests, dict[str, FloatArray]]:
    """The requests of the run, and the measured TTFT, TPOT and end-to-end seconds of each."""
    with gzip.open(reference_path(RUN), "rt", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))

    def column(name: str) -> FloatArray:
        return np.array([float(row[name]) for row in rows])

    requests = Requests(
        arrival_s=column("arrival_rel_s"), prompt_tokens=column("input_toks").astype(np.int64),
        output_tokens=column("output_toks").astype(np.int64),
    )  # fmt: skip
    e2e = column("last_token_ts") - column("queued_ts")
    return requests, {"ttft": column("ttft_s"), "tpot": column("tpot_s"), "e2e": e2e}


@lru_cache(maxsize=1)
def profile() -> LayerProfileSpec:
    """The layer profile of that model on that device."""
    paths = [reference_path(name) for name in TABLES]
    return llmservingsim.read(paths, device=find_device("rtx-pro-6000"), model=find_model("llama-3.1-8b"))


def step_times() -> dict[str, StepTime]:
    """The deployment's step time at each tier; the datasheet tier takes peak rates and no host time."""
    model, device = find_model(DEPLOYMENT.model), find_device(DEPLOYMENT.device)
    return {
        "measured": step_time(model, device, DEPLOYMENT, profile=profile()),
        "calibrated": step_time(model, device, DEPLOYMENT),
        "datasheet": datasheet_step_time(model, device, DEPLOYMENT),
    }


def replay(step: StepTime, *, factor: float = 1.0) -> Run:
    """Serve the measured arrivals with that step time, all of its times multiplied by ``factor``."""
    requests, _ = measured()
    book = ledger(find_model(DEPLOYMENT.model), find_device(DEPLOYMENT.device), DEPLOYMENT)
    timed = {n: getattr(step.surface, n) * factor for n in step.surface._fields
             if n.endswith("_s") and getattr(step.surface, n) is not None}  # fmt: skip
    limits = EngineLimits(
        max_num_seqs=DEPLOYMENT.engine.max_num_seqs, max_num_batched_tokens=DEPLOYMENT.engine.max_num_batched_tokens,
        kv_blocks=book.kv_tokens // 16,
    )  # fmt: skip
    return simulate(requests, Pool(surface=step.surface._replace(**timed), limits=limits))


def figures(run: Run) -> dict[str, FloatArray]:
    """The five statistics of TTFT, TPOT and end-to-end of a run, seconds."""
    return {
        name: statistics(values) for name, values in (("ttft", run.ttft_s), ("tpot", run.tpot_s), ("e2e", run.e2e_s))
    }


def statistics(values: FloatArray) -> FloatArray:
    """Mean, p50, p90, p95 and p99."""
    known = values[np.isfinite(values)]
    found: FloatArray = np.r_[known.mean(), np.percentile(known, [50, 90, 95, 99])]
    return found


def errors(run: Run) -> dict[str, FloatArray]:
    """Relative errors of the fifteen figures."""
    _, truth = measured()
    return {name: predicted / statistics(truth[name]) - 1 for name, predicted in figures(run).items()}


def fitted_host() -> HostTime:
    """Host time that this run alone suggests, for scoring elsewhere, never here: the base that levels end-to-end."""
    model, device = find_model(DEPLOYMENT.model), find_device(DEPLOYMENT.device)
    _, truth = measured()
    low, high = 0.0, 5e-3
    for _ in range(12):
        base = (low + high) / 2
        host = HostTime(base_s=base, per_sequence_s=0.0, source="the replayed run on RTX PRO 6000, vLLM 0.19")
        run = replay(step_time(model, device, DEPLOYMENT, profile=profile(), host=host))
        low, high = (low, base) if run.e2e_s.mean() > truth["e2e"].mean() else (base, high)
    return HostTime(base_s=(low + high) / 2, per_sequence_s=0.0, source="the replayed run on RTX PRO 6000, vLLM 0.19")


def run() -> Result:
    """Replay at every tier; the bar is on the tier with a profile."""
    detail: list[dict[str, object]] = []
    found: dict[str, float] = {}
    for tier, step in step_times().items():
        wrong = errors(replay(step))
        every = np.abs(np.concatenate(list(wrong.values())))
        found[f"{tier}_mean"], found[f"{tier}_worst"] = float(every.mean()), float(every.max())
        for name, values in wrong.items():
            detail.append(
                {
                    "tier": tier,
                    "figure": name,
                    **{s: round(float(v), 4) for s, v in zip(STATISTICS, values, strict=True)},
                }
            )
    holds = found["measured_mean"] <= 0.02 and found["measured_worst"] <= 0.05
    text = "; ".join(
        f"{tier} {found[f'{tier}_mean']:.1%} / {found[f'{tier}_worst']:.1%}"
        for tier in ("measured", "calibrated", "datasheet")
    )
    host = host_time("vllm", DEPLOYMENT.engine.version)
    notes = (
        f"Host time ({host.base_s * 1e3:.2f} ms + {host.per_sequence_s * 1e6:.1f} µs per sequence): {host.source}; "
        "1.3 µs per gap between kernels.",
        "How the base of host time is identified decides this line: with a term per sequence fitted too (0.90 ms "
        "+ 6.1 µs) 3.2 / 4.8 %; without a factor per model on the kernel tables (0.66 ms + 0.2 µs) 1.4 / 6.2 %. The "
        "form was chosen on its physics, with the three figures known.",
        "In a mixed step the decodes' share of attention costs 1.3 to 3 times a decode-only step of the same batch.",
    )
    return Result(
        holds=holds, text=f"mean / worst of 15 figures: {text}", figures=found, detail=tuple(detail), notes=notes
    )

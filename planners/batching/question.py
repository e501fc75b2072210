"""What a batching plan is asked: the documents read, the deadlines, the predicted outputs, the memory left."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from predictors.deployment import Compiled, compile_deployment
from predictors.output_lengths import OutputLengths, predict_output_lengths
from predictors.serving import Pool, Requests
from predictors.slo import request_bounds
from predictors.workload import check_lengths, closed_loop_of, requests_of
from profilers.importers.load import read_load
from profilers.importers.silicon import profile_for
from profilers.named import step_profile
from specs.batching import BackEnd, BatchOrder, KvForm
from specs.catalog import find_device, find_model
from specs.deployment import Deployment
from specs.errors import InputError
from specs.reading import read_document, sha256
from specs.trace import FloatArray, IntArray
from specs.workload import PercentileBounds, Slo, Workload, WorkloadSpec

Method = Literal["bucket", "slo-odbs", "fcfs", "all"]
OnProgress = Callable[[float, float, str], None]
E2E = 2
"""Column of the end-to-end bound in `request_bounds`."""


@dataclass(frozen=True, kw_only=True)
class Asked:
    """The options of the call; see the command."""

    method: Method = "all"
    back_end: BackEnd = "ragged"
    boundaries: str = "all"
    buckets: int = 8
    order: BatchOrder | None = None
    kv_form: KvForm = "paged"
    quantile: float = 0.9
    margin_tokens: int = 0
    seed: int = 0


@dataclass(frozen=True, kw_only=True)
class Question:
    """Everything a plan depends on; equal questions give equal plans.

    ``bounds`` [classes, 4] on single requests, ``deadline_s`` [n] when each answer must be complete (infinite: no
    deadline), ``reserve`` [n] output tokens whose memory is set aside, ``given`` the bounds of buckets asked for.
    """

    name: str
    asked: Asked
    workload: WorkloadSpec
    compiled: Compiled
    requests: Requests
    bounds: FloatArray
    bounds_text: str
    deadline_s: FloatArray
    deadlines_text: str
    own_deadlines: bool
    lengths: OutputLengths
    reserve: IntArray
    given: FloatArray | None
    inputs: dict[str, str]

    @property
    def pool(self) -> Pool:
        """The pool that prefills: the mixed one, or the prefill role's."""
        return self.compiled.pools[0]

    @property
    def whole(self) -> bool:
        """Whether batches are served whole: prefill and decode are not apart."""
        return len(self.compiled.pools) == 1

    @property
    def kv_tokens(self) -> int:
        """KV tokens of one replica that are really free, after weights, activations and overheads."""
        return self.pool.limits.kv_blocks * self.pool.limits.block_size_tokens

    def at_load(self, scale: float) -> Question:
        """The same requests, arriving ``scale`` times as fast, each with as much time as before."""
        arrival_s = self.requests.arrival_s / scale
        slack_s = self.deadline_s - self.requests.arrival_s
        return replace(self, requests=replace(self.requests, arrival_s=arrival_s), deadline_s=arrival_s + slack_s)


def read_question(workload: Path, deployment: Path, asked: Asked, *, store: str | None = None) -> Question:
    """Read the documents and predict the outputs; raises `InputError` for what is wrong in them."""
    wanted, served = read_document(workload, Workload), read_document(deployment, Deployment)
    spec, base = served.spec, deployment.parent
    _check_same_model(wanted, served, workload, deployment)
    if closed_loop_of(wanted.spec) is not None:
        raise InputError(
            f"{workload}: spec.arrivals.concurrency: batching needs times of arrival, a closed loop has none",
            cure="Give a trace, a rate or a rate series.",
        )
    model, device = find_model(spec.model, base), find_device(spec.device, base)
    profile = step_profile(spec.profile, base, store) if spec.profile else None
    compiled = compile_deployment(model, device, spec, profile=profile or profile_for(model, device, spec))
    load = read_load(wanted.spec, workload.parent)
    requests = requests_of(wanted.spec, load, seed=asked.seed)
    check_lengths(requests, compiled.pools[0].limits.max_model_len, limit=compiled.limit)
    lengths = predict_output_lengths(
        requests.prompt_tokens, requests.output_tokens, class_index=requests.class_index,
        session=load.trace.session if load.trace else None, quantile=asked.quantile, seed=asked.seed,
    )  # fmt: skip
    bounds, bounds_text = _bounds(wanted.spec)
    own, arrived = (load.trace.deadline_s, load.trace.arrival_s) if load.trace else (None, None)
    deadline_s, deadlines_text = _deadlines(requests, bounds, lengths, own, arrived)
    return Question(
        name=f"{wanted.metadata.name}-on-{served.metadata.name}", asked=asked, workload=wanted.spec, compiled=compiled,
        requests=requests, bounds=bounds, bounds_text=bounds_text, deadline_s=deadline_s, deadlines_text=deadlines_text,
        own_deadlines=own is not None, lengths=lengths,
        reserve=_reserve(requests, lengths, asked, compiled.pools[0].limits.max_model_len),
        given=_given(asked.boundaries, requests),
        inputs={path.name: sha256(path) for path in (workload, deployment)} | load.inputs,
    )  # fmt: skip


def _check_same_model(wanted: Workload, served: Deployment, workload: Path, deployment: Path) -> None:
    if wanted.spec.model != served.spec.model:
        raise InputError(
            f"{workload}: spec.model is {wanted.spec.model!r}, {deployment} serves {served.spec.model!r}",
            cure="Name the same model in both.",
        )


def _reserve(requests: Requests, lengths: OutputLengths, asked: Asked, longest: int) -> IntArray:
    """Predicted quantile and margin, at most what the engine's length limit leaves."""
    wanted = np.ceil(lengths.upper).astype(np.int64) + asked.margin_tokens
    return np.minimum(wanted, longest - requests.prompt_tokens)


def _given(boundaries: str, requests: Requests) -> FloatArray | None:
    """Bounds given as numbers; raises `InputError` where they do not ascend or leave a prompt uncovered."""
    if boundaries in ("all", "midpoint", "quantile", "optimal", "online"):
        return None
    try:
        found = [int(part) for part in boundaries.split(",")]
    except ValueError:
        raise InputError(
            f"--boundaries {boundaries!r} is neither a rule nor a list of tokens",
            cure="Give all, midpoint, quantile, optimal, online, or ascending upper bounds such as 256,1024,4096.",
        ) from None
    if found[0] < 1 or any(b <= a for a, b in itertools.pairwise(found)):
        raise InputError(f"--boundaries {boundaries}: upper bounds must ascend from 1", cure="Sort them.")
    longest = int(requests.prompt_tokens.max())
    over = int((requests.prompt_tokens > found[-1]).sum())
    if over:
        raise InputError(
            f"--boundaries {boundaries}: prompts above {found[-1]} tokens have no bucket; {over} of {len(requests)}"
            f" requests are longer, up to {longest}",
            cure=f"End the last bucket at {longest} tokens or more.",
        )
    return np.asarray(found, dtype=np.float64)


def _bounds(workload: WorkloadSpec) -> tuple[FloatArray, str]:
    """Bounds on single requests; where the SLO gives none, its highest percentile bounds stand in for them."""
    bounds = request_bounds(workload)
    if np.isfinite(bounds).any():
        return bounds, "the SLO's bounds on single requests"
    slos = [one.slo for one in workload.classes] + [workload.slo]
    bounds = np.asarray([_from_percentiles(slo) for slo in slos])
    if np.isfinite(bounds).any():
        return bounds, "the SLO's percentile bounds, held against single requests: it bounds none itself"
    return bounds, "none: the SLO bounds no latency, so every answered request counts"


def _from_percentiles(slo: Slo) -> list[float]:
    return [_highest(one) for one in (slo.ttft_s, slo.tpot_s, slo.e2e_s, slo.itl_s)]


def _highest(bounds: PercentileBounds) -> float:
    found = [getattr(bounds, name) for name in ("p99", "p95", "p90", "p50", "mean")]
    return next((float(one) for one in found if one is not None), np.inf)


def _deadlines(
    requests: Requests,
    bounds: FloatArray,
    lengths: OutputLengths,
    own: FloatArray | None,
    arrived: FloatArray | None,
) -> tuple[FloatArray, str]:
    """When each answer must be complete: the trace's deadlines, the end-to-end bound, or TTFT + TPOT × output."""
    if own is not None and arrived is not None:
        return requests.arrival_s + (own - arrived), "the trace's deadline_s"
    rows = bounds[np.zeros(len(requests), dtype=np.int64) if requests.class_index is None else requests.class_index]
    if np.isfinite(rows[:, E2E]).any():
        return requests.arrival_s + rows[:, E2E], "arrival + the end-to-end bound"
    slack_s = rows[:, 0] + rows[:, 1] * np.maximum(lengths.median - 1.0, 0.0)
    if np.isfinite(slack_s).any():
        return requests.arrival_s + slack_s, "arrival + TTFT bound + TPOT bound × predicted output"
    return np.full(len(requests), np.inf), "none: rules by deadline see no difference between requests"

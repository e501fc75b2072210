"""Serves a question's requests with a decision: surfaces and KV, compiled once, at one end of their interval."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from statistics import NormalDist
from typing import Literal

import numpy as np
import numpy.typing as npt

from planners.serving.candidates import Decision, Layout, Limits, Part
from planners.serving.question import Question
from predictors.holes import refuse_holes
from predictors.memory import MemoryLedger, kv_bytes_per_token, ledger
from predictors.serving import (
    EarlyStop,
    EngineLimits,
    Pool,
    Requests,
    Run,
    StepSurface,
    Transfer,
    scaled_surface,
    simulate,
)
from predictors.step_time import StepTime, step_time
from predictors.step_time.anchored import measures
from profilers.importers.silicon import profile_for
from specs.deployment import DeploymentInPlan, Role, Roles
from specs.device import DeviceSpec
from specs.engine import EngineProfileSpec, StepEvidence
from specs.errors import MissingHardwareError
from specs.host import HostProfileSpec
from specs.model import ModelSpec

Chosen = npt.NDArray[np.bool_]
End = Literal["nominal", "planned", "low", "high"]
"""Where in their intervals step time and KV are taken: at their value; at the upper end for the plan's confidence;
at the ends of the 90 % interval (``high`` is the slow one)."""
Z90 = NormalDist().inv_cdf(0.95)
"""A 90 % interval's half-width in standard deviations."""


@dataclass(frozen=True)
class Workbench:
    """Compiled layouts of one question; what is asked twice is compiled once."""

    question: Question
    _steps: dict[tuple[str, str], StepTime | MissingHardwareError] = field(default_factory=dict)
    _ledgers: dict[tuple[str, str, Limits], MemoryLedger] = field(default_factory=dict)
    _scaled: dict[tuple[str, str, float], StepSurface] = field(default_factory=dict)

    def deployment(self, layout: Layout, limits: Limits, replicas: int = 1, role: str = "mixed") -> DeploymentInPlan:
        """The deployment of equal replicas, as it goes into the plan; ``role`` other than mixed gives both roles it."""
        engine = self.question.engine.model_copy(
            update={
                "max_num_seqs": limits.max_num_seqs,
                "max_num_batched_tokens": limits.max_num_batched_tokens,
                "gpu_memory_utilization": limits.memory,
            }
        )
        roles: Literal["mixed"] | Roles = "mixed"
        if role != "mixed":
            one = Role(replicas=replicas, parallel=layout.parallel)
            roles = Roles(prefill=one, decode=one)
        return DeploymentInPlan(
            model=self.question.workload.model, device=layout.pool.device, pool=layout.pool.name, replicas=replicas,
            router="prefix-aware" if self.question.router == "prefix-aware" else "least-loaded", roles=roles,
            parallel=layout.parallel, engine=engine, labels=self._labels,
        )  # fmt: skip

    @cached_property
    def _labels(self) -> dict[str, str]:
        """The id under which the model is published, for engines that load it by that."""
        published = [alias for alias in self.question.model.aliases if "/" in alias]
        return {"published": published[0]} if published else {}

    def step(self, layout: Layout, role: str = "mixed") -> StepTime:
        """The step time of one replica, compiled for the largest limits; raises what `step_time` raises."""
        key = (layout.label, role)
        if key not in self._steps:
            self._steps[key] = self._compile(layout, role)
        found = self._steps[key]
        if isinstance(found, MissingHardwareError):
            raise found
        return found

    def _compile(self, layout: Layout, role: str) -> StepTime | MissingHardwareError:
        from planners.serving.candidates import MAX_NUM_BATCHED_TOKENS, MAX_NUM_SEQS

        largest = Limits(max(MAX_NUM_SEQS), max(MAX_NUM_BATCHED_TOKENS), 0.9)
        question = self.question
        profile = self._profile(layout, role)
        deployment = self.deployment(layout, largest, role=role)
        profile = profile or profile_for(question.model, layout.device, deployment)
        refuse_holes(profile, question.model, layout.parallel)
        try:
            return step_time(
                question.model,
                layout.device,
                deployment,
                profile=profile,
                role=role,  # type: ignore[arg-type]
                require=question.require,
            )
        except MissingHardwareError as error:
            return error

    def _profile(self, layout: Layout, role: str) -> StepEvidence | None:
        """The profile of this device that was given, if it covers this layout; measured rates where no other does."""
        for profile in sorted(self.question.profiles, key=lambda one: isinstance(one, HostProfileSpec)):
            if _is_of(profile, self.question.model, layout.device) and _covers(profile, layout, role):
                return profile
        return None

    def memory(self, layout: Layout, limits: Limits, role: str = "mixed") -> MemoryLedger:
        """The memory ledger of one replica."""
        key = (layout.label, role, limits)
        if key not in self._ledgers:
            deployment = self.deployment(layout, limits, role=role)
            self._ledgers[key] = ledger(self.question.model, layout.device, deployment, role=role)
        return self._ledgers[key]

    def factor(self, layout: Layout, end: End, role: str = "mixed") -> float:
        """What step times are multiplied with at that end of their interval."""
        error = self.step(layout, role).relative_error
        if end == "planned":
            return 1.0 + NormalDist().inv_cdf(self.question.confidence) / Z90 * error
        return {"nominal": 1.0, "low": max(1.0 - error, 0.2), "high": 1.0 + error}[end]

    def surface(self, layout: Layout, end: End = "nominal", role: str = "mixed") -> StepSurface:
        """The step-time surface at that end of its interval."""
        key = (layout.label, role, self.factor(layout, end, role))
        if key not in self._scaled:
            self._scaled[key] = scaled_surface(self.step(layout, role).surface, key[2])
        return self._scaled[key]

    def kv_blocks(self, layout: Layout, limits: Limits, end: End = "nominal", role: str = "mixed") -> int:
        """KV blocks of one replica; the slow ends take the low end of the KV's interval."""
        held = self.memory(layout, limits, role)
        blocks = held.kv_tokens // self.question.engine.block_size_tokens
        if end == "nominal" or held.kv_bytes <= 0:
            return blocks
        lowest, highest = held.kv_bytes_low / held.kv_bytes, held.kv_bytes_high / held.kv_bytes
        share = NormalDist().inv_cdf(self.question.confidence) / Z90
        ratio = {"planned": 1 + share * (lowest - 1), "low": highest, "high": lowest}[end]
        longest = -(-(self.question.engine.max_model_len or 1) // self.question.engine.block_size_tokens)
        least = (
            0 if end == "planned" else min(longest, blocks)
        )  # an end of the interval at which the engine still starts
        return max(int(blocks * max(ratio, 0.0)), least)

    def pool(self, part: Part, end: End) -> Pool:
        """The simulator's pool for one part of a decision, without its spare replicas."""
        engine = self.question.engine
        limits = EngineLimits(
            max_num_seqs=part.limits.max_num_seqs, max_num_batched_tokens=part.limits.max_num_batched_tokens,
            kv_blocks=self.kv_blocks(part.layout, part.limits, end, part.role),
            block_size_tokens=engine.block_size_tokens,
            max_model_len=engine.max_model_len or self.question.model.max_context_tokens,
            prefix_caching=engine.prefix_caching,
        )  # fmt: skip
        return Pool(surface=self.surface(part.layout, end, part.role), limits=limits, replicas=part.replicas)

    @cached_property
    def transfer_gb_per_s(self) -> float:
        """Bandwidth that KV crosses between the roles: the network between nodes, in GB/s."""
        return self.question.cluster.network_gbps / 8

    @cached_property
    def transfer(self) -> Transfer:
        """KV transfer from prefill to decode replicas over the network."""
        per_token = kv_bytes_per_token(self.question.model, "bf16", 1)
        return Transfer(s_per_token=per_token / (max(self.transfer_gb_per_s, 1e-3) * 1e9))


def _is_of(profile: StepEvidence, model: ModelSpec, device: DeviceSpec) -> bool:
    if isinstance(profile, HostProfileSpec):
        return measures(profile, device)
    return (profile.model, profile.device) == (model.name, device.name)


def _covers(profile: StepEvidence, layout: Layout, role: str) -> bool:
    """Whether ``profile`` tells of the layout: operators of its TP degree, or whole steps of that very layout."""
    if isinstance(profile, HostProfileSpec):
        return True
    if isinstance(profile, EngineProfileSpec):
        return role == "mixed" and profile.parallel == layout.parallel
    return layout.parallel.tp in {table.tp for table in profile.tables}


def serve(
    bench: Workbench,
    decision: Decision,
    end: End = "nominal",
    *,
    question: Question | None = None,
    early_stop: EarlyStop | None = None,
) -> Run:
    """Simulate ``decision`` on the requests of ``question`` (the bench's own by default).

    Parts of a mix serve their own prompts, each behind its own queue; their runs are joined in order of arrival.
    """
    asked = question or bench.question
    if any(part.role != "mixed" for part in decision):
        prefill, decode = decision
        pools = (bench.pool(prefill, end), bench.pool(decode, end))
        return _simulate(asked, asked.requests, pools, early_stop, bench.transfer)
    if len(decision) == 1:
        return _simulate(asked, asked.requests, bench.pool(decision[0], end), early_stop, None)
    return _serve_mix(bench, asked, decision, end, early_stop)


def _serve_mix(bench: Workbench, asked: Question, decision: Decision, end: End, early_stop: EarlyStop | None) -> Run:
    """Each part on its own prompts; one part that alone exceeds what the whole may miss ends the rest."""
    runs = []
    for part in decision:
        chosen = served_by(part, asked.requests)
        if not chosen.any():
            continue
        run = _simulate(asked, select(asked.requests, chosen), bench.pool(part, end), early_stop, None)
        if run.stopped_early:
            return run
        runs.append((chosen, run))
    return join(runs)


def _simulate(
    question: Question,
    requests: Requests,
    pools: Pool | tuple[Pool, Pool],
    early_stop: EarlyStop | None,
    transfer: Transfer | None,
) -> Run:
    return simulate(
        requests, pools, router=question.router, closed_loop=question.closed_loop, transfer=transfer,
        early_stop=early_stop, seed=question.seed,
    )  # fmt: skip


def served_by(part: Part, requests: Requests) -> Chosen:
    """Which requests a part of a mix serves, by prompt length."""
    if part.prompts is None:
        return np.ones(len(requests), dtype=bool)
    chosen = np.zeros(len(requests), dtype=bool)
    for low, high in part.prompts:
        chosen |= (requests.prompt_tokens >= low) & (requests.prompt_tokens < high)
    return chosen


def select(requests: Requests, chosen: Chosen) -> Requests:
    """The chosen requests; prefix hashes are not carried (mixes of pools do not share a prefix cache)."""
    index, hits = requests.class_index, requests.hit_tokens
    return Requests(
        arrival_s=requests.arrival_s[chosen],
        prompt_tokens=requests.prompt_tokens[chosen],
        output_tokens=requests.output_tokens[chosen],
        class_index=None if index is None else index[chosen],
        hit_tokens=None if hits is None else hits[chosen],
    )


def join(runs: list[tuple[Chosen, Run]]) -> Run:
    """One run from the runs of several pools, requests in their original order."""
    if len(runs) == 1:
        return runs[0][1]
    order = np.argsort(np.concatenate([np.flatnonzero(chosen) for chosen, _ in runs]), kind="stable")
    first = runs[0][1]
    joined: dict[str, object] = {}
    for name in [f.name for f in fields(first) if f.name not in ("replicas", "replica", "gap_edges_s", "gap_counts")]:
        if isinstance(getattr(first, name), np.ndarray):
            joined[name] = np.concatenate([getattr(run, name) for _, run in runs])[order]
    offsets = np.cumsum([0, *(len(run.replicas.steps) for _, run in runs[:-1])])
    shifted = [run.replica + offset for (_, run), offset in zip(runs, offsets, strict=True)]
    joined["replica"] = np.concatenate(shifted)[order]
    totals = {
        f.name: np.concatenate([getattr(run.replicas, f.name) for _, run in runs]) for f in fields(first.replicas)
    }
    joined["replicas"] = type(first.replicas)(**totals)
    joined["gap_counts"] = np.sum([run.gap_counts for _, run in runs], axis=0)
    joined["longest_queue"] = max(run.longest_queue for _, run in runs)
    joined["steps_outside"] = sum(run.steps_outside for _, run in runs)
    joined["stopped_early"] = any(run.stopped_early for _, run in runs)
    return replace(first, **joined)  # type: ignore[arg-type]

"""What a serving plan is asked: the documents read, the requests drawn, the options of the call."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from predictors.serving import ClosedLoop, Requests
from predictors.serving.engine import Router
from predictors.workload import check_lengths, closed_loop_of, requests_of
from profilers.importers.load import read_load
from profilers.named import step_profile
from specs.catalog import find_device, find_model
from specs.cluster import Cluster, ClusterSpec
from specs.deployment import Engine
from specs.engine import StepEvidence
from specs.errors import InputError
from specs.model import ModelSpec
from specs.profile import Basis
from specs.reading import read_document, sha256
from specs.trace import Load
from specs.workload import Slo, Workload, WorkloadSpec

Objective = Literal["cost", "gpus"]
Survive = Literal["replica", "node"]
OnProgress = Callable[[float, float, str], None]
LENGTH_MARGIN = 1.2
"""max_model_len is planned this much above the longest request: the what-if of 20 % longer prompts must still fit."""


@dataclass(frozen=True, kw_only=True)
class Question:
    """Everything a plan depends on; equal questions give equal plans."""

    name: str
    model: ModelSpec
    workload: WorkloadSpec
    load: Load
    requests: Requests
    closed_loop: ClosedLoop | None
    cluster: ClusterSpec
    base: Path  # folder of the cluster document: device documents are relative to it
    objective: Objective
    confidence: float
    survive: Survive | None
    require: Basis | None
    profiles: tuple[StepEvidence, ...]
    seed: int
    inputs: dict[str, str]

    @property
    def slos(self) -> tuple[Slo, ...]:
        """The SLO of each class of requests, by `class_index`; the last is that of requests of no class."""
        return (*(known.slo for known in self.workload.classes), self.workload.slo)

    @property
    def class_names(self) -> tuple[str, ...]:
        """Name of each class; empty for requests of no class."""
        return (*(known.name for known in self.workload.classes), "")

    @property
    def engine(self) -> Engine:
        """The engine with the flags that every candidate shares."""
        longest = int((self.requests.prompt_tokens + self.requests.output_tokens).max())
        length = min(-(-int(longest * LENGTH_MARGIN) // 1024) * 1024, self.model.max_context_tokens)
        return Engine(max_model_len=length, prefix_caching=self.workload.prefix_sharing != "none")

    @property
    def router(self) -> Router:
        """Prefix-aware where prompts share prefixes that are known, else least-loaded."""
        return "prefix-aware" if self.requests.prefix_id is not None else "least-loaded"

    def scaled(self, *, load: float = 1.0, prompt: float = 1.0, output: float = 1.0) -> Question:
        """The same question with the load and lengths multiplied; requests are cut at the planned max_model_len."""
        drawn = requests_of(
            self.workload, self.load, seed=self.seed, load_scale=load, prompt_scale=prompt, output_scale=output
        )
        limit = self.engine.max_model_len or self.model.max_context_tokens
        output_tokens = np.minimum(drawn.output_tokens, limit - 1)
        prompt_tokens = np.minimum(drawn.prompt_tokens, limit - output_tokens)
        closed = self.closed_loop
        if closed is not None and load != 1.0:
            closed = replace(closed, concurrency=max(round(closed.concurrency * load), 1))
        requests = replace(drawn, prompt_tokens=prompt_tokens, output_tokens=output_tokens)
        return replace(self, requests=requests, closed_loop=closed)


def read_question(
    workload: Path,
    cluster: Path,
    *,
    objective: Objective,
    confidence: float,
    survive: Survive | None,
    require: Basis | None,
    profiles: tuple[Path, ...],
    seed: int,
    store: str | None = None,
) -> Question:
    """Read the documents and draw the requests; raises `InputError` for what is wrong in them."""
    asked, offered = read_document(workload, Workload), read_document(cluster, Cluster)
    if not offered.spec.pools:
        raise InputError(f"{cluster}: has no pool of GPU nodes", cure="List what can be used under `spec.pools`.")
    if not 0.5 <= confidence < 1:
        raise InputError(f"confidence is {confidence:g}, expected at least 0.5 and below 1")
    model = find_model(asked.spec.model, workload.parent)
    load = read_load(asked.spec, workload.parent)
    requests = requests_of(asked.spec, load, seed=seed)
    check_lengths(requests, model.max_context_tokens, limit=f"{model.name}'s context")
    _check_prices(offered.spec, objective, cluster)
    _check_slo(asked.spec, workload)
    specs = tuple(step_profile(path, store=store) for path in profiles)
    _check_profiles(specs, profiles, model, offered.spec, cluster.parent)
    inputs = {path.name: sha256(path) for path in (workload, cluster)} | dict(map(_identity, profiles)) | load.inputs
    return Question(
        name=f"{asked.metadata.name}-on-{offered.metadata.name}", model=model, workload=asked.spec, load=load,
        requests=requests, closed_loop=closed_loop_of(asked.spec), cluster=offered.spec, base=cluster.parent,
        objective=objective, confidence=confidence, survive=survive, require=require,
        profiles=specs, seed=seed, inputs=inputs,
    )  # fmt: skip


def _identity(profile: Path) -> tuple[str, str]:
    """A profile as an input of the plan: a file's name and sha256, or the id in the store, which is one."""
    return (profile.name, sha256(profile)) if profile.exists() else ("profile", str(profile))


def _check_profiles(
    specs: tuple[StepEvidence, ...], paths: tuple[Path, ...], model: ModelSpec, cluster: ClusterSpec, base: Path
) -> None:
    devices = {find_device(pool.device, base).name for pool in cluster.pools}
    for spec, path in zip(specs, paths, strict=True):
        if spec.model != model.name or spec.device not in devices:
            raise InputError(
                f"{path}: is a profile of {spec.model} on {spec.device}; planned is {model.name} on "
                f"{', '.join(sorted(devices))}",
                cure="Give profiles of this model on devices of the cluster, or none.",
            )


def _check_prices(cluster: ClusterSpec, objective: Objective, path: Path) -> None:
    for pool in cluster.pools:
        if objective == "cost" and pool.usd_per_gpu_hour is None:
            raise InputError(
                f"{path}: pool {pool.name!r}: usd_per_gpu_hour is missing, the objective is cost",
                cure="Give `usd_per_gpu_hour: {value: …, source: …, date: …}`, or plan with --objective gpus.",
            )


def _check_slo(workload: WorkloadSpec, path: Path) -> None:
    slos = [workload.slo, *(known.slo for known in workload.classes)]
    if not any(_bounds_anything(slo) for slo in slos):
        raise InputError(
            f"{path}: spec.slo: no bound is given, so any deployment would do",
            cure="Give for example `slo: {ttft_s: {p99: 1.0}, tpot_s: {p99: 0.05}}`.",
        )


def _bounds_anything(slo: Slo) -> bool:
    parts = (slo.request, slo.ttft_s, slo.tpot_s, slo.e2e_s, slo.itl_s)
    return any(part.model_dump(exclude_none=True) for part in parts)

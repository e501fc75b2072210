"""A model cut into layer services by `plan modules`: read from its plan, and what they sustain together."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from planners.autoscaling.capacities import LARGEST, engine_load, lengths_of, model_bounds, step_evidence
from planners.autoscaling.question import Asked, Cut, LayerGroup, ScaledLoad
from predictors.autoscaling.capacity import Capacity
from predictors.autoscaling.engine import engine_capacity
from predictors.autoscaling.state import FloatArray
from predictors.layered import Hop, Stretch, chained, compile_layered
from predictors.step_time.slices import slices
from specs.autoscaling import StartUp
from specs.catalog import find_device, find_model
from specs.deployment import DeploymentSpec
from specs.errors import InputError
from specs.modules import LayerPipeline, LayerService, ModulesDecision, ModulesPlan
from specs.profile import LayerProfileSpec
from specs.reading import read_document, sha256
from specs.workload import WorkloadSpec

NAMED = ("step_s", "gpus", "sustains_per_s")


@dataclass(frozen=True, kw_only=True)
class Planned:
    """What a plan of `plan modules` says of layer services."""

    path: Path
    decision: ModulesDecision
    pipeline: LayerPipeline

    @property
    def deployment(self) -> DeploymentSpec:
        """The whole instance that the services are the layers of."""
        return self.decision.deployments[0]

    @property
    def usd_per_gpu_hour(self) -> float | None:
        """What one of its GPUs costs, where the plan knows."""
        return None if self.decision.usd_per_hour is None else self.decision.usd_per_hour / self.decision.gpu_share


def read_cut(path: Path) -> Planned:
    """Read a ModulesPlan that decides for layer services; raises `InputError` for any other."""
    plan = read_document(path, ModulesPlan)
    again = "`tonnage plan modules DEPLOYMENT … --method layer-services -w FILE`"
    if plan.decision is None:
        raise InputError(f"{path}: is {plan.status.outcome}, so there are no layer services to scale", cure=f"{again}.")
    if plan.decision.method != "layer-services":
        found = f"{path}: decides for {plan.decision.method}, not for layer services"
        raise InputError(found, cure=f"Plan them: {again}.")
    lacking = [name for name in NAMED if any(getattr(one, name) is None for one in plan.decision.services)]
    if plan.decision.pipeline is None or lacking:
        told = ", ".join(["pipeline"] * (plan.decision.pipeline is None) + lacking)
        raise InputError(f"{path}: lacks {told}: an earlier version wrote it", cure=f"Plan again: {again}.")
    return Planned(path=path, decision=plan.decision, pipeline=plan.decision.pipeline)


def with_start_up(asked: Asked, planned: Planned, given: bool) -> Asked:
    """The question with the plan among its inputs; without a Scaling document a whole instance starts as planned."""
    inputs = asked.inputs | {planned.path.name: sha256(planned.path)}
    if given:
        return replace(asked, inputs=inputs)
    start = StartUp(weights_s=0.0, warm_up_s=planned.pipeline.instance_warmup_s)
    notes = (
        "no Scaling document was given (--scaling): the start-up of a whole instance is that of "
        f"{planned.path.name}, {planned.pipeline.instance_warmup_s:.3g} s after its image; the rest is assumed",
    )  # fmt: skip
    scaling = asked.scaling.model_copy(update={"start_up": start})
    return replace(asked, scaling=scaling, inputs=inputs, notes=notes)


def cut_load(
    asked: Asked, workload: WorkloadSpec, planned: Planned, rate: FloatArray, cluster: Path | None
) -> ScaledLoad:
    """The model as whole instances, with its layer services beside them; raises `InputError` for another model."""
    base, spec = planned.path.parent, planned.deployment
    if find_model(workload.model, asked.folder).name != find_model(spec.model, base).name:
        cure = "Give the plan of the workload's model."
        raise InputError(f"{planned.path}: cuts {spec.model}, the workload is for {workload.model}", cure=cure)
    load = engine_load(asked, asked.name, workload, asked.folder, (spec, base), rate, cluster)
    if load.usd_per_hour is None and planned.usd_per_gpu_hour is not None:
        load = replace(load, usd_per_hour=planned.usd_per_gpu_hour * load.gpus)
    capacity = _capacity(asked, workload, planned)
    groups = tuple(_group(asked, planned, one) for one in planned.decision.services)
    cut = Cut(source=planned.path.name, capacity=capacity, groups=groups, gpus_per_unit=spec.parallel.tp)
    return replace(load, cut=cut)


def _group(asked: Asked, planned: Planned, one: LayerService) -> LayerGroup:
    start = asked.scaling.start_up
    assert one.gpus is not None
    assert one.sustains_per_s is not None
    return LayerGroup(
        name=f"{asked.name}-{one.name}", first_layer=one.first_layer, last_layer=one.last_layer, gpus=one.gpus,
        share=one.sustains_per_s / planned.pipeline.sustains_per_s,
        start_up=StartUp(
            schedule_s=start.schedule_s, image_s=start.image_s, weights_s=0.0, warm_up_s=one.warmup_s
        ),
    )  # fmt: skip


def _capacity(asked: Asked, workload: WorkloadSpec, planned: Planned) -> Capacity:
    """What the cut as it is planned sustains, and how late it is: run on the engine model, as whole instances are."""
    spec, pipeline, base = planned.deployment, planned.pipeline, planned.path.parent
    model, device = find_model(spec.model, base), find_device(spec.device, base)
    profile = step_evidence(spec, model, device, base)
    assert profile is None or isinstance(profile, LayerProfileSpec)
    parts = slices(model, device, spec, profile=profile)
    lengths = lengths_of(workload, asked.folder)
    prompt, output = float(lengths.prompt_tokens.mean()), float(lengths.output_tokens.mean())
    hop = Hop(start_s=pipeline.hop_start_s, s_per_token=pipeline.hop_s_per_token)
    stretches = [
        Stretch(slices=parts, start=one.first_layer, stop=one.last_layer + 1, copies=one.replicas, hop=hop)
        for one in planned.decision.services
    ]
    reference = (float(min(64, spec.engine.max_num_seqs)), prompt + output / 2)
    surface = chained(stretches, model.layers, prompt, reference=reference)
    surface = surface._replace(stages=pipeline.stages, stage_share=pipeline.stage_share)
    compiled = compile_layered(spec, surface, pipeline.kv_tokens, parts)
    bounds, bound_s, _, _ = model_bounds(workload.slo, asked.scaling)
    whole = parts.whole
    return engine_capacity(
        compiled.pools[0], lengths, bounds, bound_s=bound_s, most=max(asked.scaling.quota or 0, LARGEST),
        basis=whole.evidence[0].basis, source=f"{whole.evidence[0].source}; cut as in {planned.path.name}",
        error=whole.relative_error,
    )  # fmt: skip

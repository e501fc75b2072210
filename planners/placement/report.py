"""The plan of a placement of layers: where they go, what it does, what else was possible, what it rests on."""

from __future__ import annotations

import time
from collections.abc import Sequence

from planners.placement.current import judged
from planners.placement.layers import SLACK, TOLERANCE, Bench, Choice, chosen, front_by_gpus
from planners.placement.question import OnProgress
from planners.placement.refusals import GIB, why
from predictors.deployment import serve
from predictors.estimate import expected_of, outlook_of
from predictors.layered import Stretch, compile_layered, stretch_surface
from predictors.serving.measures import measure
from predictors.slo import bounds_of, request_bounds
from predictors.step_time.error import upper_end
from predictors.step_time.slices import prefill_s
from predictors.workload import closed_loop_of
from solvers.chain_partition import Split
from specs.base import Figure
from specs.deployment import DeploymentInPlan, Parallel
from specs.placement import Placed, PlacementAlternative, PlacementDecision, PlacementExpected, PlacementPlan
from specs.plan import Evidence, Status
from specs.stamping import stamped

VARIANTS = {"lr": "least time (LR)", "he": "fewest resources (HE)", "helr": f"fewest within {SLACK:.0%} of LR (HELR)"}


def report_layers(
    bench: Bench, choices: Sequence[Choice], best: Choice, started: float, on_progress: OnProgress
) -> PlacementPlan:
    """Write the plan of ``best`` among ``choices``."""
    question = bench.question
    current = judged(bench)
    expected, evidence = _expected(bench, best, on_progress)
    told = why(bench)
    notes = [*told.notes, *_notes(bench)]
    count = len(choices)
    exact = question.objective == "latency"
    proof = "exact" if exact else f"within {TOLERANCE:.1%} of the least"
    reason = (
        f"{VARIANTS[question.variant]}: {best.value_s:.3g} s for a batch of {bench.batch}, {proof} over {count} sets "
        "of GPUs that fit"
    )
    missed = [name for name, holds in expected.holds.items() if not holds]
    if missed:
        notes.append(f"the SLO of {', '.join(missed)} is not kept; more copies of the placement would share its load")
    return PlacementPlan(
        metadata=stamped(question.name, question.inputs),
        status=Status(
            outcome="optimal" if exact else "feasible", reason=reason,
            solver={"method": "dynamic programming", "evaluated": count, "gap": 0.0 if exact else TOLERANCE,
                    "seconds": round(time.process_time() - started, 2)},
        ),
        valid="while the batch, lengths and free GPUs stay as they were given",
        decision=_decision(bench, best), expected=expected, evidence=evidence,
        why=told.model_copy(
            update={
                "binding": _binding(bench, best.split), "notes": tuple(notes),
                "front": tuple(_alternative(bench, one) for one in front_by_gpus(choices)),
                "compared": (
                    *(_named(bench, choices, name) for name in VARIANTS if name != question.variant), *current,
                ),
            }
        ),
    )  # fmt: skip


def _decision(bench: Bench, best: Choice) -> PlacementDecision:
    placed = tuple(_placed(bench, stretch, at) for stretch, at in _with_places(bench, best.split))
    model, engine = bench.served.model, bench.question.deployment(bench.served, bench.classes[0].device, bench.batch)
    published = {"published": model.aliases[0]} if model.aliases else {}
    sizes = ",".join(str(run.stop - run.start) for run in best.split.runs)
    deployment = DeploymentInPlan(
        **engine.model_dump(exclude={"parallel", "device", "pool"}), device=placed[0].device, pool=placed[0].pool,
        parallel=Parallel(pp=len(placed)),
        labels={**published, "layer_partition": sizes, "gpus": ",".join(str(one.gpu) for one in placed)},
    )  # fmt: skip
    return PlacementDecision(
        placed=placed, deployments=(deployment,), architectures={model.name: model.architecture},
        tied=(model.name,) if model.tied_embeddings else (), gpus=best.gpus, usd_per_hour=best.usd_per_hour,
        crossings=len(placed) - 1,
    )  # fmt: skip


def _with_places(bench: Bench, split: Split) -> list[tuple[Stretch, tuple[int, int]]]:
    return list(zip(bench.stretches(split), bench.places(split), strict=True))


def _placed(bench: Bench, stretch: Stretch, at: tuple[int, int]) -> Placed:
    device_class = bench.classes[at[0]]
    node, gpu = device_class.gpus[at[1]]
    weights = float(bench.weights[stretch.start : stretch.stop].sum())
    kv = float(bench.kv[stretch.start : stretch.stop].sum())
    surface = stretch_surface(stretch, bench.served.model.layers, bench.served.prompt_tokens)
    prefill, decode = bench.seconds(surface)
    return Placed(
        model=bench.served.model.name, pool=device_class.pool.name, node=node, gpu=gpu,
        device=device_class.device.name, first_layer=stretch.start, last_layer=stretch.stop - 1,
        weights_gib=round(weights / GIB, 3), kv_gib=round(kv / GIB, 3),
        free_gib=round((float(bench.capacity[at[0]]) - weights - kv) / GIB, 3),
        prefill_ms=round(prefill * 1e3, 3), decode_ms=round(decode * 1e3, 4),
    )  # fmt: skip


def _expected(
    bench: Bench, best: Choice, on_progress: OnProgress
) -> tuple[PlacementExpected, tuple[Evidence, ...]]:  # fmt: skip
    """Figures of one batch alone, and of the whole workload behind the engine model where there is one."""
    served, used = bench.served, {run.device_class for run in best.split.runs}
    error = max(bench.cuts[index].whole.relative_error for index in used)
    entries = [entry for index in sorted(used) for entry in bench.cuts[index].whole.evidence]
    entries.append(_memory_evidence(bench))
    surface = bench.surface(best.split)
    prefill, decode = bench.seconds(surface)
    if served.workload is not None:
        prefill = prefill_s(surface, served.prompt_tokens)
    rate = bench.batch * served.output_tokens / best.value_s
    found = PlacementExpected(
        request_s=_figure(best.value_s, error), prefill_s=_figure(prefill, error), decode_step_s=_figure(decode, error),
        tokens_per_s=None if served.workload else _figure(rate, error),
    )  # fmt: skip
    if served.workload is None or served.requests is None:
        return found, tuple(dict.fromkeys(entries))
    first = min(used)
    engine = bench.question.deployment(served, bench.classes[first].device, bench.batch)
    slowest = max(used, key=lambda index: bench.cuts[index].whole.relative_error)
    compiled = compile_layered(engine, surface, bench.kv_tokens(best.split), bench.cuts[slowest])
    outlook = outlook_of(compiled, served.workload, served.requests, bench.question.seed, on_progress)
    run = serve(
        compiled, served.requests, closed_loop=closed_loop_of(served.workload),
        time_factor=upper_end(error, bench.question.confidence), seed=bench.question.seed,
    )  # fmt: skip
    upper = measure(
        run, request_bounds(served.workload), prompt_tokens=served.requests.prompt_tokens, resamples=0,
        seed=bench.question.seed,
    )  # fmt: skip
    bounds = bounds_of(served.workload.slo, upper)
    found = found.model_copy(
        update={"serving": {served.name: expected_of(outlook)}, "holds": {served.name: all(b.holds for b in bounds)}}
    )
    return found, tuple(dict.fromkeys(entries))


def _memory_evidence(bench: Bench) -> Evidence:
    return Evidence(
        quantity="memory",
        basis="calibrated",
        source=f"tensors of {bench.served.model.name}, and the memory ledger",
        note="weights and KV layer by layer; activations, libraries and graphs as in one engine",
    )


def _figure(value: float, error: float) -> Figure:
    return Figure(
        value=float(f"{value:.5g}"), low=float(f"{value * (1 - error):.5g}"), high=float(f"{value * (1 + error):.5g}"),
        basis="90 %: step-time error",
    )  # fmt: skip


def _binding(bench: Bench, split: Split) -> str:
    """The tightest GPU and the slowest stage."""
    placed = [_placed(bench, stretch, at) for stretch, at in _with_places(bench, split)]
    tight = min(placed, key=lambda one: one.free_gib)
    slow = max(placed, key=lambda one: one.decode_ms)
    return (
        f"memory: {tight.free_gib:.1f} GiB free on {tight.pool} node {tight.node} GPU {tight.gpu}; "
        f"slowest stage: layers {slow.first_layer}–{slow.last_layer}, {slow.decode_ms:.3g} ms of a decode step"
    )


def describe(bench: Bench, split: Split) -> str:
    """A split in a phrase: how many layers on which device, in order."""
    parts: list[tuple[str, list[int]]] = []
    for run in split.runs:
        name = bench.classes[run.device_class].device.name
        if not parts or parts[-1][0] != name:
            parts.append((name, []))
        parts[-1][1].append(run.stop - run.start)
    return ", ".join(f"{'+'.join(map(str, sizes))} on {name}" for name, sizes in parts)


def _alternative(bench: Bench, one: Choice) -> PlacementAlternative:
    return PlacementAlternative(
        decision=describe(bench, one.split), gpus=one.gpus, usd_per_hour=one.usd_per_hour,
        request_s=float(f"{one.value_s:.5g}"),
    )  # fmt: skip


def _named(bench: Bench, choices: Sequence[Choice], variant: str) -> PlacementAlternative:
    found = _alternative(bench, chosen(choices, variant, bench.question.least))
    return found.model_copy(update={"decision": f"{variant.upper()}: {found.decision}"})


def _notes(bench: Bench) -> list[str]:
    question, chain = bench.question, bench.chain
    notes = []
    free = int(chain.available.sum())
    if chain.most < min(free, bench.served.model.layers):
        notes.append(f"at most {chain.most} of the {free} free GPUs were looked at together (--most-gpus)")
    if chain.most > 1:
        notes.append(
            f"a crossing costs its link and {question.crossing_ms:g} ms of software (--crossing-ms); accelerate's "
            "hooks take about 1.1 ms, as UELLM's logs imply"
        )
    if question.objective == "throughput":
        notes.append(
            f"a batch of {bench.batch} is cut into {question.micro_batches} that follow each other: the sum of all "
            f"stages and {question.micro_batches - 1} × the slowest is least"
        )
    return notes

"""Whether what a stored profile measured still holds: measured again, or compared with a new profile."""

from __future__ import annotations

import itertools
import math
import os
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from profilers.alone import alone
from profilers.store import Store, compare, listing, load, open_store, plans_on, read_either
from solvers.change import AGREEMENT, FALSE_ALARMS, MINIMUM_EFFECT, Blocks, Change, changes
from specs.base import Document, Metadata
from specs.drift import DriftOutcome, DriftReport, DriftSpec, MetricDrift, RestingPlan
from specs.errors import InputError, MissingHardwareError
from specs.stored import FieldChange, content_id, short_id, storable

OnProgress = Callable[[float, float, str], None]
Data = dict[str, Any]
Identified = tuple[str, Data]

DRIFT_OF = "drift-of"  # label of a profile that was measured to look for drift: never the one that others are held to
DIGITS = 4
LAYERS_BUDGET_S = 60.0
BESIDE = {
    "HostProfile": (
        "spec.machine.versions", "spec.system", "spec.cpu", "spec.limits", "spec.numa", "spec.frequency.driver",
        "spec.frequency.governor", "spec.frequency.boost", "spec.memory.transparent_huge_pages",
    ),
    "LayerProfile": ("spec.machine.versions", "spec.machine.driver", "spec.engine_version"),
    "EngineProfile": ("spec.machine.versions", "spec.engine_version", "spec.server"),
}  # fmt: skip
"""Fields of each kind that are no measured rates but may explain why those moved."""


class Metric(NamedTuple):
    """One figure of a profile as it was measured: blocks of repeats above 0."""

    unit: str
    blocks: Blocks


def host_metrics(data: Data) -> dict[str, Metric]:
    """Return the anchors of a HostProfile's data, by name: CPU first, then each GPU's."""
    spec = data["spec"]
    found = dict(_anchors(spec, ""))
    for gpu in spec.get("gpus", ()):
        found |= _anchors(gpu, f"gpu {gpu['index']} ")
    return found


def _anchors(part: Data, where: str) -> Iterator[tuple[str, Metric]]:
    for one in part.get("bandwidth", ()):
        yield f"{where}memory {one['operation']}{_threads(one)}", Metric("GB/s", one["blocks_gb_per_s"])
    for one in part.get("compute", ()):
        yield f"{where}matrices {one['precision']}{_threads(one)}", Metric("TFLOP/s", one["blocks_tflops"])


def _threads(anchor: Data) -> str:
    threads = anchor.get("threads")
    return "" if threads is None else f", {threads} thread{'s' * (threads > 1)}"


def repeated_metrics(data: Data) -> dict[str, Metric]:
    """Return what a LayerProfile or EngineProfile repeated for this purpose, by name."""
    return {one["name"]: Metric(one["unit"], one["blocks"]) for one in data["spec"].get("repeats", ())}


def measure_layers(before: Data, on_progress: OnProgress) -> Document:
    """Profile the same layer on the same device again; raises `MissingHardwareError` where it is not here."""
    from profilers.devices import refuse_absent

    spec = before["spec"]
    device = "cpu" if spec["device"] == "cpu" else "cuda"
    refuse_absent(device)
    from profilers.layers import profile_layers
    from profilers.layers.profile import find_target
    from specs.catalog import find_model

    model, here = find_model(spec.get("measured_as") or spec["model"]), find_target(device).name
    machine, mine = spec["machine"].get("hostname_sha"), _this_machine()
    if here != spec["device"] or (device == "cpu" and machine != mine):
        where = spec["device"] if here != spec["device"] else "another machine's CPU"
        raise MissingHardwareError(
            f"the profile {before['metadata']['name']} was measured on {where}, this is {here}",
            cure="Measure there again, or compare with a profile from there: --against FILE.",
        )
    return profile_layers(
        model, device=device, tp=spec["tables"][0].get("tp", 1), budget_s=LAYERS_BUDGET_S, on_progress=on_progress,
        command="tonnage profile drift", named=spec.get("measured_as"),
    )  # fmt: skip


def measure_engine(before: Data, on_progress: OnProgress) -> Document:
    """Probe the same engine again, with the key of the environment; raises as `profile_endpoint` does."""
    from profilers.engine import Asked, Labels, profile_endpoint
    from specs.deployment import Parallel

    spec = before["spec"]
    url, probed = spec.get("url"), spec.get("probed")
    if not url or not probed:
        cure = "Compare with a profile of newer files: --against FILE."
        raise InputError(f"{before['metadata']['name']} was fitted to files: there is no engine to probe", cure=cure)
    asked = Asked(**{name: value if name == "max_seconds" else round(value) for name, value in probed.items()})
    labels = Labels(
        model=spec["model"], device=spec.get("device"), engine=spec["engine"],
        parallel=Parallel.model_validate(spec.get("parallel", {})),
        max_num_batched_tokens=spec.get("max_num_batched_tokens"),
    )  # fmt: skip
    key, served = os.environ.get("TONNAGE_API_KEY") or None, spec.get("server", {}).get("served_model")
    return profile_endpoint(url, asked, labels, key=key, served=served, on_progress=on_progress)


def measure_host(before: Data, on_progress: OnProgress) -> Document:
    """Profile this host again; raises `MissingHardwareError` where it is not the machine that ``before`` tells of."""
    from profilers.host.profile import profile_host
    from profilers.host.reading import host_fingerprint, read_host

    here = host_fingerprint(read_host())
    if here != before["spec"]["fingerprint"]:
        raise MissingHardwareError(
            f"the profile {before['metadata']['name']} was measured on another make of machine "
            f"({before['spec']['fingerprint']}; this one is {here})",
            cure="Measure there again, or compare with a profile from there: --against FILE.",
        )
    return profile_host(on_progress)


class Kind(NamedTuple):
    """How profiles of one kind are compared, and measured again."""

    metrics: Callable[[Data], dict[str, Metric]]
    measure: Callable[[Data, OnProgress], Document]


KINDS: dict[str, Kind] = {
    "HostProfile": Kind(host_metrics, measure_host),
    "LayerProfile": Kind(repeated_metrics, measure_layers),
    "EngineProfile": Kind(repeated_metrics, measure_engine),
}
"""The kinds of profile that keep the blocks a comparison needs."""
WORDS: dict[str, str] = {"host": "HostProfile"}
"""What the command line calls them."""


def stored_before(reference: str, store: str | None) -> Identified:
    """Return id and data of the earlier profile: a file, an id, or the word of a kind.

    A word means the newest profile of that kind, measured on this machine, that was not made by a look for drift: held
    to the newest of all, a slow drift would pass night by night. Raises `InputError` where there is none.
    """
    if reference not in WORDS:
        return _comparable(read_either(reference, store))
    opened = open_store(store, create=False)
    kind, here = WORDS[reference], _this_machine()
    for entry in reversed(listing(opened, kind).profiles):
        if entry.machine == here:
            identity, data = load(opened, entry.id)
            if DRIFT_OF not in data["metadata"].get("labels", {}):
                return identity, data
    cure = f"Run `tonnage profile {reference}` first, or name a profile by its id or file."
    raise InputError(f"store {opened.name}: holds no {kind} of this machine", cure=cure)


def _this_machine() -> str | None:
    from profilers.host.reading import this_machine

    return this_machine("").hostname_sha


def _comparable(found: Identified) -> Identified:
    kind = found[1]["kind"]
    if kind not in KINDS or not KINDS[kind].metrics(found[1]):
        cure = f"Known: {', '.join(KINDS)}, as tonnage measures them. `tonnage store diff` shows differences unjudged."
        raise InputError(f"{short_id(found[0])} is a {kind} that keeps no blocks to judge drift by", cure=cure)
    return found


def drift_against(before: Identified, after: Identified, store: Store | None = None) -> DriftReport:
    """Compare two profiles of one kind; plans that rest on ``before`` are looked up in ``store``.

    Raises `InputError` for another kind, or for profiles that share no metric.
    """
    return _report(before, after, _metrics(_comparable(before), after), store, measurements=0)


def drift_again(
    before: Identified,
    store: Store | None,
    *,
    budget_s: float,
    on_progress: OnProgress,
    keep: Callable[[Document], object],
    clock: Callable[[], float] = time.monotonic,
) -> DriftReport:
    """Measure again what ``before`` measured and compare; ``keep`` gets the last new profile.

    New profiles carry the label `DRIFT_OF`. One steady measurement is enough. A move is measured once more, whatever
    the budget, and counts where the same metric moves the same way twice in a row; one that does not is too noisy.
    What was too noisy is measured again while ``budget_s`` seconds allow another measurement as long as those before.
    Raises `MissingHardwareError` where another measurement runs, or where this is another machine.
    """
    identity, data = _comparable(before)
    measure = KINDS[data["kind"]].measure
    started, earlier = clock(), dict[str, bool]()
    for rounds in itertools.count(1):
        with alone():
            new = _labelled(measure(data, on_progress), identity)
        after = (content_id(new), storable(new))
        metrics = _metrics(before, after)
        moves = {one.name: one.change > 0 for one in metrics if one.outcome == "moved"}
        confirmed = {name for name, faster in moves.items() if earlier.get(name) is faster}
        spent = clock() - started
        in_budget = spent + spent / rounds <= budget_s
        again = (rounds == 1 and moves) or (_noisy(metrics) and in_budget)
        if confirmed or not again:
            keep(new)
            settled = [one if one.name in confirmed else _unconfirmed(one) for one in metrics]
            return _report(before, after, settled, store, rounds)
        earlier = moves
    raise AssertionError("the loop ends by its return")


def _labelled(new: Document, identity: str) -> Document:
    labels = {**new.metadata.labels, DRIFT_OF: short_id(identity)}
    return new.model_copy(update={"metadata": new.metadata.model_copy(update={"labels": labels})})


def _unconfirmed(one: MetricDrift) -> MetricDrift:
    return one.model_copy(update={"outcome": "too-noisy"}) if one.outcome == "moved" else one


def _noisy(metrics: Sequence[MetricDrift]) -> bool:
    return any(one.outcome == "too-noisy" for one in metrics)


def _metrics(before: Identified, after: Identified) -> list[MetricDrift]:
    """Return the verdict on each metric that both profiles have."""
    old, new = _both_metrics(before, after)
    both = [name for name in old if name in new]
    if not both:
        cure = "Measure both the same way."
        raise InputError(f"{short_id(before[0])} and {short_id(after[0])} share no measured figure", cure=cure)
    try:
        found = changes([(old[name].blocks, new[name].blocks) for name in both])
    except ValueError as error:
        cure = "Measure again: a profile that tonnage wrote has rates above 0 in every block."
        raise InputError(f"{short_id(before[0])} or {short_id(after[0])}: {error}", cure=cure) from None
    return [_metric(name, old[name], new[name], one) for name, one in zip(both, found, strict=True)]


def _both_metrics(before: Identified, after: Identified) -> tuple[dict[str, Metric], dict[str, Metric]]:
    kind = before[1]["kind"]
    if after[1]["kind"] != kind:
        cure = f"Compare with another {kind}."
        raise InputError(f"{short_id(after[0])} is a {after[1]['kind']}, {short_id(before[0])} a {kind}", cure=cure)
    return KINDS[kind].metrics(before[1]), KINDS[kind].metrics(after[1])


def _metric(name: str, old: Metric, new: Metric, found: Change) -> MetricDrift:
    return MetricDrift(
        name=name,
        unit=old.unit,
        outcome=found.outcome,
        before=_middle(old.blocks),
        after=_middle(new.blocks),
        change=_rounded(found.change),
        p=_rounded(found.p),
        smallest_detectable=_rounded(found.smallest) if math.isfinite(found.smallest) else None,
        disagreement=_rounded(found.disagreement),
        blocks_before=len(old.blocks),
        blocks_after=len(new.blocks),
        test=found.test,
    )


def _middle(blocks: Blocks) -> float:
    return _rounded(float(np.median([np.median(block) for block in blocks])))


def _rounded(value: float) -> float:
    return float(f"{value:.{DIGITS}g}")


def _report(
    before: Identified, after: Identified, metrics: Sequence[MetricDrift], store: Store | None, measurements: int
) -> DriftReport:
    old, new = _both_metrics(before, after)
    outcome = _outcome(metrics)
    data, later = before[1], after[1]
    spec = DriftSpec(
        outcome=outcome,
        reason=_reason(outcome, metrics),
        profile=before[0],
        profile_kind=data["kind"],
        profile_name=data["metadata"]["name"],
        profile_measured=_date(data),
        against=after[0],
        measured=_date(later),
        false_alarms=FALSE_ALARMS,
        minimum_effect=MINIMUM_EFFECT,
        agreement=AGREEMENT,
        measurements=measurements,
        metrics=tuple(metrics),
        only_before=tuple(name for name in old if name not in new),
        only_after=tuple(name for name in new if name not in old),
        beside=_beside(before, after),
        plans=_plans(store, before[0]),
    )
    return DriftReport(metadata=Metadata(name=f"drift-of-{spec.profile_name}", created=_date(later)), spec=spec)


def _outcome(metrics: Sequence[MetricDrift]) -> DriftOutcome:
    if any(one.outcome == "moved" for one in metrics):
        return "drift"
    return "too-noisy" if _noisy(metrics) else "steady"


def _reason(outcome: DriftOutcome, metrics: Sequence[MetricDrift]) -> str:
    if outcome == "drift":
        moved = sorted((one for one in metrics if one.outcome == "moved"), key=lambda one: one.change)
        return f"{len(moved)} of {len(metrics)} figures moved: " + ", ".join(map(_words, moved))
    if outcome == "too-noisy":
        noisy = sum(one.outcome == "too-noisy" for one in metrics)
        return f"{noisy} of {len(metrics)} figures are too noisy to tell; none is known to have moved"
    most = max(one.smallest_detectable or 0.0 for one in metrics)
    return f"no figure moved; a change of {100 * most:.1f} % would have been seen in each"


def _words(one: MetricDrift) -> str:
    return f"{one.name} {abs(100 * one.change):.1f} % {'faster' if one.change > 0 else 'slower'}"


def _date(data: Data) -> str | None:
    date = data["spec"].get("machine", {}).get("date") or data["metadata"].get("created")
    return None if date is None else str(date)


def _beside(before: Identified, after: Identified) -> tuple[FieldChange, ...]:
    wanted = BESIDE[before[1]["kind"]]
    fields = compare(before, after).fields
    return tuple(one for one in fields if any(one.field == name or one.field.startswith(f"{name}.") for name in wanted))


def _plans(store: Store | None, profile: str) -> tuple[RestingPlan, ...]:
    plans = plans_on(store, profile) if store is not None else ()
    return tuple(RestingPlan(id=plan.id, kind=plan.kind, name=plan.name) for plan in plans)

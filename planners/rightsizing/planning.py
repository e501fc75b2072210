"""`plan rightsizing` from what containers used to its plan."""

from __future__ import annotations

import time
from collections.abc import Callable

from planners.rightsizing.deciding import decide, left_alone, refusal, unset
from planners.rightsizing.estimates import needs, steady
from planners.rightsizing.expecting import Judged, expected_of, totals, why_of
from planners.rightsizing.settings import Settings
from planners.rightsizing.shadow import shadow_of
from specs.errors import InputError
from specs.plan import Evidence, Status
from specs.rightsizing import ContainerDecision, RightsizingDecision, RightsizingPlan, RightsizingWhy, Verdict
from specs.stamping import stamped
from specs.usage import ContainerUsage, Usage

OnProgress = Callable[[float, float, str], None]
ORDER = ("critical", "warning", "ok", "good", None)
NOTES = (
    "Samples are means over their step: what happens between them, short throttling above all, is not seen.",
    "Requests count per replica; the largest replica decides where only it is known.",
)


def plan(usage: Usage, settings: Settings, *, name: str, on_progress: OnProgress | None = None) -> RightsizingPlan:
    """Recommend requests and limits for every container of ``usage``; what cannot be said is said why.

    Raises `InputError` where there is no container at all. [ours; VPA recommender and krr arithmetic: code]
    """
    started = time.process_time()
    progress = on_progress or (lambda done, total, what: None)
    if not usage.containers:
        raise InputError(f"{usage.source}: no container with samples", cure="Check the selection and the columns.")
    judged = []
    for number, one in enumerate(usage.containers):
        progress(number, len(usage.containers), one.label)
        judged.append(_judge(one, settings))
    judged.sort(key=lambda one: (ORDER.index(one.decision.severity), -one.weight, one.decision.label))
    return _document(usage, settings, judged, name, time.process_time() - started)


def _judge(usage: ContainerUsage, settings: Settings) -> Judged:
    if (why := refusal(usage, settings)) is not None:
        return Judged(usage=usage, decision=unset(usage, "abstained", why))
    if (why := left_alone(usage)) is not None:
        return Judged(usage=usage, decision=unset(usage, "left", why))
    samples = steady(usage)
    found = needs(usage, samples, settings.method, settings)
    decision = decide(usage, samples, found, settings)
    shadow = shadow_of(usage, settings) if settings.shadow_days else None
    return Judged(usage=usage, decision=decision, samples=samples, needs=found, shadow=shadow)


def _document(usage: Usage, settings: Settings, judged: list[Judged], name: str, seconds: float) -> RightsizingPlan:
    decisions = tuple(one.decision for one in judged)
    said = [one for one in judged if one.decision.recommended is not None]
    return RightsizingPlan(
        metadata=stamped(name, usage.inputs),
        status=_status(decisions, usage.missing, seconds),
        valid="while load, code and node types stay; renew it with each release and at least monthly",
        decision=RightsizingDecision(containers=decisions),
        expected=totals([expected_of(one, settings) for one in said], settings),
        why=RightsizingWhy(
            method=settings.method,
            settings={"cpu_share": settings.share, "least_days": settings.least_days,
                      "survive": "replica" if settings.survive else "none"},
            containers=tuple(why_of(one, settings) for one in said),
            notes=(*NOTES, *usage.missing),
        ),
        evidence=_evidence(usage, said),
    )  # fmt: skip


def _status(decisions: tuple[ContainerDecision, ...], missing: tuple[str, ...], seconds: float) -> Status:
    counted: dict[Verdict, int] = {}
    for one in decisions:
        counted[one.verdict] = counted.get(one.verdict, 0) + 1
    words = {"change": "to change", "keep": "to keep", "left": "left to their autoscaler", "abstained": "not judged"}
    reason = ", ".join(f"{counted[verdict]} {words[verdict]}" for verdict in words if verdict in counted)
    reason = f"{len(decisions)} container{'s' * (len(decisions) != 1)}: {reason}"
    none = "change" not in counted and "keep" not in counted
    first = decisions[0].reason if none else ""
    return Status(
        outcome="abstained" if none else "feasible",
        reason=f"{reason}; {first}" if none else reason,
        missing="tonnage plan rightsizing --prometheus URL --range 14d" if none else None,
        solver={"containers": len(decisions), "seconds": round(seconds, 2)},
    )


def _evidence(usage: Usage, said: list[Judged]) -> tuple[Evidence, ...]:
    days = sorted(one.usage.days for one in said)
    over = f"{days[0]:.1f}–{days[-1]:.1f} days" if days else "no history"
    return (Evidence(quantity="cpu and memory use", basis="measured", source=f"{usage.source}, {over}"),)

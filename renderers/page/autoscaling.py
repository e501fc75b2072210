"""The parts of a page that an autoscaling plan alone has: load and replicas over time, cost against violations."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from renderers.autoscaling import settings
from renderers.page.parts import Chart, chart, figure, number, section, table, terms
from specs.autoscaling import AutoscalingPlan, LoadFigure, Method

HOUR_S = 3600.0
RECOMMENDED = "recommended"


def decision(plan: AutoscalingPlan) -> Iterator[str]:
    """Yield the lines of the decision: one policy per service."""
    if plan.decision is None:
        return
    yield from (f"{one.service}: {settings(one.policy)}" for one in plan.decision.services)
    if plan.decision.usd_per_week is not None:
        yield f"{plan.decision.usd_per_week:.2f} USD a week"


def sections(plan: AutoscalingPlan, ledger: object = None) -> Iterator[str]:
    """Yield the cards of an autoscaling plan; it has no memory ledger."""
    yield section("What was promised", terms(plan.why.slo.items() if plan.why else ()))
    for one in plan.expected.over_time if plan.expected else ():
        title = f"Load and replicas of {one.service}"
        yield section(
            title, chart(f"load-of-{one.service}", _load(one)), chart(f"replicas-of-{one.service}", _count(one))
        )
    for service in dict.fromkeys(one.service for one in (plan.why.compared if plan.why else ())):
        yield section(f"Policies of {service}", _reason(plan, service), _front(plan, service), _table(plan, service))
    yield section("Notes", terms(("note", note) for note in (plan.why.notes if plan.why else ())))


def _hours(one: LoadFigure) -> list[float]:
    return [(at - one.at_s[0]) / HOUR_S for at in one.at_s]


def _line(x: Sequence[float], y: Sequence[float], name: str, **more: Any) -> dict[str, Any]:
    return {"type": "scatter", "mode": "lines", "x": list(x), "y": list(y), "name": name, **more}


def _load(one: LoadFigure) -> Chart:
    """The load, and the band between it and what was forecast."""
    drawn = []
    if one.forecast_per_s:
        drawn.append(_line(_hours(one), one.forecast_per_s, "forecast", line={"dash": "dot"}))
    fill = {"fill": "tonexty", "fillcolor": "rgba(120,120,120,0.25)"} if drawn else {}
    drawn.append(_line(_hours(one), one.rate_per_s, "load", **fill))
    return figure(drawn, "hours of the scored load", "requests per second")


def _count(one: LoadFigure) -> Chart:
    steps = _line(_hours(one), one.replicas, "replicas", line={"shape": "hv"})
    return figure([steps], "hours of the scored load", "replicas")


def _of(plan: AutoscalingPlan, service: str) -> list[Method]:
    return [one for one in (plan.why.compared if plan.why else ()) if one.service == service]


def _cost(one: Method) -> float:
    return one.score.replica_hours if one.score.usd is None else one.score.usd


def _unit(methods: list[Method]) -> str:
    return "replica-hours" if methods[0].score.usd is None else "USD"


def _front(plan: AutoscalingPlan, service: str) -> str:
    """Cost against the share of late requests: the front, the rest, and what is recommended."""
    methods = _of(plan, service)
    groups = (
        ("Pareto front", [one for one in methods if one.pareto and one.verdict != RECOMMENDED], "circle"),
        ("others", [one for one in methods if not one.pareto and one.verdict != RECOMMENDED], "x"),
        (RECOMMENDED, [one for one in methods if one.verdict == RECOMMENDED], "diamond"),
    )
    drawn = [
        {"type": "scatter", "mode": "markers", "name": name, "x": [_cost(one) for one in mine],
         "y": [100.0 * one.score.violations for one in mine], "text": [one.name for one in mine],
         "marker": {"size": 14 if name == RECOMMENDED else 10, "symbol": symbol}}
        for name, mine, symbol in groups if mine
    ]  # fmt: skip
    found = figure(drawn, f"{_unit(methods)} over the scored load", "late requests (%)")
    return chart(f"cost-of-{service}", found if len(methods) > 1 else None)


def _table(plan: AutoscalingPlan, service: str) -> str:
    methods = _of(plan, service)
    rows = [
        (one.name, f"{one.score.violations:.3%}", number(_cost(one), 4), number(one.score.reversals_per_hour, 3),
         "> 1 h" if one.score.recovers_s is None else f"{one.score.recovers_s:.0f} s", one.verdict)
        for one in methods
    ]  # fmt: skip
    heads = ("policy", "late", _unit(methods), "turns per hour", "recovers in", "")
    return table(heads, rows, numbers=(1, 2, 3, 4))


def _reason(plan: AutoscalingPlan, service: str) -> str:
    return terms((("because", plan.why.reasons.get(service) if plan.why else None),))

"""The parts of a page that an autoscaling plan alone has: load and replicas over time, cost against violations."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from renderers.autoscaling import headline
from renderers.page.parts import Chart, bound, chart, figure, number, paragraph, section, table, terms
from specs.autoscaling import AutoscalingPlan, LoadFigure, Method

HOUR_S = 3600.0
LOAD, EDGE = "#2a85e0", "rgba(128,128,128,0.9)"
SHADES = ("rgba(128,128,128,0.45)", "rgba(128,128,128,0.3)", "rgba(128,128,128,0.18)")
"""Of the bands from the median up, seen on light and dark ground alike."""
RECOMMENDED = "recommended"


def decision(plan: AutoscalingPlan) -> Iterator[str]:
    """Yield the lines of the decision: one policy per service."""
    if plan.decision is None:
        return
    yield from (headline(one) for one in plan.decision.services)
    if plan.decision.usd_per_week is not None:
        yield f"{plan.decision.usd_per_week:.2f} USD a week"


def sections(plan: AutoscalingPlan, ledger: object = None) -> Iterator[str]:
    """Yield the cards of an autoscaling plan; it has no memory ledger."""
    yield section(
        "What was promised", terms((name, one.told) for name, one in (plan.why.slo if plan.why else {}).items())
    )
    for one in plan.expected.over_time if plan.expected else ():
        title = f"Load and {one.counts} of {one.service}"
        load, count = chart(f"load-of-{one.service}", _load(one)), chart(f"replicas-of-{one.service}", _count(one))
        yield section(title, load, _forecast(one), count)
    for service in dict.fromkeys(one.service for one in (plan.why.compared if plan.why else ())):
        yield section(f"Policies of {service}", _reason(plan, service), _front(plan, service), _table(plan, service))
    yield section("Notes", terms(("note", note) for note in (plan.why.notes if plan.why else ())))


def _hours(one: LoadFigure) -> list[float]:
    return [(at - one.at_s[0]) / HOUR_S for at in one.at_s]


def _line(x: Sequence[float], y: Sequence[float], name: str, **more: Any) -> dict[str, Any]:
    return {"type": "scatter", "mode": "lines", "x": list(x), "y": list(y), "name": name, **more}


def _load(one: LoadFigure) -> Chart:
    """The load over what was forecast for each time: the median, and what lies between it and the higher levels."""
    drawn = []
    for at, (level, values) in enumerate(one.quantiles_per_s.items()):
        shade = {"fill": "tonexty", "fillcolor": SHADES[min(at, len(SHADES)) - 1]} if at else {}
        line = {"width": 0.5, "color": EDGE} if at else {"dash": "dot", "color": EDGE}
        name = f"to {level}" if at else f"forecast {level}"
        drawn.append(_line(_hours(one), values, name, line=line, **shade))
    drawn.append(_line(_hours(one), one.rate_per_s, "load", line={"width": 2, "color": LOAD}))
    return figure(drawn, "hours of the scored load", "requests per second")


def _forecast(one: LoadFigure) -> str:
    """How the forecast was made, where the plan says so."""
    if one.ahead_s is None or one.forecast_by is None:
        return ""
    ahead = f"{one.ahead_s / 60.0:.0f} min"
    return paragraph(f"Each time was forecast {ahead} before, by the {one.forecast_by} of `tonnage predict load`.")


def _count(one: LoadFigure) -> Chart:
    steps = _line(_hours(one), one.replicas, one.counts, line={"shape": "hv"})
    return figure([steps], "hours of the scored load", one.counts)


def _of(plan: AutoscalingPlan, service: str) -> list[Method]:
    return [one for one in (plan.why.compared if plan.why else ()) if one.service == service]


def _front(plan: AutoscalingPlan, service: str) -> str:
    """Cost against the share of late requests: the front, the rest, and what is recommended."""
    methods = _of(plan, service)
    groups = (
        ("Pareto front", [one for one in methods if one.pareto and one.verdict != RECOMMENDED], "circle"),
        ("others", [one for one in methods if not one.pareto and one.verdict != RECOMMENDED], "x"),
        (RECOMMENDED, [one for one in methods if one.verdict == RECOMMENDED], "diamond"),
    )
    drawn = [
        {"type": "scatter", "mode": "markers", "name": name, "x": [one.score.cost for one in mine],
         "y": [100.0 * one.score.violations for one in mine], "text": [one.name for one in mine],
         "marker": {"size": 14 if name == RECOMMENDED else 10, "symbol": symbol}}
        for name, mine, symbol in groups if mine
    ]  # fmt: skip
    promise = plan.why.slo.get(service) if plan.why else None
    if promise is not None and promise.late_share is not None:
        allowed = float(f"{100.0 * promise.late_share:.6g}")
        drawn.append(bound([0.0, *(one.score.cost for one in methods)], allowed, "promised"))
    found = figure(drawn, f"{methods[0].score.cost_unit} over the scored load", "late requests (%)")
    return chart(f"cost-of-{service}", found if len(methods) > 1 else None)


def _table(plan: AutoscalingPlan, service: str) -> str:
    methods = _of(plan, service)
    rows = [
        (one.name, f"{one.score.violations:.3%}", number(one.score.cost, 4), number(one.score.reversals_per_hour, 3),
         "> 1 h" if one.score.recovers_s is None else f"{one.score.recovers_s:.0f} s", one.verdict)
        for one in methods
    ]  # fmt: skip
    heads = ("policy", "late", methods[0].score.cost_unit, "turns per hour", "recovers in", "")
    return table(heads, rows, numbers=(1, 2, 3, 4))


def _reason(plan: AutoscalingPlan, service: str) -> str:
    return terms((("because", plan.why.reasons.get(service) if plan.why else None),))

"""The parts of a page that a serving plan alone has: latency against load, cost against p99, memory."""

from __future__ import annotations

from collections.abc import Iterator

from renderers.page.parts import Chart, Row, bound, chart, figure, line, number, section, table, terms
from renderers.plan_table import headline, limits
from specs.estimate import MemoryEstimate
from specs.plan import Alternative, Percentiles, ServingPlan

LATENCIES = {"ttft_s": "TTFT", "tpot_s": "TPOT", "e2e_s": "end to end"}


def decision(plan: ServingPlan) -> Iterator[str]:
    """Yield the lines of the decision."""
    if plan.decision is None:
        return
    yield from (f"{headline(one)} · {limits(one)}" for one in plan.decision.deployments)
    cost = "" if plan.decision.usd_per_hour is None else f" · {plan.decision.usd_per_hour:.2f} USD/h"
    yield f"{plan.decision.gpus} GPUs{cost}"


def sections(plan: ServingPlan, ledger: MemoryEstimate | None) -> Iterator[str]:
    """Yield the cards of a serving plan."""
    yield section("What will happen", _expected(plan), _headroom(plan))
    yield section("Latency against load", chart("ttft-against-load", _against_load(plan, "ttft")),
                  chart("tpot-against-load", _against_load(plan, "tpot")))  # fmt: skip
    yield section("Cost against p99", chart("cost-against-p99", _pareto(plan)), _compared(plan))
    yield section("What if", _what_if(plan))
    yield from _memory(ledger)


def _expected(plan: ServingPlan) -> str:
    if plan.expected is None:
        return ""
    rows = [
        (name, *(_interval(getattr(plan.expected, field), level) for level in ("p50", "p90", "p99")), _slo(plan, field))
        for field, name in LATENCIES.items()
    ]
    attained = plan.expected.attainment
    rows.append(("attainment", f"{100 * attained.value:.2f} %", "", "", _slo(plan, "attainment")))
    return table(("", "p50", "p90", "p99", "bound"), rows)


def _interval(percentiles: Percentiles, level: str) -> str:
    found = getattr(percentiles, level)
    if found is None:
        return "–"
    return f"{number(found.value)} s ({number(found.low)} – {number(found.high)})"


def _slo(plan: ServingPlan, name: str) -> str:
    held = [one for one in (plan.why.slo if plan.why else ()) if one.name.startswith(name)]
    return "; ".join(_bound(one.name.partition(".")[2], one.bound) for one in held)


def _bound(level: str, value: float) -> str:
    return f"{level} ≤ {number(value)} s" if level else f"≥ {number(value)}"


def _headroom(plan: ServingPlan) -> str:
    why = plan.why
    if why is None or why.headroom is None:
        return ""
    return terms((("bound by", why.binding), ("headroom", f"{why.headroom:.2f} × this load"), ("valid", plan.valid)))


def _against_load(plan: ServingPlan, name: str) -> Chart | None:
    points = [p for p in (plan.why.against_load if plan.why else ()) if getattr(p, f"{name}_p99_s") is not None]
    if len(points) < 2:
        return None
    factors = [one.factor for one in points]
    values = [getattr(one, f"{name}_p99_s") for one in points]
    drawn = [line(factors, values, f"{name.upper()} p99")]
    drawn += [
        bound(factors, one.bound, f"bound {number(one.bound)} s")
        for one in (plan.why.slo if plan.why else ())
        if one.name == f"{name}_s.p99"
    ]
    planned = [value for factor, value in zip(factors, values, strict=True) if factor == 1.0]
    drawn += [_planned([1.0], planned)] if planned else []
    return figure(drawn, "multiple of the planned load", f"{name.upper()} p99 (s), upper end")


def _planned(x: list[float], y: list[float]) -> dict[str, object]:
    return {"type": "scatter", "mode": "markers", "x": x, "y": y, "name": "the plan",
            "marker": {"size": 14, "symbol": "diamond", "color": "#1a7f4b"}}  # fmt: skip


def _pareto(plan: ServingPlan) -> Chart | None:
    known = [one for one in (plan.why.pareto if plan.why else ()) if one.ttft_p99_s is not None]
    if len(known) < 2:
        return None
    drawn = []
    for holds, name in ((True, "holds the SLO"), (False, "breaks it")):
        mine = [one for one in known if (one.breaks is None) == holds]
        drawn.append(
            {"type": "scatter", "mode": "markers", "x": [_cost(one) for one in mine], "name": name,
             "y": [one.ttft_p99_s for one in mine], "text": [one.decision for one in mine], "marker": {"size": 11}}
        )  # fmt: skip
    unit = "USD per hour" if known[0].usd_per_hour is not None else "GPUs"
    return figure(drawn, unit, "TTFT p99 (s), upper end", yaxis={"type": "log", "rangemode": "normal"})


def _cost(one: Alternative) -> float:
    return float(one.gpus) if one.usd_per_hour is None else one.usd_per_hour


def _compared(plan: ServingPlan) -> str:
    why = plan.why
    if why is None:
        return ""
    shown = [*([why.next_cheaper] if why.next_cheaper else []), *why.compared]
    rows = [(one.decision, number(_cost(one)), one.breaks or "holds") for one in shown]
    return table(("compared with", "cost", ""), rows, numbers=(1,))


def _what_if(plan: ServingPlan) -> str:
    rows = [
        (one.change, "holds" if one.holds else one.breaks, number(one.ttft_p99_s), number(one.tpot_p99_s))
        for one in (plan.why.what_if if plan.why else ())
    ]
    return table(("change", "", "TTFT p99 s", "TPOT p99 s"), rows, numbers=(2, 3))


def _memory(ledger: MemoryEstimate | None) -> Iterator[str]:
    for gpu in ledger.gpus if ledger else ():
        rows: list[Row] = [
            (one.name, f"{one.gib:.2f}", f"{one.low_gib:.2f} – {one.high_gib:.2f}", one.basis) for one in gpu.items
        ]
        rows.append(("used", f"{gpu.used_gib:.2f}", f"of {gpu.total_gib:.2f}", ""))
        role = "" if gpu.role == "mixed" else f", {gpu.role}"
        drawn = table(("", "GiB", "90 % interval", "basis"), rows, numbers=(1,))
        yield section(f"Memory of one GPU{role}", drawn)

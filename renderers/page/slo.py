"""The parts of a page that an SLO plan alone has: the paths with their budgets drawn, and what a millisecond costs."""

from __future__ import annotations

from collections.abc import Iterator

from renderers.page.parts import Chart, Row, chart, figure, number, section, table, terms
from renderers.slo import seconds
from specs.slo_plan import CriticalPath, ServiceBudget, SloPlan

MOST_BARS = 30


def decision(plan: SloPlan) -> Iterator[str]:
    """Yield the lines of the decision: replicas and their cost."""
    if plan.decision is None:
        return
    cost = "" if plan.decision.unit == "replicas" else f" · {plan.decision.cost:.4g} {plan.decision.unit}"
    yield f"{plan.decision.replicas} replicas of {len(plan.decision.services)} services{cost}"


def sections(plan: SloPlan, ledger: object = None) -> Iterator[str]:
    """Yield the cards of an SLO plan; it has no memory ledger."""
    yield section("What will happen", _entries(plan))
    yield section("Paths and their budgets", chart("budgets-along-paths", _paths(plan)), _steps(plan))
    yield section("Services", _services(plan))
    yield section("What a millisecond costs", chart("marginal-costs", _marginal(plan)), _relax(plan))
    yield section("Ways to split", _methods(plan))
    yield section("Changes", _changes(plan))
    yield section("Notes", terms(("note", note) for note in (plan.why.notes if plan.why else ())))


def _entries(plan: SloPlan) -> str:
    rows: list[Row] = []
    for one in plan.expected.entries if plan.expected else ():
        found = one.simulated_s
        simulated = "–" if found is None else f"{number(found.value)} s ({number(found.low)} – {number(found.high)})"
        held = "holds" if one.holds else "breaks"
        rows.append((one.entry, one.level, seconds(one.bound_s), seconds(one.composed_s), simulated, held))
    return table(("entry", "", "bound", "budgets", "simulated, 90 % interval", ""), rows)


def _by_name(plan: SloPlan) -> dict[str, ServiceBudget]:
    return {one.service: one for one in (plan.decision.services if plan.decision else ())}


def _paths(plan: SloPlan) -> Chart | None:
    """One bar per entry: the services on its longest path, callers first, each as long as its budget."""
    paths, budgets = plan.why.critical_paths if plan.why else (), _by_name(plan)
    names = list(dict.fromkeys(name for path in paths for name in path.services))
    drawn = [
        {"type": "bar", "orientation": "h", "name": name, "y": [path.entry for path in paths],
         "x": [_milliseconds(budgets[name]) if name in path.services else 0.0 for path in paths]}
        for name in names if name in budgets
    ]  # fmt: skip
    bounds = {
        "type": "scatter", "mode": "markers", "name": "bound", "y": [path.entry for path in paths],
        "x": [1e3 * path.bound_s for path in paths],
        "marker": {"symbol": "line-ns-open", "size": 26, "color": "#b3261e"},
    }  # fmt: skip
    return figure([*drawn, bounds], "budget (ms)", "", barmode="stack") if drawn else None


def _milliseconds(one: ServiceBudget) -> float:
    return 1e3 * (one.budget_s or 0.0)


def _steps(plan: SloPlan) -> str:
    return terms((path.entry, _arrows(path, _by_name(plan))) for path in (plan.why.critical_paths if plan.why else ()))


def _arrows(path: CriticalPath, budgets: dict[str, ServiceBudget]) -> str:
    parts = (f"{name} {seconds(budgets[name].budget_s)}" for name in path.services if name in budgets)
    return f"{' → '.join(parts)} within {seconds(path.bound_s)}"


def _services(plan: SloPlan) -> str:
    rows = [
        (one.service, f"{seconds(one.budget_s)} {one.level if one.budget_s else ''}", one.replicas,
         number(one.rate_per_s, 4), number(one.cpu_cores), number(one.memory_gib))
        for one in _by_name(plan).values()
    ]  # fmt: skip
    return table(("service", "budget", "replicas", "per second", "cores", "GiB"), rows, numbers=(2, 3, 4, 5))


def _marginal(plan: SloPlan) -> Chart | None:
    priced = sorted((one for one in _by_name(plan).values() if one.marginal), key=lambda one: -(one.marginal or 0.0))
    if not priced or plan.decision is None:
        return None
    shown = priced[:MOST_BARS]
    bars = {
        "type": "bar",
        "x": [one.service for one in shown],
        "y": [one.marginal for one in shown],
        "name": "marginal",
    }
    return figure([bars], "service", f"{plan.decision.unit} saved by a millisecond more")


def _relax(plan: SloPlan) -> str:
    return terms((("relax first", ", ".join(plan.why.relax_first) if plan.why else None),))


def _methods(plan: SloPlan) -> str:
    rows = [
        (one.method, number(one.whole_cost, 4), number(one.over, 4), one.failed or "")
        for one in (plan.why.compared if plan.why else ())
    ]
    return table(("method", "cost", "× the lower bound", ""), rows, numbers=(1, 2))


def _changes(plan: SloPlan) -> str:
    rows = [(one.service, one.now, one.planned) for one in (plan.why.changes if plan.why else ())]
    return table(("service", "now", "planned"), rows, numbers=(1, 2))

"""The table and the sentences of an SLO plan: budgets and replicas first, then the reasons, within 100 columns."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

from renderers.plain import LABEL, WIDEST, columns, refused, title, wrapped
from specs.slo_plan import EntryExpected, ServiceBudget, SloPlan

MOST_ROWS = 40


def slo_table(plan: SloPlan, width: int | None = None) -> str:
    """Return the plan as text of at most ``width`` columns (the terminal's, at most 100, when None)."""
    width = columns(width)
    parts = _decided(plan, width) if plan.decision else refused(plan, width)
    return "\n".join([title(plan, width), "", *parts])


def _decided(plan: SloPlan, width: int) -> Iterator[str]:
    yield from _budgets(plan, width)
    yield ""
    yield from _entries(plan, width)
    yield ""
    for label, text in _reasons(plan):
        if text:
            yield from wrapped(f"  {label:{LABEL}}", text, width)


def _budgets(plan: SloPlan, width: int) -> Iterator[str]:
    assert plan.decision is not None
    services, relax = list(plan.decision.services), plan.why.relax_first[:1] if plan.why else ()
    shown = services if len(services) <= MOST_ROWS else sorted(services, key=lambda one: -one.cost)[:MOST_ROWS]
    roomy, narrow = width >= 90, width < 74
    wide = min(max(max(len(one.service) for one in shown), 7), width - (76 if roomy else 48 if narrow else 58))
    head = f"  {'service':{wide}}  {'budget':>9}{'replicas':>10}{'cpu':>8}" + ("" if narrow else f"{'memory':>10}")
    yield head + (f"   a millisecond here costs ({plan.decision.unit})" if roomy else "   a ms costs")
    for one in shown:
        yield _row(one, wide, relax, roomy, narrow).rstrip()
    if len(shown) < len(services):
        yield f"  … and {len(services) - len(shown)} that cost less"
    yield from wrapped("  ", _total(plan), width)


def _row(one: ServiceBudget, wide: int, relax: tuple[str, ...], roomy: bool, narrow: bool) -> str:
    cpu = "–" if one.cpu_cores is None else f"{one.cpu_cores:.3g}"
    memory = "–" if one.memory_gib is None else f"{one.memory_gib:.3g} GiB"
    cost = "–" if one.marginal is None else f"{one.marginal:.3g}"
    mark = ("  ← relax this first" if roomy else " ←") if one.service in relax else ""
    cells = f"{seconds(one.budget_s):>9}{one.replicas:>10}{cpu:>8}" + ("" if narrow else f"{memory:>10}")
    return f"  {_short(one.service, wide):{wide}}  {cells}   {cost:>10}{mark}"


def _short(name: str, wide: int) -> str:
    return name if len(name) <= wide else name[: wide - 1] + "…"


def _total(plan: SloPlan) -> str:
    assert plan.decision is not None
    decision = plan.decision
    parts = [f"{decision.replicas} replicas"]
    if decision.unit != "replicas":
        parts.append(f"{decision.cost:.4g} {decision.unit}")
    if decision.cpu_cores is not None and decision.unit != "cores":
        parts.append(f"{decision.cpu_cores:.4g} cores")
    if decision.memory_gib is not None:
        parts.append(f"{decision.memory_gib:.4g} GiB")
    return " · ".join(parts)


def _entries(plan: SloPlan, width: int) -> Iterator[str]:
    if plan.expected is None:
        return
    names = [f"{one.entry} {one.level}" for one in plan.expected.entries]
    whole = width >= 80
    wide = min(max(map(len, names)), width - (72 if whole else 36))
    yield f"  {'':{wide}}  {'bound':>9}{'budgets':>11}{'simulated':>11}" + (
        "   90 % interval      standard error" if whole else ""
    )
    for name, one in zip(names, plan.expected.entries, strict=True):
        cells = f"{seconds(one.bound_s):>9}{seconds(one.composed_s):>11}"
        yield f"  {_short(name, wide):{wide}}  {cells}" + _found(one, whole)


def _found(one: EntryExpected, whole: bool) -> str:
    figure = one.simulated_s
    if figure is None or figure.low is None or figure.high is None:
        return ""
    interval = f"   {seconds(figure.low) + ' – ' + seconds(figure.high):<19}{seconds(one.standard_error_s)}"
    return f"{seconds(figure.value):>11}" + (interval if whole else "")


def _reasons(plan: SloPlan) -> Iterator[tuple[str, str]]:
    why, decision = plan.why, plan.decision
    if why is None or decision is None:
        return
    yield (
        "method",
        f"{decision.method}, percentiles composed by {decision.compose}; duality gap {max(why.gap, 0.0):.1e}",
    )
    yield "cost", plan.status.reason
    for path in why.critical_paths:
        shown = (
            path.services if len(path.services) <= 12 else (*path.services[:11], f"… {len(path.services) - 11} more")
        )
        yield "path", f"{path.entry}: {' → '.join(shown)}"
    yield (
        "compared",
        "; ".join(
            f"{one.method} {one.whole_cost:.4g} {decision.unit} ({one.over:.3f} × the bound)"
            for one in why.compared
            if one.whole_cost is not None and one.over is not None
        ),
    )
    changes = [f"{one.service} {one.now} → {one.planned}" for one in why.changes]
    yield "changes", ", ".join(changes[:12]) + (f" and {len(changes) - 12} more" if len(changes) > 12 else "")
    for note in why.notes[:6]:
        yield "note", note
    if len(why.notes) > 6:
        yield "note", f"{len(why.notes) - 6} more in the plan"
    yield "evidence", evidence(plan)


def evidence(plan: SloPlan) -> str:
    """How many latencies were measured and how many assumed, and the largest error of a curve."""
    found = [one for one in plan.evidence if one.quantity.startswith("latency of")]
    measured = [one for one in found if one.basis == "measured"]
    errors = [one.error for one in measured if one.error is not None]
    worst = f", the worst curve ± {max(errors):.0%}" if errors else ""
    parts = [f"{len(measured)} latency curves measured{worst}"] if measured else []
    parts += [f"{len(found) - len(measured)} assumed"] if len(found) > len(measured) else []
    return " · ".join(parts)


def explain(plan: SloPlan, *, plot: bool = False) -> str:
    """Tell the plan in sentences, with the arithmetic of its largest budget; ``plot`` draws the budgets as bars."""
    if plan.decision is None or plan.why is None or plan.expected is None:
        return "\n".join(refused(plan, WIDEST))
    lines = []
    for text in _sentences(plan):
        lines += [*textwrap.wrap(text, WIDEST), ""]
    return "\n".join(lines + (_bars(plan) if plot else []))


def _sentences(plan: SloPlan) -> Iterator[str]:
    decision, why, expected = plan.decision, plan.why, plan.expected
    if decision is None or why is None or expected is None:
        return
    for one in expected.entries:
        found = seconds(one.simulated_s.value) if one.simulated_s else "–"
        yield (
            f"{one.entry} must answer within {seconds(one.bound_s)} ({one.level}). The budgets compose to "
            f"{seconds(one.composed_s)} by {decision.compose}; simulated with these replicas it is {found}, standard "
            f"error {seconds(one.standard_error_s)}."
        )
    for path in why.critical_paths:
        parts = {one.service: one.latency_s for one in decision.services}
        terms = " + ".join(f"{name} {seconds(parts[name])}" for name in path.services[:10])
        more = f" + {len(path.services) - 10} more" if len(path.services) > 10 else ""
        yield f"The longest path of {path.entry}: {terms}{more}."
    yield (
        f"{decision.replicas} replicas cost {decision.cost:.5g} {decision.unit}. No split into real numbers of "
        f"replicas costs less than {why.lower_bound:.5g} (duality gap {max(why.gap, 0.0):.1e}), no whole replicas "
        f"less than {why.whole_lower_bound:.5g}: whole numbers cost at most {why.whole_gap:.1%}."
    )
    for service in sorted(decision.services, key=lambda each: -(each.marginal or 0.0))[:1]:
        if service.marginal:
            yield (
                f"A millisecond more for {service.service} would save {service.marginal:.3g} {decision.unit}: relax it "
                "first. Along one path all services are priced alike at the optimum, or the budget could be moved."
            )
    yield plan.status.reason[0].upper() + plan.status.reason[1:] + "."
    yield from (note[0].upper() + note[1:] + "." for note in why.notes)


def _bars(plan: SloPlan) -> list[str]:
    assert plan.decision is not None
    rows = sorted(plan.decision.services, key=lambda one: -(one.budget_s or 0.0))[:20]
    most = max((one.budget_s or 0.0 for one in rows), default=0.0) or 1.0
    wide = min(max(len(one.service) for one in rows), 26)
    return [
        f"{one.service[:wide]:{wide}} {'█' * max(round(50 * (one.budget_s or 0.0) / most), 1)} {seconds(one.budget_s)}"
        for one in rows
        if one.budget_s
    ]


def seconds(value: float | None) -> str:
    """A latency with its unit."""
    if value is None:
        return "–"
    return f"{value * 1e3:.3g} ms" if value < 0.9995 else f"{value:.3g} s"

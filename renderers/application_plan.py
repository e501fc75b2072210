"""The table of an application's plan: replicas first, then latencies, nodes, caches and reasons."""

from __future__ import annotations

from collections.abc import Iterator

from renderers.plain import LABEL, columns, refused, title, wrapped
from specs.application import Affinity
from specs.application_plan import ApplicationPlan, ServicePlanned
from specs.deployment import DeploymentInPlan, Roles
from specs.plan import Percentiles

MOST_ROWS, MOST_NODES, MOST_NOTES = 40, 20, 7
BASIS = "90 %: step times and KV at the ends of theirs, and sampling"


def application_table(plan: ApplicationPlan, width: int | None = None) -> str:
    """Return the plan as text of at most ``width`` columns (the terminal's, at most 100, when None)."""
    width = columns(width)
    parts = _decided(plan, width) if plan.decision else refused(plan, width)
    return "\n".join([title(plan, width), "", *parts])


def _decided(plan: ApplicationPlan, width: int) -> Iterator[str]:
    yield from wrapped("  ", _total(plan), width)
    yield ""
    yield from _services(plan, width)
    yield ""
    yield from _entries(plan, width)
    yield ""
    for label, text in [
        *_scaled(plan),
        *_places(plan),
        *_rules(plan),
        *_caches(plan),
        *_gpus(plan),
        *_limits(plan),
        *_reasons(plan),
    ]:
        if text:
            yield from wrapped(f"  {label:{LABEL}}", text, width)


def _total(plan: ApplicationPlan) -> str:
    decision = plan.decision
    assert decision is not None
    parts = [f"{decision.replicas} replicas on {count(len(decision.nodes), 'node')}"]
    if decision.gpus:
        parts.append(f"{sum(one.gpus for one in decision.gpus)} GPUs")
    if decision.usd_per_hour is not None:
        parts.append(f"{decision.usd_per_hour:.4g} USD/h")
    parts += [f"{decision.cpu_cores:.4g} cores", f"{decision.memory_gib:.4g} GiB"]
    if plan.why is not None:
        parts.append(f"for {rate(plan.why.load.rate_per_s)} requests/s")
    return " · ".join(parts)


def count(number: int, what: str) -> str:
    """A number with its noun."""
    return f"{number} {what}" + ("" if number == 1 else "s")


def _services(plan: ApplicationPlan, width: int) -> Iterator[str]:
    assert plan.decision is not None
    services = sorted(plan.decision.services, key=lambda one: -one.utilisation)
    if len(services) <= MOST_ROWS:
        services = list(plan.decision.services)
    shown, roomy = services[:MOST_ROWS], width >= 80
    wide = min(max(max(len(one.service) for one in shown), 7), width - (52 if roomy else 34))
    yield f"  {'service':{wide}}{'replicas':>10}{'budget':>10}{'used':>7}" + (
        f"{'cores':>8}{'memory':>11}   slowed" if roomy else ""
    )
    for one in shown:
        yield _row(one, wide, roomy)
    if len(shown) < len(services):
        yield f"  … and {len(services) - len(shown)} that are used less"


def _row(one: ServicePlanned, wide: int, roomy: bool) -> str:
    name = one.service if len(one.service) <= wide else one.service[: wide - 1] + "…"
    text = f"  {name:{wide}}{one.replicas:>10}{seconds(one.budget_s):>10}{one.utilisation:>7.0%}"
    return text + (f"{one.cpu_cores:>8.3g}{one.memory_gib:>7.3g} GiB{one.slowdown - 1.0:>9.0%}" if roomy else "")


def _entries(plan: ApplicationPlan, width: int) -> Iterator[str]:
    if plan.expected is None:
        return
    whole = width >= 80
    names = [f"{one.entry} {one.level}" for one in plan.expected.entries]
    wide = min(max(map(len, names), default=0), width - (62 if whole else 26))
    yield f"  {'':{wide}}{'bound':>10}{'simulated':>11}" + ("   90 % interval        of it network" if whole else "")
    for name, one in zip(names, plan.expected.entries, strict=True):
        figure = one.simulated_s
        text = f"  {name[:wide]:{wide}}{seconds(one.bound_s):>10}{seconds(figure.value):>11}"
        interval = f"{seconds(figure.low)} – {seconds(figure.high)}"
        yield text + (f"   {interval:<21}{seconds(one.network_s)}" if whole else "")


def _scaled(plan: ApplicationPlan) -> Iterator[tuple[str, str]]:
    assert plan.decision is not None
    ranged = [(one.service, one.scaling) for one in plan.decision.services if one.scaling]
    if ranged:
        low = ranged[0][1].least_rate_per_s
        said = ", ".join(f"{name} {one.least}–{one.most} at {one.cpu_utilisation:.0%}" for name, one in ranged)
        yield "scales", f"replicas at CPU use of the request, down to {rate(low)} requests/s: {said}"


def _rules(plan: ApplicationPlan) -> Iterator[tuple[str, str]]:
    """What the services' affinities ask for, all of it kept."""
    assert plan.decision is not None
    said = [f"{one.service} {', '.join(_asked(one.affinity))}" for one in plan.decision.services if one.affinity]
    if said:
        yield "kept", "; ".join(said[:MOST_ROWS])


def _asked(one: Affinity) -> Iterator[str]:
    if one.node_labels:
        yield "on " + " and ".join(f"{key}={value}" for key, value in one.node_labels.items())
    if one.most_per_node:
        yield f"at most {one.most_per_node} a node"
    if one.apart_from:
        yield f"apart from {' and '.join(one.apart_from)}"
    if one.together_with:
        yield f"beside {' and '.join(one.together_with)}"


def _places(plan: ApplicationPlan) -> Iterator[tuple[str, str]]:
    assert plan.decision is not None
    for node in plan.decision.nodes[:MOST_NODES]:
        held = [
            name + (f" × {n}" if n > 1 else "")
            for name, n in ((one.service, one.nodes.get(node.node, 0)) for one in plan.decision.services)
            if n
        ]
        full = f"(cpu {node.cpu_share:.0%}, memory {node.memory_share:.0%})"
        yield "node", f"{node.node}: {', '.join(held)} {full}"
    if len(plan.decision.nodes) > MOST_NODES:
        yield "node", f"{len(plan.decision.nodes) - MOST_NODES} more in the plan"


def _caches(plan: ApplicationPlan) -> Iterator[tuple[str, str]]:
    assert plan.decision is not None
    for one in plan.decision.caches:
        levels = (
            ("process", one.process_gib, one.process_share),
            ("store", one.store_gib, one.store_share),
            ("buffer", one.buffer_gib, one.buffer_share),
        )
        said = ", ".join(f"{name} {gib:.3g} GiB answers {share:.0%}" for name, gib, share in levels)
        yield (
            "cache",
            f"{one.service} → {one.database}: {said}, disk {one.disk_share:.0%}; a read {seconds(one.read_s)}"
            f" instead of {seconds(one.uncached_s)}",
        )


def _gpus(plan: ApplicationPlan) -> Iterator[tuple[str, str]]:
    assert plan.decision is not None
    for one in plan.decision.gpus:
        price = "" if one.usd_per_hour is None else f", {one.usd_per_hour:.4g} USD/h"
        engines = " + ".join(_engine(each) for each in one.deployments)
        yield "gpus", f"{one.service}: {count(one.gpus, 'GPU')}{price}: {engines}, {one.outcome} for {one.workload}"
        yield "", f"answers in {stated(one.e2e_s)}; first token in {stated(one.ttft_s)}"
        beyond = "" if one.headroom is None else f"; its own SLO holds up to {one.headroom:.3g} ×"
        yield "", f"for {one.rate_per_s:.3g} requests/s{beyond}; intervals {BASIS}"


def _engine(one: DeploymentInPlan) -> str:
    roles = one.roles
    copies = roles.prefill.replicas + roles.decode.replicas if isinstance(roles, Roles) else one.replicas
    return f"{copies} × {one.model} on {one.pool or one.device}, tp {one.parallel.tp}"


def stated(found: Percentiles) -> str:
    """The median and the highest percentile with its interval."""
    given = {name: one for name in ("p50", "p90", "p95", "p99") if (one := getattr(found, name)) is not None}
    if not given:
        return "–"
    last = list(given)[-1]
    ends = f" ({seconds(given[last].low)} – {seconds(given[last].high)})"
    middle = f"p50 {seconds(given['p50'].value)}, " if "p50" in given and last != "p50" else ""
    return f"{middle}{last} {seconds(given[last].value)}{ends}"


def _limits(plan: ApplicationPlan) -> Iterator[tuple[str, str]]:
    found = plan.expected
    if found is None:
        return
    yield (
        "fails first",
        f"at {rate(found.fails_first.rate_per_s)} requests/s ({found.fails_first.factor:.2f} × the plan's): "
        + found.fails_first.what,
    )
    yield "keeps", f"every bound up to {rate(found.keeps_slo_up_to_per_s)} requests/s with this allocation"
    yield "ceiling", f"{rate(found.ceiling_per_s)} requests/s: {found.ceiling_reason}"
    yield "nodes", f"{found.cpu_utilisation:.0%} of their cores kept busy"


def _reasons(plan: ApplicationPlan) -> Iterator[tuple[str, str]]:
    why = plan.why
    if why is None:
        return
    at = f", highest at {why.load.at}" if why.load.at else ""
    yield "load", f"{rate(why.load.rate_per_s)} requests/s: {why.load.basis}{at}"
    yield "why", plan.status.reason
    yield (
        "placement",
        f"{why.placement}: {why.network_in_flight:.3g} calls on the network at a time, {why.interference_cores:.3g}"
        " cores lost to neighbours",
    )
    yield "bound", _bound(plan)
    yield "proven", "; ".join(why.proven)
    yield "not proven", "; ".join(why.unproven)
    for one in why.compared:
        price = "" if one.usd_per_hour is None else f"{one.usd_per_hour:.4g} USD/h, "
        tight = "" if one.latency_over_bound is None else f", {one.latency_over_bound:.0%} of the tightest bound"
        yield "compared", one.way + ": " + (one.fails or f"{price}{one.nodes} nodes, {one.replicas} replicas{tight}")
    for note in why.notes[:MOST_NOTES]:
        yield "note", note
    measured = sum(one.basis == "measured" for one in plan.evidence)
    yield "evidence", f"{measured} of {len(plan.evidence)} sources measured, the others assumed or published"


def _bound(plan: ApplicationPlan) -> str:
    why = plan.why
    if why is None or why.bound_usd_per_hour is None or why.gap is None:
        return ""
    above = ", which these cost" if why.gap < 1e-9 else f"; these cost {why.gap:.0%} more"
    return f"no plan's nodes cost less than {why.bound_usd_per_hour:.4g} USD/h{above}"


def seconds(value: float | None) -> str:
    """A latency with its unit."""
    if value is None:
        return "–"
    if value < 0.9995e-3:
        return f"{value * 1e6:.3g} µs"
    return f"{value * 1e3:.3g} ms" if value < 0.9995 else f"{value:.3g} s"


def rate(per_s: float) -> str:
    """A rate to four digits, without an exponent where it is large."""
    return f"{per_s:,.0f}" if per_s >= 1000.0 else f"{per_s:.4g}"

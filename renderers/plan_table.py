"""The table of a serving plan: the decision first, then the reasons, within 100 columns."""

from __future__ import annotations

from collections.abc import Iterator

from renderers.plain import LABEL, columns, refused, title, wrapped
from specs.base import Figure
from specs.deployment import DeploymentInPlan, Roles
from specs.plan import Alternative, BoundHeld, Percentiles, ServingPlan

METRICS = {"ttft_s": "TTFT", "tpot_s": "TPOT", "e2e_s": "end to end", "itl_s": "ITL"}
LEVELS = ("p50", "p90", "p99")


def plan_table(plan: ServingPlan, width: int | None = None) -> str:
    """Return the plan as text of at most ``width`` columns (the terminal's, at most 100, when None)."""
    width = columns(width)
    parts = _decided(plan, width) if plan.decision else refused(plan, width)
    return "\n".join([title(plan, width), "", *parts])


def _decided(plan: ServingPlan, width: int) -> Iterator[str]:
    assert plan.decision is not None
    for deployment in plan.decision.deployments:
        yield from wrapped("  ", headline(deployment), width)
        yield from wrapped("  ", limits(deployment), width)
    yield from wrapped("  ", _cost(plan), width)
    yield ""
    yield from _latencies(plan, width)
    yield ""
    yield from _why(plan, width)


def headline(deployment: DeploymentInPlan) -> str:
    """For example ``3 × llama-3.1-70b on h100-sxm, tp 4``; both roles where they are apart."""
    weights = f" {deployment.precision.weights}" if deployment.precision.weights else ""
    where = f"{deployment.model}{weights} on {deployment.device}"
    if isinstance(deployment.roles, Roles):
        parts = (("prefill", deployment.roles.prefill), ("decode", deployment.roles.decode))
        return f"{where}: " + " + ".join(f"{role.replicas} × {name} {_degrees(role.parallel)}" for name, role in parts)
    served = f", prompts of {deployment.labels['prompt_tokens']} tokens" if "prompt_tokens" in deployment.labels else ""
    return f"{deployment.replicas} × {where}, {_degrees(deployment.parallel)}{served}"


def _degrees(parallel: object) -> str:
    found = [(name, getattr(parallel, name)) for name in ("tp", "pp", "ep", "dp")]
    return " ".join(f"{name} {n}" for name, n in found if n > 1 or name == "tp")


def limits(deployment: DeploymentInPlan) -> str:
    """The limits that the engine must be started with."""
    engine = deployment.engine
    return (
        f"max-num-seqs {engine.max_num_seqs} · max-num-batched-tokens {engine.max_num_batched_tokens} · "
        f"memory {engine.gpu_memory_utilization:.2f}"
    )


def _cost(plan: ServingPlan) -> str:
    assert plan.decision is not None
    parts = [f"{plan.decision.gpus} GPU{'s' * (plan.decision.gpus != 1)}"]
    if plan.decision.usd_per_hour is not None:
        parts.append(f"{plan.decision.usd_per_hour:.2f} USD/h")
    if plan.expected is not None:
        output, every = plan.expected.usd_per_million_output_tokens, plan.expected.usd_per_million_tokens
        parts += [f"{output.value:.2f} USD/M output tokens"] if output else []
        parts += [f"{every.value:.2f} USD/M tokens"] if every else []
    return " · ".join(parts)


def _latencies(plan: ServingPlan, width: int) -> Iterator[str]:
    if plan.expected is None or plan.why is None:
        return
    bounds = {held.name: held for held in plan.why.slo}
    wide = width >= 90
    head = f"  {'':{LABEL}}{'p50':>9}{'p90':>9}{'p99':>9}   {'bound':<16}"
    yield (head + ("90 % interval of that figure" if wide else "")).rstrip()
    for metric, label in METRICS.items():
        values: Percentiles | None = getattr(plan.expected, metric)
        mine = [held for name, held in bounds.items() if name.startswith(f"{metric}.")]
        if values is None or (metric not in ("ttft_s", "tpot_s") and not mine):
            continue
        cells = "".join(f"{_seconds(getattr(values, level)):>9}" for level in LEVELS)
        interval = _interval(values, mine[0]) if wide and mine else ""
        yield f"  {label:{LABEL}}{cells}   {_bound(mine):<16}{interval}".rstrip()
    yield from _attainment(plan, bounds, wide)
    yield from _of_classes(bounds)


def _attainment(plan: ServingPlan, bounds: dict[str, BoundHeld], wide: bool) -> Iterator[str]:
    if "attainment" not in bounds or plan.expected is None:
        return
    share = plan.expected.attainment
    interval = (
        f"{share.low:.2%} – {share.high:.2%}" if wide and share.low is not None and share.high is not None else ""
    )
    bound = f"≥ {bounds['attainment'].bound:.4g}"
    yield f"  {'attainment':{LABEL}}{share.value:>9.2%}{'':18}   {bound:<16}{interval}".rstrip()


def _of_classes(bounds: dict[str, BoundHeld]) -> Iterator[str]:
    """One row per bound of a class of requests: the planned figure at the upper end."""
    for name, held in bounds.items():
        if name.split(".")[0] in METRICS or name == "attainment":
            continue
        sign = "≥" if name.endswith("attainment") else "≤"
        yield f"  {pretty(name):<32}{amount(name, held.planned):>9}   {sign} {amount(name, held.bound)}"


def _bound(mine: list[BoundHeld]) -> str:
    if not mine:
        return ""
    level = mine[0].name.rsplit(".", 1)[1]
    mark = "" if level == "p99" else f" ({level})"
    return f"≤ {_time(mine[0].bound)}{mark}"


def _interval(values: Percentiles, held: BoundHeld) -> str:
    figure: Figure | None = getattr(values, held.name.rsplit(".", 1)[1])
    if figure is None or figure.low is None or figure.high is None:
        return ""
    return f"{_time(figure.low)} – {_time(figure.high)}"


def _seconds(figure: Figure | None) -> str:
    return "–" if figure is None else _time(figure.value)


def amount(name: str, value: float) -> str:
    """The value of a bounded figure with its unit: a share for attainment, else seconds or milliseconds."""
    return f"{value:.4g}" if name.endswith("attainment") else _time(value)


def _time(seconds: float) -> str:
    return f"{seconds * 1e3:.3g} ms" if seconds < 0.1 else f"{seconds:.3g} s"


def _why(plan: ServingPlan, width: int) -> Iterator[str]:
    why = plan.why
    if why is None:
        return
    rows = [("bound by", _binding(plan)), ("headroom", _headroom(plan))]
    if why.next_cheaper is not None:
        rows.append(("next cheaper", alternative(why.next_cheaper)))
    rows.append(("what if", what_if(plan)))
    rows.append(("evidence", evidence(plan)))
    rows += [("note", note) for note in why.notes]
    rows.append(("valid", plan.valid or ""))
    for label, text in rows:
        if text:
            yield from wrapped(f"  {label:{LABEL}}", text, width)


def _binding(plan: ServingPlan) -> str:
    why = plan.why
    assert why is not None
    held = next((one for one in why.slo if one.name == why.binding), None)
    text = why.binding or ""
    if held is not None:
        text = f"{pretty(held.name)} {amount(held.name, held.planned)} of {amount(held.name, held.bound)}"
    at, ratio = why.load.get("binding_burst_from_s"), why.load.get("binding_burst_rate_to_mean")
    if isinstance(at, float) and isinstance(ratio, float):
        window = float(why.load.get("binding_burst_s", 60.0))
        text += f", in the {window:.0f} s from {_clock(at)} ({ratio:.2g} × the mean rate)"
    return text


def pretty(name: str) -> str:
    """``ttft_s.p99`` as ``TTFT p99``; a class's name stays in front."""
    words = [METRICS.get(part, part) for part in name.split(".")]
    return " ".join(words)


def _clock(seconds: float) -> str:
    hours, rest = divmod(int(seconds), 3600)
    return f"{hours}:{rest // 60:02d}:{rest % 60:02d} of the trace"


def _headroom(plan: ServingPlan) -> str:
    why = plan.why
    if why is None or why.headroom is None:
        return ""
    first = why.bounds.get("breaks_first")
    return f"{why.headroom:.2f} × this load" + (f"; {first}" if first else "")


def alternative(found: Alternative) -> str:
    """Another decision in a phrase: what it is, what it costs, what breaks."""
    cost = "" if found.usd_per_hour is None else f" ({found.usd_per_hour:.2f} USD/h)"
    return f"{found.decision}{cost}: " + (found.breaks or "holds")


def what_if(plan: ServingPlan) -> str:
    """The changes that break the decision, or that none does."""
    found = plan.why.what_if if plan.why else ()
    broken = [f"{one.change} breaks {one.breaks}" for one in found if not one.holds]
    held = [one.change for one in found if one.holds]
    return "; ".join([*broken, f"{'still ' if broken else ''}holds at {', '.join(held)}"] if held else broken)


def evidence(plan: ServingPlan) -> str:
    """What the figures rest on, in one line."""
    texts = []
    for entry in plan.evidence:
        if entry.quantity in ("step_time", "memory") and entry.error is not None:
            texts.append(f"{entry.quantity.replace('_', ' ')}: {entry.basis}, ± {entry.error:.1%}")
    if not any(entry.basis == "measured" for entry in plan.evidence):
        texts.append("nothing measured on your GPUs yet")
    return " · ".join(dict.fromkeys(texts))

"""The table of `tonnage predict serving`: latencies, bounds, throughput, notes and evidence."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from specs.base import Figure
from specs.plan import Evidence, Percentiles
from specs.prediction import BoundFound, ServingEstimate

LATENCIES = {"ttft_s": "TTFT", "tpot_s": "TPOT", "itl_s": "ITL", "e2e_s": "end-to-end", "queue_s": "queue"}
PERCENTILES = ("mean", "p50", "p90", "p95", "p99")
MILLISECONDS_BELOW_S = 0.2


def serving_table(found: ServingEstimate) -> RenderableType:
    """Return the whole view: what is served on what, the latencies, the SLO, the rest."""
    spec = found.deployment
    parallel = ", ".join(f"{name} {size}" for name, size in spec.parallel.model_dump().items() if size > 1)
    head = (
        f"{found.metadata.name}: {spec.replicas} × {spec.model} on {spec.device}{f', {parallel}' if parallel else ''}"
    )
    gpus = f"{found.gpus} GPU{'s' if found.gpus > 1 else ''}"
    parts: list[RenderableType] = [Text(f"{head}   {gpus}"), Text(), _latencies(found)]
    if found.bounds:
        parts += [Text(), _slo(found.bounds)]
    parts += [
        Text(),
        _throughput(found),
        Text(),
        *_evidence(found.evidence),
        *(Text(f"note: {n}") for n in found.notes),
    ]
    return Group(*parts)


def seconds(value: float) -> str:
    """Return a duration in the unit a reader expects: milliseconds below 0.2 s."""
    return f"{value * 1e3:.3g} ms" if value < MILLISECONDS_BELOW_S else f"{value:.3g} s"


def interval(figure: Figure) -> str:
    """Return "low – high" of a latency in its unit."""
    return "" if figure.low is None or figure.high is None else f"{seconds(figure.low)} – {seconds(figure.high)}"


def _plain(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0))
    for number, column in enumerate(columns):
        table.add_column(column, justify="left" if number == 0 else "right", no_wrap=True)
    return table


def _latencies(found: ServingEstimate) -> Table:
    table = _plain("", *PERCENTILES, "90 % interval of p99")
    for name, label in LATENCIES.items():
        figures: Percentiles | None = getattr(found.expected, name)
        if figures is not None and figures.p99 is not None:
            cells = [seconds(f.value) if (f := getattr(figures, p)) is not None else "–" for p in PERCENTILES]
            table.add_row(label, *cells, interval(figures.p99))
    return table


def _slo(bounds: tuple[BoundFound, ...]) -> Table:
    table = _plain("SLO", "bound", "predicted", "90 % interval", "")
    for one in bounds:
        share = one.name == "attainment"
        shown = [f"{v:.1%}" if share else seconds(v) for v in (one.bound, one.value, one.low, one.high)]
        verdict = "holds" if one.surely else "holds, not surely" if one.holds else "breaks"
        sign = "≥" if share else "≤"
        table.add_row(one.name, f"{sign} {shown[0]}", shown[1], f"{shown[2]} – {shown[3]}", verdict)
    return table


def _throughput(found: ServingEstimate) -> Table:
    table = _plain("", "predicted", "")
    rows = {
        "requests": (found.expected.requests_per_s, "{:.3g}", "per s"),
        "goodput": (found.expected.goodput_per_s, "{:.3g}", "per s"),
        "tokens": (found.expected.tokens_per_s, "{:,.0f}", "per s"),
        "KV cache used": (found.expected.kv_cache_utilization, "{:.1%}", ""),
        "GPU busy": (found.expected.compute_utilization, "{:.1%}", ""),
        "preemptions": (found.expected.preemptions, "{:.0f}", ""),
    }
    for label, (figure, form, unit) in rows.items():
        if figure is not None:
            table.add_row(label, form.format(figure.value), unit)
    return table


def _evidence(entries: tuple[Evidence, ...]) -> list[Text]:
    return [
        Text(f"{entry.quantity}: {entry.basis}{f', ± {entry.error:.1%}' if entry.error else ''} – {entry.source}")
        for entry in entries
    ]

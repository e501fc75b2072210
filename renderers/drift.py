"""What a look for drift found: the table of `tonnage profile drift`, and its gauges for Prometheus."""

from __future__ import annotations

import calendar
import time
from collections.abc import Iterator

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from specs.drift import DriftReport, DriftSpec, MetricDrift
from specs.stored import short_id

STYLES = {"drift": "bold red", "steady": "bold green", "too-noisy": "bold yellow"}
BESIDE_SHOWN = 12
PREFIX = "tonnage_profile"


def drift_table(report: DriftReport) -> Group:
    """Return the verdict, every metric with what could have been seen, what else changed, and the plans concerned."""
    spec = report.spec
    parts: list[RenderableType] = [Text(f"{spec.outcome}: {spec.reason}", style=STYLES[spec.outcome])]
    parts += [Text(line, style="dim") for line in _compared(spec)]
    parts += [Text(), _metrics(spec.metrics), Text(), Text(_legend(spec), style="dim")]
    for one in spec.beside[:BESIDE_SHOWN]:
        parts.append(Text(f"also changed  {one.field.removeprefix('spec.')}: {one.before} → {one.after}"))
    for names, where in ((spec.only_before, "earlier"), (spec.only_after, "new")):
        if names:
            parts.append(Text(f"only in the {where} profile: {', '.join(names)}"))
    for plan in spec.plans:
        parts.append(Text(f"rests on it   {plan.kind} {plan.name} ({short_id(plan.id)})"))
    return Group(*parts)


def _compared(spec: DriftSpec) -> Iterator[str]:
    yield f"{spec.profile_kind} {spec.profile_name} {short_id(spec.profile)}, measured {spec.profile_measured or '–'}"
    times = {0: "", 1: ", one measurement"}.get(spec.measurements, f", the last of {spec.measurements} measurements")
    yield f"against {short_id(spec.against)}, measured {spec.measured or '–'}{times}"


def _metrics(metrics: tuple[MetricDrift, ...]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for column in ("figure", "before", "after", "unit", "change", "p", "smallest", "blocks ±", "outcome"):
        table.add_column(column, justify="left" if column in ("figure", "unit", "outcome") else "right")
    for one in metrics:
        smallest = "–" if one.smallest_detectable is None else f"{100 * one.smallest_detectable:.1f} %"
        figures = (f"{one.before:.4g}", f"{one.after:.4g}", one.unit, _signed(one.change), f"{one.p:.1g}", smallest)
        table.add_row(one.name, *figures, f"{100 * one.disagreement:.1f} %", _outcome(one))
    return table


def _outcome(one: MetricDrift) -> Text:
    style = {"moved": "red", "too-noisy": "yellow"}.get(one.outcome, "")
    return Text(one.outcome, style=style)


def _signed(change: float) -> str:
    return f"{100 * change:+.1f} %".replace("-", "−")


def _legend(spec: DriftSpec) -> str:
    return (
        f"p: chance of such a difference without a change beyond {100 * spec.minimum_effect:.0f} %; any false alarm "
        f"among all figures: {100 * spec.false_alarms:.0f} % at most. smallest: the smallest change these blocks could "
        f"have shown. Blocks that disagree by more than {100 * spec.agreement:.0f} % are too noisy."
    )


def drift_gauges(report: DriftReport) -> str:
    """Return the report as gauges `tonnage_profile_*` in Prometheus' text format, for node_exporter's textfiles.

    [std: Prometheus text exposition format 0.0.4]
    """
    spec = report.spec
    of = {"profile": short_id(spec.profile), "kind": spec.profile_kind}
    noisy, drift = spec.outcome == "too-noisy", spec.outcome == "drift"
    seen = [one for one in spec.metrics if one.smallest_detectable is not None]
    families: tuple[tuple[str, str, list[tuple[dict[str, str], float]]], ...] = (
        ("last_run_timestamp_seconds", "When the machine was last measured.", [(of, _seconds(spec.measured))]),
        ("drift", "1 where a figure moved, else 0.", [(of, float(drift))]),
        ("too_noisy", "1 where nothing moved and a figure could not be told.", [(of, float(noisy))]),
        ("plans", "Stored plans that rest on the profile.", [(of, float(len(spec.plans)))]),
        ("value", "Median, in its unit.", [(_of(of, one) | {"unit": one.unit}, one.after) for one in spec.metrics]),
        ("change_ratio", "After / before - 1.", [(_of(of, one), one.change) for one in spec.metrics]),
        ("moved", "1 where it moved.", [(_of(of, one), float(one.outcome == "moved")) for one in spec.metrics]),
        ("smallest_detectable_ratio", "Smallest change that could have been seen.", [
            (_of(of, one), one.smallest_detectable or 0.0) for one in seen
        ]),
    )  # fmt: skip
    return "".join(line for name, what, samples in families for line in _family(name, what, samples))


def _of(profile: dict[str, str], one: MetricDrift) -> dict[str, str]:
    return {**profile, "figure": one.name}


def _family(name: str, what: str, samples: list[tuple[dict[str, str], float]]) -> Iterator[str]:
    if samples:
        yield f"# HELP {PREFIX}_{name} {what}\n# TYPE {PREFIX}_{name} gauge\n"
    for labels, value in samples:
        inside = ",".join(f'{label}="{_escaped(text)}"' for label, text in labels.items())
        yield f"{PREFIX}_{name}{{{inside}}} {value:.10g}\n"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _seconds(date: str | None) -> float:
    return float(calendar.timegm(time.strptime(date, "%Y-%m-%dT%H:%M:%SZ"))) if date else 0.0

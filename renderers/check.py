"""A check as a table for people, and as the JSON that programs read."""

from __future__ import annotations

from typing import Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

from specs.check import Checked, CheckedLatency, CheckedPoint, CheckReport

LATENCIES = ("ttft_s", "tpot_s", "e2e_s")
TITLES = {"ttft_s": "TTFT", "tpot_s": "TPOT", "e2e_s": "end-to-end"}
STATISTICS = ("mean", "p50", "p90", "p95", "p99")
POINTS_SHOWN = 20


def check_json(report: CheckReport) -> dict[str, Any]:
    """Return `{ttft_s: {mean: {predicted, measured, error}, …}, tpot_s, e2e_s}`, or `{mape, points}` for points.

    A plan's figures also have `low`, `high` and `inside`, and the plan its `verdict`.
    """
    if report.subject == "points":
        return {"mape": report.mape, "points": [_point_json(point) for point in report.points]}
    keys = ["predicted", "measured", "error"]
    if report.subject == "plan":
        keys += ["low", "high", "inside"]
    figures: dict[str, Any] = {}
    for name in LATENCIES:
        latency = getattr(report, name) or CheckedLatency()
        figures[name] = {s: {key: getattr(getattr(latency, s), key) for key in keys} for s in STATISTICS}
    return figures | ({"verdict": report.verdict} if report.subject == "plan" else {})


def check_table(report: CheckReport) -> Group:
    """Return the report for a terminal: verdict, figures, then what to know about them."""
    count = f"{report.requests} points" if report.subject == "points" else f"{report.requests} requests"
    head = Text(f"{report.metadata.name} against {report.measured_by}, {count}", style="bold")
    body = _points_table(report) if report.subject == "points" else _latency_table(report)
    lines = [Text(f"verdict   {report.verdict}", style="red" if report.violated else "")]
    lines += [Text(f"note      {note}") for note in report.notes]
    lines += [Text(f"evidence  {_evidence(entry)}") for entry in report.evidence]
    return Group(head, Text(), body, Text(), *lines)


def _latency_table(report: CheckReport) -> Table:
    table = _table("", "predicted", "measured", "error", "90 % interval", "")
    for name in LATENCIES:
        latency = getattr(report, name)
        for statistic in STATISTICS if latency else ():
            one: Checked = getattr(latency, statistic)
            if one.predicted is None and one.measured is None:
                continue
            table.add_row(f"{TITLES[name]} {statistic}", *_cells(one), _place(one))
    return table


def _points_table(report: CheckReport) -> Table:
    table = _table("point", "TTFT", "measured", "error", "TPOT", "measured", "error")
    worst = sorted(report.points, key=lambda point: -max(abs(point.ttft_s.error or 0), abs(point.tpot_s.error or 0)))
    for point in worst[:POINTS_SHOWN]:
        cells = [text for one in (point.ttft_s, point.tpot_s) for text in _cells(one)[:3]]
        table.add_row(_point_name(point), *cells)
    if len(worst) > POINTS_SHOWN:
        table.caption = f"the {POINTS_SHOWN} worst of {len(worst)} points; -o json has all"
    return table


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for number, column in enumerate(columns):
        table.add_column(column, justify="left" if number == 0 or column == "" else "right", no_wrap=number > 0)
    return table


def _cells(one: Checked) -> tuple[str, str, str, str]:
    interval = f"{seconds(one.low)} – {seconds(one.high)}" if one.low is not None and one.high is not None else ""
    error = "" if one.error is None else f"{one.error:+.1%}".replace("-", "−")
    return seconds(one.predicted), seconds(one.measured), error, interval


def _place(one: Checked) -> str:
    if one.inside is None or one.measured is None:
        return ""
    return "inside" if one.inside else ("above" if one.measured > (one.high or 0.0) else "below")


def seconds(value: float | None) -> str:
    """Return a time with three digits, in ms below 0.1 s."""
    if value is None:
        return "–"
    return f"{value * 1e3:.3g} ms" if value < 0.0995 else f"{value:.3g} s"


def _point_name(point: CheckedPoint) -> str:
    columns = point.columns
    shape = (
        f"tp {columns.get('tp', 1)} isl {columns.get('isl')} osl {columns.get('osl')} c {columns.get('concurrency')}"
    )
    return f"{point.row} {columns.get('model', '')} {columns.get('precision', '')} {shape}"


def _point_json(point: CheckedPoint) -> dict[str, Any]:
    figures = {name: _point_figure(getattr(point, name)) for name in ("ttft_s", "tpot_s")}
    return dict(point.columns) | {"row": point.row} | figures


def _point_figure(one: Checked) -> dict[str, Any]:
    return {key: getattr(one, key) for key in ("predicted", "measured", "error", "low", "high")}


def _evidence(entry: Any) -> str:
    error = f", ± {entry.error:.1%}" if entry.error is not None else ""
    note = f" ({entry.note})" if entry.note else ""
    return f"{entry.quantity.replace('_', ' ')}: {entry.basis}, {entry.source}{error}{note}"

"""A load forecast as a table of methods and times, and as a small plot."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from specs.load import LoadForecast, LoadForecasts, LoadForecastSpec

TIMES = 8
PLOT_WIDTH, PLOT_HEIGHT = 80, 12


def load_table(forecast: LoadForecast, *, plot: bool = False) -> Group:
    """Return the forecast first, then the methods by their loss, and what the series is made of."""
    spec = forecast.spec
    unit = f" ({spec.series.unit})" if spec.series.unit else ""
    parts: list[RenderableType] = [
        Text(f"{forecast.metadata.name}: load over {_span(spec.horizon_s)}{unit}", style="bold"),
        Text(f"{spec.chosen}: {spec.reason}"),
        Text(),
        _times(spec),
    ]
    parts += [Text(), Text(load_plot(spec))] if plot else []
    parts += [Text(), _methods(spec), Text(), *(Text(line) for line in _series(spec))]
    return Group(*parts)


def _times(spec: LoadForecastSpec) -> Table:
    names = list(spec.points[0].quantiles)
    step = max(1, -(-len(spec.points) // TIMES))
    shown = [*spec.points[step - 1 :: step]]
    table = _table("time (UTC)", *names)
    for point in shown:
        table.add_row(point.time, *(f"{value:.4g}" for value in point.quantiles.values()))
    highest = {name: max(point.quantiles[name] for point in spec.points) for name in names}
    table.add_row("highest of the horizon", *(f"{value:.4g}" for value in highest.values()), style="bold")
    return table


def _methods(spec: LoadForecastSpec) -> Table:
    table = _table(f"method, at {100 * spec.level:g} %", "ahead", "pinball", "of baseline", "covered", "over", "places")
    for one in spec.scores:
        table.add_row(
            one.method, _span(one.lead_s), f"{one.pinball:.4g}", f"{one.relative:.2f} ×", f"{100 * one.covered:.1f} %",
            f"{100 * one.over:+.0f} %", str(one.places),
        )  # fmt: skip
    return table


def _table(*headings: str) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for at, heading in enumerate(headings):
        table.add_column(heading, justify="left" if at == 0 else "right", no_wrap=at > 0)
    return table


def _series(spec: LoadForecastSpec) -> list[str]:
    one = spec.series
    season = ", ".join(f"{name} {100 * share:.0f} %" for name, share in one.seasonal_strength.items())
    peak = f"peak {one.peak_to_mean:.2f} × mean"
    lines = [
        f"series      {one.places} steps of {_span(one.step_s)} over {one.days:.1f} days; {peak}",
        f"seasons     {season} of the variance",
    ]
    lines += [f"gaps        {one.gaps}, {100 * one.missing_share:.1f} % of the time"] if one.gaps else []
    lines += [f"shifts      {', '.join(one.shifts[:4])}"] if one.shifts else []
    lines += [f"launches    {', '.join(one.launches[:4])}"] if one.launches else []
    for score in spec.point:
        mape = "" if score.mape is None else f", MAPE {100 * score.mape:.1f} %"
        lines.append(
            f"median      {_span(score.lead_s)} ahead it is short {100 * score.short:.0f} % of the time{mape}: "
            "size by a quantile"
        )
    return lines + [f"note        {note}" for note in spec.notes]


def _span(seconds: float) -> str:
    for unit, size in (("d", 86_400.0), ("h", 3600.0), ("min", 60.0)):
        if seconds >= size and (unit != "d" or seconds > 2 * size):
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds:.3g} s"


def load_plot(spec: LoadForecastSpec) -> str:
    """The last two seasons (`·`), the median to come (`-`) and the chosen quantile (`^`), as text."""
    name = f"p{100 * spec.level:g}"
    drawn = [(t, value, "·") for t, value in spec.recent]
    drawn += [(p.time_s, p.quantiles["p50"], "-") for p in spec.points]
    drawn += [(p.time_s, p.quantiles[name], "^") for p in spec.points if name in p.quantiles]
    first, last = min(t for t, _, _ in drawn), max(t for t, _, _ in drawn)
    top = max(value for _, value, _ in drawn) or 1.0
    rows = [[" "] * PLOT_WIDTH for _ in range(PLOT_HEIGHT)]
    for t, value, mark in drawn:
        column = round((t - first) / max(last - first, 1e-9) * (PLOT_WIDTH - 1))
        rows[round((1.0 - value / top) * (PLOT_HEIGHT - 1))][column] = mark
    left = [f"{top:9.4g} ", *[" " * 10] * (PLOT_HEIGHT - 2), f"{0:9.4g} "]
    lines = [f"{label}│{''.join(row).rstrip()}" for label, row in zip(left, rows, strict=True)]
    return "\n".join([*lines, f"{'':10}└{'─' * PLOT_WIDTH}", f"{'':11}· measured, - median, ^ {name}"])


def loads_table(found: LoadForecasts) -> Group:
    """Return one line per series."""
    table = _table("series", "method", "of baseline", "covered", f"highest p{100 * found.level:g}")
    for one in found.series:
        if one.refused:
            table.add_row(one.name, one.refused, "", "", "")
            continue
        relative = "" if one.relative is None else f"{one.relative:.2f} ×"
        covered = "" if one.covered is None else f"{100 * one.covered:.1f} %"
        table.add_row(one.name, one.chosen, relative, covered, f"{one.highest:.4g}")
    return Group(Text(f"{len(found.series)} series, {_span(found.horizon_s)} ahead", style="bold"), Text(), table)

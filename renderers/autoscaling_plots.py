"""An autoscaling plan drawn in the terminal: load in its forecast, replicas over time, cost against late requests."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from specs.autoscaling import AutoscalingPlan, LoadFigure, Method

WIDTH, HEIGHT, LOW, LABEL = 72, 12, 6, 9
BAND, LOAD, REPLICAS = "░", "•", "█"
RECOMMENDED, FRONT, OTHER = "◆", "◦", "×"
Grid = list[list[str]]


def charts(plan: AutoscalingPlan) -> Iterator[str]:
    """Yield load, replicas and costs of every service, each at most 84 columns wide."""
    for one in plan.expected.over_time if plan.expected else ():
        yield load_chart(one)
        yield replica_chart(one)
        methods = [each for each in (plan.why.compared if plan.why else ()) if each.service == one.service]
        promise = plan.why.slo.get(one.service) if plan.why else None
        if len(methods) > 1:
            yield front_chart(one.service, methods, promise.late_share if promise else None)


def load_chart(one: LoadFigure) -> str:
    """Return the load on the band of its forecast, from the median to the highest level."""
    levels = list(one.quantiles_per_s)
    low = one.quantiles_per_s[levels[0]] if levels else ()
    high = one.quantiles_per_s[levels[-1]] if levels else ()
    top = max(*one.rate_per_s, *high, 1e-9)
    grid, at = _grid(HEIGHT), _columns(len(one.at_s))
    for column, i in enumerate(at):
        for row in range(_row(high[i], top, HEIGHT), _row(low[i], top, HEIGHT) + 1) if levels else ():
            grid[row][column] = BAND
        grid[_row(one.rate_per_s[i], top, HEIGHT)][column] = LOAD
    told = f"{one.service}: {LOAD} load, requests per second"
    if levels:
        name = f"{levels[0]} to {levels[-1]}" if len(levels) > 1 else levels[0]
        ahead = "" if one.ahead_s is None else f" {one.ahead_s / 60.0:.0f} min before"
        told += f"; {BAND} its forecast{ahead}, {name}"
    return _framed(grid, top, told, f"{_hours(one):.3g} h")


def replica_chart(one: LoadFigure) -> str:
    """Return the replicas (or GPUs) as filled steps."""
    top = max(*one.replicas, 1.0)
    grid = _grid(LOW)
    for column, i in enumerate(_columns(len(one.at_s))):
        if one.replicas[i] > 0:
            for row in range(_row(one.replicas[i], top, LOW), LOW):
                grid[row][column] = REPLICAS
    return _framed(grid, top, f"{one.service}: {REPLICAS} {one.counts}", f"{_hours(one):.3g} h")


def front_chart(service: str, methods: Sequence[Method], late_share: float | None) -> str:
    """Return cost against late requests with a letter for each method, and what each letter is."""
    right = max(one.score.cost for one in methods) or 1.0
    top = max(*(one.score.violations for one in methods), late_share or 0.0, 1e-9)
    grid, held = _grid(HEIGHT), {}
    if late_share is not None:
        grid[_row(late_share, top, HEIGHT)] = ["-"] * WIDTH
    for letter, one in zip("abcdefghijklmnopqrstuvwxyz", methods, strict=False):
        row, column = _row(one.score.violations, top, HEIGHT), round(one.score.cost / right * (WIDTH - 1))
        if one.verdict == "recommended" or (row, column) not in held:
            grid[row][column] = RECOMMENDED if one.verdict == "recommended" else letter
        held[row, column] = letter
    unit = methods[0].score.cost_unit
    allowed = "" if late_share is None else f"; - {late_share:.3%} allowed"
    foot = f"{service}: late requests against {unit}{allowed}"
    return "\n".join([_framed(grid, 100.0 * top, foot, f"{right:.4g} {unit}", unit=" %"), *_legend(methods)])


def _legend(methods: Sequence[Method]) -> Iterator[str]:
    for letter, one in zip("abcdefghijklmnopqrstuvwxyz", methods, strict=False):
        mark = RECOMMENDED if one.verdict == "recommended" else FRONT if one.pareto else OTHER
        paid = f"{one.score.cost:>9.4g} {one.score.cost_unit}"
        yield f"{'':{LABEL}}  {letter} {mark} {one.name:<20}{paid}, {one.score.violations:.3%}"
    yield f"{'':{LABEL}}  {RECOMMENDED} recommended, {FRONT} on the Pareto front, {OTHER} beaten by another in both"


def _grid(height: int) -> Grid:
    return [[" "] * WIDTH for _ in range(height)]


def _columns(points: int) -> list[int]:
    """The point of each column; fewer points than columns are repeated."""
    return [round(column * (points - 1) / (WIDTH - 1)) for column in range(WIDTH)]


def _row(value: float, top: float, height: int) -> int:
    return height - 1 - round(min(max(value / top, 0.0), 1.0) * (height - 1))


def _framed(grid: Grid, top: float, told: str, end: str, unit: str = "") -> str:
    """The grid with an axis from 0 to ``top`` at the left, and below it what is drawn and where it ends."""
    labels = [f"{top:.4g}{unit}", *[""] * (len(grid) - 2), f"0{unit}"]
    lines = [f"{label:>{LABEL}} │{''.join(row).rstrip()}" for label, row in zip(labels, grid, strict=True)]
    return "\n".join(
        [*lines, f"{'':{LABEL}} └{'─' * WIDTH}", f"{'':{LABEL}}  0{end:>{WIDTH - 1}}", f"{'':{LABEL}}  {told}"]
    )


def _hours(one: LoadFigure) -> float:
    return (one.at_s[-1] - one.at_s[0]) / 3600.0

"""The table of `tonnage profile import`: what was measured, of what, and over which range."""

from __future__ import annotations

from rich.console import Group
from rich.table import Table
from rich.text import Text

from specs.profile import LayerProfile, OperatorTable


def profile_table(profile: LayerProfile) -> Group:
    """Return one row per operator and parallelism: its points and the range of each axis."""
    spec = profile.spec
    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0))
    for column in ("operator", "tp", "ep", "points", "range", "µs"):
        table.add_column(column, justify="right" if column in ("tp", "ep", "points") else "left")
    for one in spec.tables:
        table.add_row(*_row(one))
    head = f"{spec.model} on {spec.device}, {spec.engine} {spec.engine_version}, weights {spec.weights}"
    return Group(Text(head), Text(f"{spec.basis}: {spec.source}"), Text(), table)


def _row(one: OperatorTable) -> tuple[str, str, str, str, str, str]:
    spans = [
        f"{axis} {min(p[i] for p in one.points):g}–{max(p[i] for p in one.points):g}" for i, axis in enumerate(one.axes)
    ]
    latency = f"{min(one.latency_us):.3g}–{max(one.latency_us):.3g}"
    return one.operator, str(one.tp), str(one.ep), str(len(one.points)), ", ".join(spans), latency

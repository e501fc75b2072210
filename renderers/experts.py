"""The table of `tonnage profile moe`: how unevenly each layer's experts are chosen."""

from __future__ import annotations

import statistics

from rich.console import Group
from rich.table import Table
from rich.text import Text

from specs.experts import ExpertProfile, LayerExperts

HOTTEST_SHOWN = 4
LEGEND = (
    "imbalance: the hottest expert's tokens over the mean. effective: equally popular experts of the same entropy. "
    "hot tenth: share of the tokens. open: what a log of this length leaves open of the shares, at least."
)


def experts_table(profile: ExpertProfile) -> Group:
    """Return one row per layer, and above them the typical and the worst imbalance."""
    spec = profile.spec
    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0), header_style="dim")
    for column in ("layer", "tokens", "imbalance", "effective", "hot tenth", "never", "open", "hottest"):
        table.add_column(column, justify="left" if column == "hottest" else "right")
    for one in spec.layers:
        table.add_row(*_row(one))
    per_token = f", {spec.experts_per_token} per token" if spec.experts_per_token else ""
    worst = max(spec.layers, key=lambda one: one.imbalance)
    head = f"{profile.metadata.name}: {len(spec.layers)} layers of {spec.experts} experts{per_token}"
    middle = statistics.median(one.imbalance for one in spec.layers)
    told = f"imbalance {middle:.3g} in the median layer, {worst.imbalance:.3g} in layer {worst.layer}"
    return Group(Text(head, style="bold"), Text(told), Text(), table, Text(), Text(LEGEND, style="dim"))


def _row(one: LayerExperts) -> tuple[str, ...]:
    chosen = [expert for expert, count in enumerate(one.counts) if count]
    order = sorted(chosen, key=lambda expert: (-one.counts[expert], expert))
    hottest = ", ".join(f"{expert} ({one.counts[expert] / one.assignments:.1%})" for expert in order[:HOTTEST_SHOWN])
    figures = (f"{one.imbalance:.3g}", f"{one.effective:.3g}", f"{one.hot_share:.1%}", str(one.never))
    return str(one.layer), f"{one.assignments:,}", *figures, f"{one.sampling_error:.1%}", hottest

"""The table of `tonnage profile layers`: operators over the measured range, noise, memory, what was left out."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from renderers.profile import profile_table
from specs.profile import LayerNoise, LayerProfile, PhaseMemory


def layers_table(profile: LayerProfile) -> Group:
    """Return the operators of `profile_table`, the noise of the run, memory by phase and what was left out."""
    spec = profile.spec
    parts: list[RenderableType] = [profile_table(profile)]
    if spec.noise is not None:
        parts += [Text(), Text(noise_text(spec.noise))]
    if spec.memory:
        parts += [Text(), _memory(spec.memory)]
    if spec.left_out:
        parts += [Text(), Text("left out"), *(Text(f"  {line}") for line in spec.left_out)]
    return Group(*parts)


def noise_text(noise: LayerNoise) -> str:
    """Say in two lines how sure the medians are."""
    verdict = "NOISY: intervals are widened" if noise.noisy else "quiet enough"
    return (
        f"noise: medians sure to {noise.median_error:.1%} (target {noise.target:.1%}), {verdict}\n"
        f"       {noise.points} shapes, {noise.blocks:g} blocks each, which lie {noise.block_spread:.1%} apart; "
        f"repeats spread {noise.spread:.1%}"
    )


def _memory(phases: tuple[PhaseMemory, ...]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0))
    table.add_column("memory")
    for column in ("held GiB", "peak GiB"):
        table.add_column(column, justify="right")
    for one in phases:
        table.add_row(one.phase, f"{one.held_gib:.2f}", f"{one.peak_gib:.2f}")
    return table

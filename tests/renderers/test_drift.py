"""Tables of drift and of experts name what they found, and gauges are what Prometheus reads."""

from __future__ import annotations

import io

from rich.console import Console, RenderableType

from profilers.drift import drift_against
from profilers.moe import layer_experts
from renderers.drift import drift_gauges, drift_table
from renderers.experts import experts_table
from specs.base import Metadata
from specs.drift import DriftReport
from specs.experts import ExpertProfile, ExpertProfileSpec
from specs.stored import content_id, storable
from tests.profilers.hosts import NOISY, host_profile, scaled


def report() -> DriftReport:
    before, after = host_profile(), host_profile(scaled(0.9), NOISY, kernel='6.2 "odd"\\')
    return drift_against((content_id(before), storable(before)), (content_id(after), storable(after)))


def shown(table: RenderableType) -> str:
    console = Console(width=100, record=True, file=io.StringIO())
    console.print(table)
    return console.export_text()


def test_the_table_tells_the_verdict_each_figure_and_what_else_changed() -> None:
    lines = shown(drift_table(report())).splitlines()
    assert lines[0].rstrip() == "drift: 1 of 2 figures moved: memory read, 1 thread 10.0 % slower"
    rows = {line.split("  ")[0].strip(): line.split() for line in lines}
    assert rows["memory read, 1 thread"][-1] == "moved"
    assert "−10.0" in rows["memory read, 1 thread"]
    assert rows["matrices fp32, 1 thread"][-1] == "too-noisy"
    assert any('system.kernel: 6.1 → 6.2 "odd"' in line for line in lines)
    assert all(len(line.rstrip()) <= 100 for line in lines)


def test_gauges_have_one_help_and_type_each_and_escaped_labels() -> None:
    one = report()
    odd = one.spec.metrics[0].model_copy(update={"name": 'a "b"\\\nc'})
    text = drift_gauges(one.model_copy(update={"spec": one.spec.model_copy(update={"metrics": (odd,)})}))
    assert 'figure="a \\"b\\"\\\\\\nc"' in text
    names = [line.split()[2] for line in text.splitlines() if line.startswith("# TYPE")]
    assert len(names) == len(set(names))
    for line in text.splitlines():
        if not line.startswith("#"):
            assert line.split("{")[0] in names
            float(line.rsplit(" ", 1)[1])
    assert text.endswith("\n")


def test_experts_are_shown_hottest_first_without_those_never_chosen() -> None:
    spec = ExpertProfileSpec(
        experts=4, form="counts", source="log", sha256="s", layers=(layer_experts(3, [1, 0, 6, 1]),)
    )
    text = shown(experts_table(ExpertProfile(metadata=Metadata(name="m"), spec=spec)))
    assert "m: 1 layers of 4 experts" in text
    assert "2 (75.0%), 0 (12.5%), 3 (12.5%)" in text

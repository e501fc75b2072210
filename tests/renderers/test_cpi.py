"""The table of a CPI profile shows what was measured, what was not and why, and never a CPI that was not counted."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from renderers.cpi import cpi_table, missing_text
from specs.base import Metadata
from specs.cpi import CpiProfile, CpiProfileSpec, CpiTarget, CpiWindow, MissingFigure, Overhead, Spread

POD = "/kubepods.slice/kubepods-burstable.slice/cri-containerd-0123456789abcdef.scope"
COUNTERS = [
    MissingFigure(quantity=name, cause="no PMU", cure="Get one.", instead="task clock", error="ENOENT", targets=(POD,))
    for name in ("cycles", "instructions")
]


def profile(*targets: CpiTarget, missing: tuple[MissingFigure, ...] = ()) -> CpiProfile:
    overhead = Overhead(cpu_s=0.5, wall_s=250.0, cpu_share=0.002, file_descriptors=204, turns=2)
    spec = CpiProfileSpec(
        source="perf_event_open", cpu="A CPU", cpus=4, window_s=10, every_s=60, targets=targets, missing=missing,
        overhead=overhead, notes=("the wall clock was set",),
    )  # fmt: skip
    return CpiProfile(metadata=Metadata(name="cpi-test"), spec=spec)


def shown(profile: CpiProfile) -> str:
    console = Console(width=100, record=True, file=io.StringIO())
    console.print(cpi_table(profile))
    return console.export_text()


def target(name: str, **summary: Spread) -> CpiTarget:
    return CpiTarget(name=name, target="cgroup", summary=summary, windows=(CpiWindow(window_s=10.0),) * 5)


def test_figures_notes_missing_and_overhead_are_shown() -> None:
    full = target("a", cpi=Spread(mean=1.234, sd=0.056), cpu_cores=Spread(mean=2.0), steal_share=Spread(mean=0.00012))
    without = target(POD, cpu_cores=Spread(mean=0.5))
    text = shown(profile(full, without, missing=tuple(COUNTERS)))
    rows = {line.split()[0]: line for line in text.splitlines() if line}
    assert "1.23 ± 0.06" in rows["a"]
    assert "0.012 %" in rows["a"]
    (pod,) = [line for line in text.splitlines() if "9abcdef.scope " in line and "0.50" in line]
    assert "–" in pod
    assert "5 windows of 10 s, one in 60 s" in text
    assert "not measured: cycles, instructions of …" in text
    assert "no PMU (ENOENT)" in text
    assert "the wall clock was set" in text
    assert "0.2 % of one core (0.50 s CPU in 250 s), at most 204 open files, 2 turns" in text
    assert max(map(len, text.splitlines())) <= 100


def test_a_quantity_that_nobody_has_is_no_column() -> None:
    text = shown(profile(target("a", cpu_cores=Spread(mean=2.0))))
    assert "CPI" not in text.splitlines()[2]
    assert "CPU cores" in text


def test_the_message_before_the_first_window_tells_each_cause_once() -> None:
    text = missing_text(COUNTERS)
    assert text.count("no PMU (ENOENT)") == 1
    assert text.startswith("not measured: cycles, instructions of …")
    assert "measured instead: task clock" in text


@pytest.mark.parametrize("source", ["none", "perf stat"])
def test_the_head_says_how_it_was_counted(source: str) -> None:
    spec = profile(target("a")).spec.model_copy(update={"source": source})
    text = shown(CpiProfile(metadata=Metadata(name="x"), spec=spec))
    assert ("no hardware counters" if source == "none" else "counted by perf stat") in text

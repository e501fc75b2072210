"""Who runs slower than it used to, by whom, and what is advised; nothing is acted on."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from predictors.interference.detection import alarms, blame, resource_of
from specs.contention import ContentionRows
from tests.predictors.interference.worlds import rows


def episode(windows: int = 6, *, gap: bool = False, sign: str | None = None) -> tuple[ContentionRows, ContentionRows]:
    """Rows to learn from, and windows in which a victim runs far slower while `etl` works."""
    known = rows(windows=60)
    count = 3 * windows
    window = np.repeat(np.arange(windows) * (3 if gap else 1), 3)
    app = np.tile(["search", "web", "batch"], windows)
    on = window >= window.max() // 2
    value = np.where(app == "search", np.where(on, 1.2 * 3.6, 1.2), np.where(app == "web", 1.0, 0.8))
    cores = np.where(app == "batch", np.where(on, 8.0, 0.3), 2.1)
    signs = {sign: np.where((app == "search") & on, 0.5, 0.0)} if sign else {}
    observed = replace(
        known, app=app, node_type=np.full(count, "old"), value=value, own={"cpu_cores": cores},
        others={"cpu_cores": np.zeros(count)}, node=np.zeros(count, dtype=np.int64), window=window,
        window_names=tuple(f"w{n}" for n in range(int(window.max()) + 1)), signs=signs,
        qos=np.where(app == "batch", "BE", "LS"),
    )  # fmt: skip
    return known, observed


def test_a_victim_its_antagonist_and_the_advice_are_named() -> None:
    known, observed = episode()
    found = alarms(observed, known)
    assert [one.app for one in found] == ["search"]
    assert found[0].antagonist == "batch"
    assert found[0].correlation is not None
    assert found[0].correlation >= 0.35
    assert found[0].action == "suppress"
    assert found[0].over >= 3
    assert found[0].value > found[0].threshold > found[0].baseline


def test_two_windows_are_no_alarm_and_a_gap_breaks_the_row() -> None:
    known, observed = episode(windows=2)
    assert alarms(observed, known) == []
    known, observed = episode(gap=True)
    assert alarms(observed, known) == []


def test_below_a_quarter_of_a_core_nothing_is_judged() -> None:
    known, observed = episode()
    assert alarms(replace(observed, own={"cpu_cores": np.full(len(observed), 0.2)}), known) == []


def test_usual_windows_raise_no_alarm_in_most_rows() -> None:
    quiet = rows(3, windows=40, noise=0.02)
    still = replace(quiet, value=np.exp(np.random.default_rng(1).normal(0, 0.02, len(quiet))))
    assert len(alarms(still, still)) <= 1


@pytest.mark.parametrize(
    ("sign", "resource", "action"),
    [
        ("steal_share", "hypervisor steal", "move"),
        ("throttled_share", "CPU quota", "raise quota"),
        ("cpu_pressure", "CPU time", "suppress"),
    ],
)
def test_the_resource_is_named_by_its_sign(sign: str, resource: str, action: str) -> None:
    known, observed = episode(sign=sign)
    found = alarms(observed, known)
    assert (found[0].resource, found[0].action) == (resource, action)


def test_more_misses_than_usual_name_the_cache() -> None:
    known, observed = episode()
    misses = replace(known, signs={"llc_mpki": np.random.default_rng(0).normal(5, 0.2, len(known))})
    more = replace(observed, signs={"llc_mpki": np.full(len(observed), 9.0)})
    assert resource_of(more, misses, np.array([9, 12]))[0] == "last-level cache"
    as_usual = replace(observed, signs={"llc_mpki": np.full(len(observed), 5.0)})
    assert resource_of(as_usual, misses, np.array([9, 12]))[0] == "not told"


def test_blame_by_hand() -> None:
    value, use = np.array([2.0, 2.0, 0.5]), np.array([3.0, 1.0, 0.0])
    assert blame(value, use, 1.0) == pytest.approx(0.75 * 0.5 + 0.25 * 0.5)
    assert blame(value, use[::-1], 1.0) == pytest.approx(0.25 * 0.5 + 0.75 * (0.5 - 1.0))
    assert blame(value, np.zeros(3), 1.0) == 0.0

"""Rows of contention from tables and CPI profiles: neighbours, stand-ins for CPI, gaps, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from profilers.contention import contention_rows, rows_of_profiles
from specs.base import Metadata
from specs.cpi import CpiProfile, CpiProfileSpec, CpiTarget, CpiWindow
from specs.errors import InputError

HEAD = "app,node_type,node,window,cpi,cpu_cores"


def table(tmp_path: Path, *lines: str, head: str = HEAD) -> Path:
    path = tmp_path / "rows.csv"
    path.write_text("\n".join([head, *lines]) + "\n")
    return path


def test_neighbours_are_the_others_of_the_same_node_and_window(tmp_path: Path) -> None:
    path = table(tmp_path, "a,t,n1,0,1.0,1", "b,t,n1,0,1.0,2", "c,t,n1,0,1.0,4", "a,t,n2,0,1.0,8", "b,t,n1,1,1.0,16")
    np.testing.assert_allclose(contention_rows([path]).others["cpu_cores"], [6, 5, 3, 0, 0])


def test_given_sums_go_before_derived_ones(tmp_path: Path) -> None:
    path = table(tmp_path, "a,t,1.0,3", "b,t,1.0,4", head="app,node_type,slowdown,other_cpu_cores")
    rows = contention_rows([path])
    assert rows.quantity == "slowdown"
    np.testing.assert_allclose(rows.others["cpu_cores"], [3, 4])
    assert (rows.window == -1).all()


def test_a_missing_window_leaves_a_gap_and_rows_without_a_value_are_counted(tmp_path: Path) -> None:
    times = ("2026-11-20T10:00:00", "2026-11-20T10:01:00", "2026-11-20T10:02:00", "2026-11-20T10:05:00")
    lines = [f"a,t,n,{time},{'' if at == 1 else 1.0},1" for at, time in enumerate(times)]
    rows = contention_rows([table(tmp_path, *lines)])
    assert list(rows.window) == [0, 2, 5]
    assert rows.notes == ("rows.csv: 1 of 4 rows have gaps and are left out",)


@pytest.mark.parametrize(
    ("lines", "head", "words"),
    [
        (["a,t,n,0,-1,1"], HEAD, "row 2: cpi: found -1, expected a number above 0"),
        (["a,t,n,0,1,-3"], HEAD, "row 2: cpu_cores: found -3"),
        (["a,t,n,0,many,1"], HEAD, "row 2: cpi: found 'many'"),
        (["a,t,1"], "app,node_type,cpi", "nothing says what the neighbours do"),
        (["a,t,1,2"], "app,node_type,cpi,other_cpu_core", "did you mean 'other_cpu_cores'"),
        (["a,t,2"], "app,node_type,other_cpu_cores", "one column of cpi"),
        (["a,1,2"], "app,cpi,other_cpu_cores", "column 'node_type' is missing"),
        (["a,t,n,0,,1", "a,t,n,1,,1", "a,t,n,2,1.0,1"], HEAD, "2 of 3 rows have gaps"),
        ([], HEAD, "has no rows"),
    ],
)
def test_what_is_wrong_with_a_table_is_named(tmp_path: Path, lines: list[str], head: str, words: str) -> None:
    with pytest.raises(InputError, match=words.replace("(", r"\(")):
        contention_rows([table(tmp_path, *lines, head=head)])


def profile(*, counters: bool, delay: bool = True) -> CpiProfile:
    def window(at: int, cores: float) -> CpiWindow:
        return CpiWindow(
            started=f"2026-11-20T10:{at:02d}:05+00:00", window_s=10.0, cpu_cores=cores, cpu_pressure=0.2,
            cpi=1.5 if counters else None, llc_misses=1e6 if counters else None,
            run_delay_s=5.0 if delay else None,
        )  # fmt: skip

    targets = tuple(
        CpiTarget(name=name, target="container", windows=tuple(window(at, cores) for at in range(3)))
        for name, cores in (("web-5d4f8c7b9d-x2x7z", 1.0), ("batch", 2.0))
    )
    spec = CpiProfileSpec(source="none", cpu="EPYC", every_s=60.0, targets=targets)
    return CpiProfile(metadata=Metadata(name="cpi"), spec=spec)


def test_a_profile_with_counters_gives_cpi_by_application() -> None:
    rows = rows_of_profiles({"p": profile(counters=True)})
    assert (rows.quantity, set(rows.app)) == ("cpi", {"web", "batch"})
    np.testing.assert_allclose(rows.others["cpu_cores"][rows.app == "web"], 2.0)
    np.testing.assert_allclose(rows.own["llc_misses_per_s"], 1e5)
    assert rows.notes == ()


def test_without_counters_waiting_serves_and_no_cpi_is_invented() -> None:
    rows = rows_of_profiles({"p": profile(counters=False)})
    assert rows.quantity == "cpu_delay"
    np.testing.assert_allclose(rows.value[rows.app == "web"], 1.5)
    assert "no hardware counters: cpu_delay stands in for CPI, which it is not" in rows.notes
    rows = rows_of_profiles({"p": profile(counters=False, delay=False)})
    assert rows.quantity == "cpu_stall"
    np.testing.assert_allclose(rows.value, 1.25)


def test_sources_of_different_quantities_are_not_joined(tmp_path: Path) -> None:
    one = table(tmp_path, "a,t,1.0,3", head="app,node_type,slowdown,other_cpu_cores")
    two = tmp_path / "more.csv"
    two.write_text("app,node_type,cpi,other_cpu_cores\na,t,1.0,3\n")
    with pytest.raises(InputError, match="measure slowdown"):
        contention_rows([one, two])
    assert len(contention_rows([one, one])) == 2

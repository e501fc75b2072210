"""Recorded outputs of perf stat are read in all their forms, and what is none is refused with file and line."""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from profilers.cpi import recorded_cpi
from profilers.cpi.counts import ratios
from profilers.importers.perf_events import Row, gather, number, spelled
from profilers.importers.perf_stat import Recording, read_perf_stat
from specs.errors import InputError

TEXT = """# started on Mon Nov 23 06:00:00 2026

 Performance counter stats for process id '4711':

    65,952,289,199      cycles:u                                                      (79.99%)
    70,405,428,322      instructions:u            #    1.07  insn per cycle           (80.01%)
       391,502,610      cache-misses:u            #   35.000 % of all cache refs
   <not supported>      stalled-cycles-backend:u
          9,876.54 msec task-clock:u              #    0.987 CPUs utilized
               123      context-switches:u

      10.003475189 seconds time elapsed
"""
COUNTS = {
    "cycles": 65952289199.0, "instructions": 70405428322.0, "llc_misses": 391502610.0,
    "task_clock_s": 9.87654, "context_switches": 123.0,
}  # fmt: skip


def written(folder: Path, text: str, name: str = "web.txt") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def only(path: Path) -> Recording:
    (one,) = read_perf_stat(path)
    return one


def test_text_gives_counts_shares_scope_and_what_is_missing(tmp_path: Path) -> None:
    one = only(written(tmp_path, TEXT))
    assert one.gathered.counts.values == pytest.approx(COUNTS)
    assert one.gathered.counts.counted_share == pytest.approx(0.7999)
    assert one.gathered.refused == {"stalled_cycles": "<not supported>"}
    assert one.gathered.counts.user_only
    assert (one.name, one.scope, one.window_s) == ("web", "process id '4711'", 10.003475189)


def json_line(event: str, value: str, **more: object) -> str:
    first = {**more, "counter-value": value, "unit": "", "event": event}
    return json.dumps({**first, "event-runtime": 100, "pcnt-running": 50.0})


def test_json_lines_give_intervals_and_cgroups(tmp_path: Path) -> None:
    lines = [
        json_line(event, str(value * (1 + at)), interval=float(at), cgroup=cgroup)
        for at in (1, 2, 3)
        for cgroup in ("a", "b")
        for event, value in (("cycles", 100.0), ("instructions:k", 30.0), ("instructions:u", 20.0))
    ]
    found = read_perf_stat(written(tmp_path, "\n".join(lines) + "\n"))
    assert [(one.name, one.at_s, one.window_s) for one in found] == [
        (name, at, 1.0) for at in (1.0, 2.0, 3.0) for name in ("a", "b")
    ]
    assert [ratios(one.gathered.counts)["cpi"] for one in found] == pytest.approx([2.0] * 6)
    profile = recorded_cpi([tmp_path / "web.txt"])
    assert [(target.name, len(target.windows)) for target in profile.spec.targets] == [("a", 3), ("b", 3)]
    assert profile.spec.targets[0].summary["cpi"].windows == 3


CSV = """2000.5,msec,task-clock,2000500000,100.00,1.999,CPUs utilized
3000000,,cpu-cycles,2000500000,75.00,1.5,GHz
1500000,,instructions:u,2000500000,75.00,0.5,insn per cycle
<not counted>,,cache-misses,0,0.00,,
"""


def test_csv_is_found_by_its_event_whatever_stands_before(tmp_path: Path) -> None:
    plain = only(written(tmp_path, CSV))
    assert plain.gathered.counts.values == pytest.approx({"cycles": 3e6, "instructions": 1.5e6, "task_clock_s": 2.0005})
    assert plain.gathered.counts.counted_share == pytest.approx(0.75)
    timed = "".join(f"     1.000123456,{line}\n" for line in CSV.splitlines())
    one = only(written(tmp_path, timed))
    assert (one.at_s, one.gathered) == (1.000123456, plain.gathered)
    grouped = CSV.replace("cpu-cycles,", "cpu-cycles,/pod,").replace("instructions:u,", "instructions:u,/pod,")
    assert {one.name for one in read_perf_stat(written(tmp_path, grouped))} == {"/pod", "web"}


def test_the_collection_agrees_with_what_its_makers_took_out_of_it(reference_data: Callable[[str], Path]) -> None:
    raw = {
        one.name.split("/")[0]: one for one in read_perf_stat(reference_data("cpi/dsb_hotel_perfstat_raw_sample.json"))
    }
    table = reference_data("cpi/dsb_hotel_perfstat_sample.csv")
    with table.open() as file:
        truth = {row["run"]: row for row in csv.DictReader(file)}
    wide = {one.name.split("/")[0]: one for one in read_perf_stat(table)}
    assert raw.keys() == truth.keys() == wide.keys()
    for run, row in truth.items():
        for found in (raw[run], wide[run]):
            counts = found.gathered.counts
            assert counts.values["cycles"] == float(row["cpu-cycles"])
            assert counts.values["instructions"] == float(row["instructions"])
            assert counts.values["llc_misses"] == float(row["cache-misses"])
            assert ratios(counts)["cpi"] == pytest.approx(float(row["cpi"]), rel=1e-12)
        assert raw[run].scope == "system wide"
        assert raw[run].window_s == pytest.approx(30, rel=0.05)


@pytest.mark.parametrize("form", [[], ["-j"], ["-x,"]])
def test_what_perf_writes_here_is_read(tmp_path: Path, form: list[str]) -> None:
    if shutil.which("perf") is None:
        pytest.skip("perf is not installed")
    output = tmp_path / "out"
    command = ["perf", "stat", *form, "-e", "cycles,instructions,task-clock,context-switches", "-o", str(output)]
    ran = subprocess.run(
        [*command, "--", "sleep", "0.05"], capture_output=True, text=True, check=False,
        env={**os.environ, "LC_ALL": "C"},
    )  # fmt: skip
    if ran.returncode:
        pytest.skip(f"perf cannot count here: {ran.stderr.strip()[:200]}")
    one = only(output)
    assert 0 < one.gathered.counts.values["task_clock_s"] < 0.05
    assert one.gathered.counts.values["context_switches"] >= 1
    assert {"cycles", "instructions"} <= one.gathered.counts.values.keys() | one.gathered.refused.keys()


@pytest.mark.parametrize(
    ("text", "where", "told"),
    [
        ("", "bad", "no line counts an event"),
        ("hello\n", "bad", "no line counts an event"),
        (json_line("cycles", "1") + '\n{"counter-value" : "12\n', "bad:2", "no line of `perf stat -j`"),
        ('{"counter-value" : "x", "event" : "cycles"}\n', "bad:1", "no line of `perf stat -j`"),
        ("oops,,cycles,1,100.00\n", "bad:1", "no line of `perf stat -x,`"),
        ('{"run": {"raw": "Perf', "bad", "no JSON"),
        ("name,cycles,instructions\na,12,x\n", "bad:2", "no number"),
        ("PNG\x00\x01", "bad", "no line counts an event"),
    ],
)
def test_what_is_no_output_is_refused(tmp_path: Path, text: str, where: str, told: str) -> None:
    path = written(tmp_path, text, "bad")
    with pytest.raises(InputError) as caught:
        read_perf_stat(path)
    assert f"{tmp_path}/{where}:" in caught.value.message
    assert told in caught.value.message
    assert caught.value.cure


def test_a_folder_is_no_output(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        read_perf_stat(tmp_path)


@pytest.mark.parametrize(
    ("text", "unit", "value"),
    [
        ("1,234,567", "", 1234567.0), ("1.234.567", "", 1234567.0), ("12.345", "", 12345.0), ("12.345", "msec", 12.345),
        ("1.164,89", "msec", 1164.89), ("1\u202f234\u202f567", "", 1234567.0), ("1'234", "", 1234.0),
        ("34730007026", "", 34730007026.0), ("<not counted>", "", None), ("<not supported>", "", None),
    ],
)  # fmt: skip
def test_numbers_are_read_in_any_locale(text: str, unit: str, value: float | None) -> None:
    assert number(text, unit) == value


@given(st.integers(0, 10**15))
def test_a_count_survives_the_thousands_of_three_locales(count: int) -> None:
    for mark in ",.\u202f":
        assert number(f"{count:,}".replace(",", mark)) == count


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        ("cycles", ("cycles", 0, "", "")), ("cycles:u", ("cycles", 0, "", "u")), ("cycles:uk", ("cycles", 0, "", "")),
        ("cpu_core/cycles/", ("cycles", 0, "cpu_core", "")), ("cpu/instructions/k", ("instructions", 0, "cpu", "k")),
        ("cpu-cycles:P", ("cycles", 1, "", "")), ("LLC-load-misses", ("llc_misses", 3, "", "")),
        ("ref-cycles", None), ("bus-cycles", None), ("", None),
    ],
)  # fmt: skip
def test_events_are_known_by_their_base_name(event: str, expected: tuple[str, int, str, str] | None) -> None:
    assert spelled(event) == expected


def test_modes_add_up_only_where_the_whole_was_not_counted() -> None:
    both = [Row("cycles:u", 60.0), Row("cycles:k", 40.0)]
    assert gather(both).counts.values == {"cycles": 100.0}
    assert not gather(both).counts.user_only
    assert gather([*both, Row("cycles", 101.0)]).counts.values == {"cycles": 101.0}
    assert gather(both[:1]).counts.user_only


def test_pmus_and_cpus_add_up_and_repeats_do_not() -> None:
    rows = [Row("cpu_core/cycles/", 60.0), Row("cpu_atom/cycles/", 40.0), Row("cpu_core/cycles/", 61.0)]
    assert gather(rows).counts.values == {"cycles": 100.0}
    assert gather([Row("cycles", 1.0, cpu="CPU0"), Row("cycles", 2.0, cpu="CPU1")]).counts.values == {"cycles": 3.0}


def test_the_more_exact_spelling_counts() -> None:
    rows = [Row("LLC-load-misses", 5.0), Row("cache-misses", 9.0)]
    assert gather(rows).counts.values == {"llc_misses": 9.0}
    assert gather([rows[0], Row("cache-misses", None, why="<not supported>")]).counts.values == {"llc_misses": 5.0}

"""`tonnage predict load` as an operator calls it, and the tables it reads and refuses."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from typer.testing import Result

from profilers.importers.load_series import read_series

Tonnage = Callable[..., Result]


def written(folder: Path, *, days: int = 10, head: str = "time_s,value", series: str = "") -> Path:
    rng, path = np.random.default_rng(4), folder / "load.csv"
    at = np.arange(days * 48)
    load = 50 * (1.5 + np.sin(2 * np.pi * at / 48)) * rng.lognormal(0, 0.1, len(at))
    start = 1_790_000_000 // 1800 * 1800
    path.write_text("\n".join([head, *(f"{start + 1800 * i},{v:.3f}{series}" for i, v in zip(at, load, strict=True))]))
    return path


def test_a_series_is_forecast_with_its_methods_and_plot(tonnage: Tonnage, tmp_path: Path) -> None:
    shown = tonnage("predict", "load", str(written(tmp_path)), "--horizon", "6h", "--plot", "-o", "table")
    assert shown.exit_code == 0, shown.output
    assert "seasonal quantile" in shown.stdout
    assert "^ p95" in shown.stdout
    assert max(len(line) for line in shown.stdout.splitlines()) <= 100


def test_json_holds_every_time_of_the_horizon(tonnage: Tonnage, tmp_path: Path) -> None:
    shown = tonnage("predict", "load", str(written(tmp_path)), "--horizon", "2h", "-o", "json")
    assert len(json.loads(shown.stdout)["spec"]["points"]) == 4


@pytest.mark.parametrize(
    ("text", "arguments", "words"),
    [
        ("time_s,value\n0,1\n60,2\n", (), "2 values: too few"),
        ("time_s,value\n0,one\n60,2\n", (), "row 1: value: 'one' is no number"),
        ("when,value\n0,1\n", (), "no column time_s"),
        ("time_s,value\nyesterday,1\n", (), "'yesterday' is no time"),
        ("time_s,value\n0,1\n1e12,2\n1e12,3\n", ("--step", "1s"), "steps of 1 s"),
        ("time_s,value\n0,1\n", ("--timezone", "Mars/Olympus"), "Mars/Olympus"),
        ("time_s,value\n0,1\n", ("--method", "oracle"), "--method 'oracle'"),
        ("time_s,value\n0,1\n", ("--horizon", "soon"), "--horizon 'soon'"),
    ],
)
def test_a_wrong_series_ends_in_one_message(
    tonnage: Tonnage, tmp_path: Path, text: str, arguments: tuple[str, ...], words: str
) -> None:
    path = tmp_path / "load.csv"
    path.write_text(text)
    found = tonnage("predict", "load", str(path), *arguments)
    assert found.exit_code == 2, found.output
    assert words in found.stderr
    assert found.stdout == ""


def test_a_day_keeps_its_hour_over_daylight_saving(tmp_path: Path) -> None:
    """In Berlin the clock went forward at 01:00 UTC on 29 March 2026: nine in the morning stays nine."""
    path = tmp_path / "load.csv"
    start = 1_774_569_600  # 2026-03-27 00:00 UTC
    rows = [
        (start + 3600 * i, 1.0 if (start + 3600 * i + (3600 if i < 49 else 7200)) // 3600 % 24 == 9 else 0.0)
        for i in range(120)
    ]
    path.write_text("\n".join(["time_s,value", *(f"{t},{v}" for t, v in rows)]))
    found, _ = read_series(path, timezone="Europe/Berlin")
    _, step_s, values = found["load"]
    assert step_s == 3600.0
    assert len({int(at) % 24 for at in np.flatnonzero(values == 1.0)}) == 1


def test_many_series_have_a_line_each(tonnage: Tonnage, tmp_path: Path) -> None:
    path = tmp_path / "load.csv"
    rows = [
        line
        for name in ("a", "b")
        for line in written(tmp_path, days=8, series=f",{name}").read_text().splitlines()[1:]
    ]
    path.write_text("\n".join(["time_s,value,series", *rows]))
    shown = tonnage("predict", "load", str(path), "--horizon", "1h", "-o", "json", "--method", "boosted")
    assert [one["name"] for one in json.loads(shown.stdout)["series"]] == ["a", "b"]

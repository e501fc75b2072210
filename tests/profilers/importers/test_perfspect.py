"""Summaries of PerfSpect give the CPI and misses of each benchmark with their range."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import pytest

from profilers.cpi import recorded_cpi
from profilers.importers.perfspect import is_perfspect, read_perfspect
from specs.errors import InputError


def test_the_published_runs_are_read_as_they_stand(reference_data: Callable[[str], Path]) -> None:
    path = reference_data("cpi/perfspect_spec2017_CLX_metrics_long.csv")
    profile = recorded_cpi([path])
    with path.open() as file:
        truth = {row["benchmark"]: row for row in csv.DictReader(file) if row["metrics"] == "metric_CPI"}
    assert profile.spec.source == "perfspect"
    assert {target.name for target in profile.spec.targets} == {f"CLX/{name}" for name in truth}
    for target in profile.spec.targets:
        row, found = truth[target.name.removeprefix("CLX/")], target.summary["cpi"]
        cells = [float(row[key]) for key in ("avg", "min", "p95", "max")]
        assert [found.mean, found.low, found.p95, found.high] == pytest.approx(cells)
        assert 0 < target.summary["llc_mpki"].mean < 100


def test_a_summary_of_metric_mean_and_deviation_is_read(tmp_path: Path) -> None:
    path = tmp_path / "host_metrics_summary.csv"
    path.write_text("metric,mean,min,max,stddev\nCPU utilization %,50,1,99,3\nCPI,1.5,1.0,2.0,0.25\n")
    (target,) = read_perfspect(path)
    assert (target.name, target.summary["cpi"].mean, target.summary["cpi"].sd) == ("host_metrics_summary", 1.5, 0.25)


@pytest.mark.parametrize("text", ["metrics,avg\nmetric_L2 MPI,1\n", "metrics,avg\nmetric_CPI,fast\n"])
def test_a_summary_without_cpi_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "x.csv"
    path.write_text(text)
    assert is_perfspect(path)
    with pytest.raises(InputError, match=r"x\.csv"):
        read_perfspect(path)


def test_two_tools_are_not_mixed(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("metrics,avg\nmetric_CPI,1\n")
    (tmp_path / "b.csv").write_text("name,cycles,instructions\nx,3,2\n")
    with pytest.raises(InputError, match="together"):
        recorded_cpi([tmp_path / "a.csv", tmp_path / "b.csv"])

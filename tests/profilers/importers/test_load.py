"""The files of a workload: rate series, histograms and client tables."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from profilers.importers.load import read_histogram, read_load, read_series
from specs.errors import InputError
from specs.workload import WorkloadSpec

LENGTHS = {"prompt_tokens": {"histogram": "h.csv"}, "output_tokens": {"constant": 3}}


def _workload(**parts: object) -> WorkloadSpec:
    return WorkloadSpec.model_validate({"model": "m", **parts})


def test_series_and_histogram_come_with_their_sha(tmp_path: Path) -> None:
    (tmp_path / "s.csv").write_text("t_s,rate_per_s\n0,1\n60,4\n")
    (tmp_path / "h.csv").write_text("tokens,count\n10,1\n20,3\n")
    load = read_load(_workload(arrivals={"series": "s.csv"}, lengths=LENGTHS), tmp_path)
    assert load.series is not None
    assert load.series.rate_per_s.tolist() == [1, 4]
    assert load.prompt is not None
    assert load.prompt.tokens.tolist() == [10, 20]
    assert sorted(load.inputs) == ["h.csv", "s.csv"]


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("t_s,rate_per_s\n0,1\n", "two rows"),
        ("t_s,rate_per_s\n0,1\n0,2\n", "row 2, t_s"),
        ("t_s,rate_per_s\n0,1\n5,-2\n", "row 2, rate_per_s"),
        ("t_s,rate_per_s\n0,0\n5,0\n", "zero or more"),
        ("t_s,rate_per_s\n0,1\n5,x\n", "found 'x'"),
        ("t_s,rate\n0,1\n5,2\n", "did you mean 'rate'"),
    ],
)
def test_bad_series(tmp_path: Path, text: str, part: str) -> None:
    (tmp_path / "s.csv").write_text(text)
    with pytest.raises(InputError) as refused:
        read_series(tmp_path / "s.csv")
    assert part in str(refused.value)


@pytest.mark.parametrize("row", ["0,1", "1.5,1", "3,-1", "3,0"])
def test_bad_histogram(tmp_path: Path, row: str) -> None:
    (tmp_path / "h.csv").write_text(f"tokens,count\n{row}\n")
    with pytest.raises(InputError, match="row 1"):
        read_histogram(tmp_path / "h.csv")


def _clients(folder: Path) -> dict[str, object]:
    rates = {"client": [1, 1, 2], "window_start_s": [0, 600, 600], "rate_rps": [1.0, 2.0, 3.0], "cv": [1.0, 2.0, 1.0]}
    pl.DataFrame(rates).write_parquet(folder / "rates.parquet")
    rows = [(1, 0, field, 10.0 if field == "input_tokens" else 5.0, 1.0) for field in ("input_tokens", "output_tokens")]
    frame = pl.DataFrame(rows, schema=["client", "window_start_s", "field", "value", "prob"], orient="row")
    frame.write_parquet(folder / "lengths.parquet")
    return {"clients": "rates.parquet", "histograms": "lengths.parquet", "start_s": 600, "duration_s": 600}


def test_clients_take_their_earlier_histogram_or_the_others(tmp_path: Path) -> None:
    load = read_load(_workload(arrivals=_clients(tmp_path)), tmp_path)
    assert [(one.start_s, one.rate_per_s, one.cv) for one in load.clients] == [(0, 2.0, 2.0), (0, 3.0, 1.0)]
    assert [one.prompt.tokens.tolist() for one in load.clients] == [[10], [10]]
    assert load.notes == ("clients without histograms send lengths of the others: 2",)


def test_clients_outside_the_span_are_refused(tmp_path: Path) -> None:
    arrivals = _clients(tmp_path) | {"start_s": 9000}
    with pytest.raises(InputError, match="no window begins between 9000 and 9600"):
        read_load(_workload(arrivals=arrivals), tmp_path)


def test_published_clients(reference_data: Callable[[str], Path]) -> None:
    folder = reference_data("llm_traces/servegen_m-small_client_rates.parquet").parent
    arrivals = {
        "clients": "servegen_m-small_client_rates.parquet", "histograms": "servegen_m-small_length_hist.parquet",
        "start_s": 338400, "duration_s": 1200,
    }  # fmt: skip
    load = read_load(_workload(arrivals=arrivals), folder)
    asked = pl.read_parquet(folder / str(arrivals["clients"])).filter(pl.col("window_start_s").is_in([338400, 339000]))
    assert len(load.clients) == asked.height
    assert sum(one.rate_per_s for one in load.clients) == pytest.approx(asked["rate_rps"].sum())

"""The Workload document: every way to state arrivals and lengths, and what it refuses."""

from __future__ import annotations

from pathlib import Path

import pytest

from specs.errors import InputError
from specs.reading import read_document
from specs.workload import ClientArrivals, ClosedArrivals, RateArrivals, SeriesArrivals, TraceArrivals, Workload

HEAD = "apiVersion: tonnage/v1\nkind: Workload\nmetadata: {name: w}\nspec:\n  model: m\n"
TRACE = "  arrivals: {trace: a.csv}\n"
DRAWN = "  lengths: {prompt_tokens: {constant: 10}, output_tokens: {uniform: [1, 5]}}\n"


def _read(folder: Path, body: str) -> Workload:
    path = folder / "w.yaml"
    path.write_text(HEAD + body)
    return read_document(path, Workload)


@pytest.mark.parametrize(
    ("arrivals", "kind"),
    [
        ("{trace: a.csv, columns: {arrival_s: ts}, sort: true}", TraceArrivals),
        ("{rate_per_s: 5, cv: 1.6}", RateArrivals),
        ("{series: load.csv}", SeriesArrivals),
        ("{concurrency: 64, prompts: 640}", ClosedArrivals),
        ("{clients: r.parquet, histograms: h.parquet}", ClientArrivals),
    ],
)
def test_arrivals_are_told_by_their_fields(tmp_path: Path, arrivals: str, kind: type) -> None:
    assert isinstance(_read(tmp_path, f"  arrivals: {arrivals}\n{DRAWN}").spec.arrivals, kind)


@pytest.mark.parametrize(
    ("body", "line", "part"),
    [
        ("  arrivals: {rate_per_s: 5}\n", 4, "needs arrivals: {trace: FILE}"),
        ("  arrivals: {trace: a.csv, scal: 2}\n", 6, "scale"),
        ("  arrivals: {rate_per_s: -5}\n" + DRAWN, 6, "rate_per_s"),
        ("  arrivals: {rate_per_s: .nan}\n" + DRAWN, 6, "rate_per_s"),
        (TRACE + "  slo: {ttft_s: {p98: 1}}\n", 7, "p98"),
        (TRACE + "  slo: {attainment: 1.5}\n", 7, "attainment"),
        (TRACE + "  lengths: {prompt_tokens: {}, output_tokens: {constant: 1}}\n", 7, "exactly one"),
        (TRACE + "  lengths: {prompt_tokens: {uniform: [9, 1]}, output_tokens: {constant: 1}}\n", 7,
         "1 <= low <= high"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named_with_its_line(tmp_path: Path, body: str, line: int, part: str) -> None:
    with pytest.raises(InputError) as refused:
        _read(tmp_path, body)
    assert f"w.yaml:{line}" in str(refused.value)
    assert part in str(refused.value)

"""Saved samples become rates per workload: resets, gaps, NaN and duplicates are told from load."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from profilers.importers.prometheus_export import increments, read_export
from profilers.prometheus.discovery import Selection
from specs.errors import InputError
from specs.history import Recorded

TIMES = np.arange(0.0, 600.0, 15.0)


def row(values: Any, times: Any = TIMES, **labels: str) -> dict[str, Any]:
    given = {"__name__": "process_cpu_seconds_total", "job": "cart", "instance": "1", **labels}
    return {"metric": given, "values": [[float(t), str(v)] for t, v in zip(times, values, strict=True)]}


def matrix(*rows: dict[str, Any]) -> str:
    return json.dumps({"status": "success", "data": {"resultType": "matrix", "result": rows}})


def read(tmp_path: Path, *texts: str, **chosen: tuple[str, ...]) -> Recorded:
    paths = [tmp_path / f"{number}.json" for number in range(len(texts))]
    for path, text in zip(paths, texts, strict=True):
        path.write_text(text)
    return read_export(paths, Selection(**chosen))


def cores(recorded: Recorded) -> np.ndarray:
    (one,) = [one for one in recorded.series if one.quantity == "cpu_cores"]
    return one.values


def test_replicas_add_up_and_are_counted(tmp_path: Path) -> None:
    recorded = read(tmp_path, matrix(row(0.5 * TIMES), row(0.25 * TIMES, instance="2")))
    np.testing.assert_allclose(cores(recorded)[1:], 0.75)
    (replicas,) = [one.values for one in recorded.series if one.quantity == "replicas"]
    np.testing.assert_allclose(replicas[1:], 2.0)


def test_a_reset_is_no_negative_rate(tmp_path: Path) -> None:
    values = 0.5 * TIMES + 100.0
    values[20:] = 0.5 * (TIMES[20:] - TIMES[20]) + 7.5
    np.testing.assert_allclose(cores(read(tmp_path, matrix(row(values))))[1:], 0.5)
    assert increments(np.array([0.0, 10.0]), np.array([100.0, 5.0]), 60.0).tolist() == [0.5]


def test_gaps_and_nan_stay_absent_and_duplicates_fill_them(tmp_path: Path) -> None:
    values = 0.5 * TIMES
    broken = values.astype(object)
    broken[10] = "NaN"
    hole = (TIMES < 300.0) | (TIMES > 400.0)
    with_hole = cores(read(tmp_path, matrix(row(values[hole], TIMES[hole]))))
    assert np.isnan(with_hole[20:27]).all()
    np.testing.assert_allclose(with_hole[28:], 0.5)
    recorded = read(tmp_path, matrix(row(broken[hole], TIMES[hole])), matrix(row(values)))
    np.testing.assert_allclose(cores(recorded)[1:], 0.5)
    assert recorded.notes == ("1 series came more than once: where they overlap, the first was taken",)


def test_victoriametrics_lines_say_the_same(tmp_path: Path) -> None:
    one = row(0.5 * TIMES)
    line = {"metric": one["metric"], "values": (0.5 * TIMES).tolist(), "timestamps": (1e3 * TIMES).tolist()}
    recorded = read(tmp_path, json.dumps(line) + "\n")
    np.testing.assert_allclose(cores(recorded)[1:], 0.5)


def test_pods_are_told_by_their_workload_and_chosen(tmp_path: Path) -> None:
    def pod(name: str, namespace: str, container: str = "app") -> dict[str, Any]:
        labels = {"__name__": "container_cpu_usage_seconds_total", "pod": name, "namespace": namespace}
        return row(TIMES, **labels, container=container, job="kubelet")

    text = matrix(
        pod("cart-6d4cf56db6-x7k9z", "shop"), pod("cart-6d4cf56db6-b2c4d", "shop"), pod("mail-0", "shop"),
        pod("cart-6d4cf56db6-x7k9z", "shop", container="POD"), pod("cart-0", "lab"),
    )  # fmt: skip
    recorded = read(tmp_path, text, namespaces=("shop",), exclude=("m*",))
    assert {(one.namespace, one.workload) for one in recorded.series} == {("shop", "cart")}
    np.testing.assert_allclose(cores(recorded)[1:], 2.0)
    with pytest.raises(InputError, match="NAME=VALUE"):
        read(tmp_path, text, labels=("team=~x",))


@pytest.mark.parametrize(
    ("text", "why"),
    [('{"status": "success"', "ends in the middle"), ("{}", "not samples"), (matrix(), "holds no metric"),
     (matrix(row(TIMES, __name__="up")), "only up"),
     ('{"data": {"result": [{"metric": {}, "values": [1]}]}}', "not samples")],
)  # fmt: skip
def test_what_is_no_export_is_refused(tmp_path: Path, text: str, why: str) -> None:
    with pytest.raises(InputError, match=why):
        read(tmp_path, text)

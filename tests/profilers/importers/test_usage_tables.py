"""Tables of usage: what is read, what gaps and resets become, and how a wrong table is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from profilers.importers.usage_tables import read_usage_table
from specs.errors import InputError

HEAD = "time_s,workload,pod,cpu_cores,memory_bytes"


def table(folder: Path, *rows: str, head: str = HEAD) -> Path:
    path = folder / "usage.csv"
    path.write_text("\n".join([head, *rows]) + "\n")
    return path


def test_replicas_are_rows_on_one_grid(tmp_path: Path) -> None:
    rows = [f"{60 * i},cart,cart-{pod},{i + pod},100" for i in range(5) for pod in (0, 1)]
    (one,) = read_usage_table(table(tmp_path, *rows)).containers
    assert one.cpu_cores.tolist() == [[0, 1, 2, 3, 4], [1, 2, 3, 4, 5]]
    assert (one.label, one.step_s, one.samples) == ("cart:cart", 60.0, 5)


def test_a_gap_is_no_sample_and_a_replica_that_comes_later_has_started(tmp_path: Path) -> None:
    rows = [f"{60 * i},cart,a,1,100" for i in range(6) if i != 3] + [f"{60 * i},cart,b,1,100" for i in (4, 5)]
    (one,) = read_usage_table(table(tmp_path, *rows)).containers
    assert np.isnan(one.cpu_cores[0, 3])
    assert one.started_s.tolist() == [240.0]
    assert one.notes == ("16.7 % of the times have no sample",)


def test_a_counter_becomes_cores_and_begins_again_after_a_reset(tmp_path: Path) -> None:
    head = "time_s,workload,cpu_seconds_total,memory_bytes"
    rows = [f"{60 * i},cart,{total},100" for i, total in enumerate((100, 130, 160, 15, 45))]
    (one,) = read_usage_table(table(tmp_path, *rows, head=head)).containers
    assert np.isnan(one.cpu_cores[0, 0])
    assert one.cpu_cores[0, 1:].tolist() == [0.5, 0.5, 0.25, 0.5]


def test_what_is_set_now_is_the_last_that_was_said(tmp_path: Path) -> None:
    head = f"{HEAD},cpu_request_cores,hpa_target,hpa_min,hpa_max,out_of_memory,max_surge_pods,max_unavailable_pods"
    rows = ["0,cart,a,1,100,1,,,,,,", "60,cart,a,1,100,2,0.6,1,4,1,2,1", "120,cart,a,1,100,,,,,0,,"]
    (one,) = read_usage_table(table(tmp_path, *rows, head=head)).containers
    assert one.given.cpu_request_cores == 2.0
    assert one.autoscaler is not None
    assert (one.autoscaler.target, one.autoscaler.least, one.autoscaler.most) == (0.6, 1, 4)
    assert one.killed_s.tolist() == [60.0]
    assert (one.surge_pods, one.away_pods) == (2.0, 1.0)


@pytest.mark.parametrize(
    ("head", "rows", "words"),
    [
        ("time_s,workload,cpu_cores,memory_byte", ["0,a,1,1"], "column 'memory_bytes' is missing"),
        ("time_s,workload,memory_bytes", ["0,a,1"], "column 'cpu_cores' is missing"),
        (HEAD, ["0,a,p,one,1"], "row 1: cpu_cores: 'one' is no number"),
        (HEAD, ["0,a,p,1,1", "60,a,p,-1,1"], "row 2: cpu_cores: found -1"),
        (HEAD, ["0,a,p,1,1", "60,a,p,inf,1"], "row 2: cpu_cores: found inf"),
        (HEAD, [",a,p,1,1"], "a row has no time_s"),
        (HEAD, ["0,a,p,1,1", "1,a,p,1,1", "2,a,p,1,1", "9e9,a,p,1,1"], "steps of 1 s"),
    ],
)
def test_a_wrong_table_is_refused_where_it_is_wrong(tmp_path: Path, head: str, rows: list[str], words: str) -> None:
    with pytest.raises(InputError) as raised:
        read_usage_table(table(tmp_path, *rows, head=head))
    assert words in str(raised.value)

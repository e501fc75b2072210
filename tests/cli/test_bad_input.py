"""Whatever is wrong with the input ends in one message with a cure and an exit code, and damages no file."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

from tests.cli.conftest import DEPLOYMENT, TRACE

Tonnage = Callable[..., Result]
PLAN = ("plan", "serving", "workload.yaml", "--cluster", "cluster.yaml")
MEMORY = ("predict", "memory", "deployment.yaml")
SERVING = ("predict", "serving", "deployment.yaml", "workload.yaml")
CHECK = ("check", "deployment.yaml", "--measured", "measured.csv")


def one_message(result: Result, *words: str, exit_code: int = 2) -> None:
    assert result.exit_code == exit_code, result.output
    assert result.stderr.startswith("error: ")
    assert result.stderr.count("error:") == 1
    assert "Traceback" not in result.output
    assert result.stdout == ""
    for word in words:
        assert word in result.stderr, result.stderr


def change(name: str, old: str, new: str) -> None:
    text = Path(name).read_text()
    assert old in text
    Path(name).write_text(text.replace(old, new, 1))


@pytest.mark.parametrize("name", ["workload.yaml", "cluster.yaml", "trace.csv"])
def test_a_missing_file_is_named(tonnage: Tonnage, name: str) -> None:
    Path(name).rename("elsewhere")
    one_message(tonnage(*PLAN), name, "no such")


def test_a_wrong_kind_is_named(tonnage: Tonnage) -> None:
    one_message(
        tonnage("plan", "serving", "cluster.yaml", "--cluster", "cluster.yaml"),
        "cluster.yaml:2: kind: found 'Cluster', expected Workload",
    )


def test_an_unknown_field_gets_the_nearest_spelling(tonnage: Tonnage) -> None:
    change("workload.yaml", "trace: trace.csv", "trace: trace.csv, scal: 2")
    one_message(tonnage(*PLAN), "workload.yaml:6: spec.arrivals.scal: unknown field (did you mean 'scale'?)")


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ("-1.0,200,20", ("arrival_s", "-1")),
        ("nan,200,20", ("arrival_s",)),
        ("inf,200,20", ("arrival_s",)),
        ("0.1,-5,20", ("prompt_tokens", "-5")),
        ("0.1,200,0", ("output_tokens", "0")),
        ("0.1,many,20", ("prompt_tokens", "many")),
        ("0.1,,20", ("prompt_tokens",)),
    ],
)
def test_a_wrong_cell_of_a_trace_is_named(tonnage: Tonnage, row: str, words: tuple[str, ...]) -> None:
    Path("trace.csv").write_text(f"arrival_s,prompt_tokens,output_tokens\n0.0,10,10\n{row}\n100.0,10,10\n")
    one_message(tonnage(*PLAN), "trace.csv", *words)


def test_an_unsorted_trace_is_refused_with_its_row(tonnage: Tonnage) -> None:
    Path("trace.csv").write_text("arrival_s,prompt_tokens,output_tokens\n5.0,10,10\n1.0,10,10\n")
    one_message(tonnage(*PLAN), "trace.csv", "sort")


@pytest.mark.parametrize("text", ["", "arrival_s,prompt_tokens,output_tokens\n"], ids=["no bytes", "only a header"])
def test_an_empty_trace_is_refused(tonnage: Tonnage, text: str) -> None:
    Path("trace.csv").write_text(text)
    one_message(tonnage(*PLAN), "trace.csv")


@pytest.mark.parametrize("arrivals", ["{rate_per_s: 1.0e+9}", "{concurrency: 4, prompts: 1000000000}"])
def test_more_requests_than_memory_holds_are_refused(tonnage: Tonnage, arrivals: str) -> None:
    change("workload.yaml", "{trace: trace.csv}", arrivals)
    change("workload.yaml", "{from: trace}", "{prompt_tokens: {constant: 9}, output_tokens: {constant: 9}}")
    one_message(tonnage(*PLAN), "20,000,000")


def test_a_missing_column_is_named(tonnage: Tonnage) -> None:
    Path("trace.csv").write_text("arrival_s,prompt_tokens,output_token\n0.0,10,10\n")
    one_message(tonnage(*PLAN), "trace.csv", "output_tokens")


def test_a_request_longer_than_the_model_can_is_named(tonnage: Tonnage) -> None:
    Path("trace.csv").write_text(TRACE + "200.0,140000,10\n")
    one_message(tonnage(*PLAN), "131072")


def test_a_model_that_is_not_known_gets_the_nearest_spelling(tonnage: Tonnage) -> None:
    change("workload.yaml", "llama-3.1-8b", "llama-3.1-8")
    one_message(tonnage(*PLAN), "llama-3.1-8", "did you mean 'llama-3.1-8b'?")


def test_a_device_that_is_not_known_gets_the_nearest_spelling(tonnage: Tonnage) -> None:
    change("cluster.yaml", "h100-sxm", "h100-sxn")
    one_message(tonnage(*PLAN), "h100-sxn", "did you mean 'h100-sxm'?")


def test_a_missing_price_is_named_with_its_pool(tonnage: Tonnage) -> None:
    change("cluster.yaml", "      usd_per_gpu_hour: {value: 2.5, source: a test, date: 2026-11-01}\n", "")
    one_message(tonnage(*PLAN), "'h100'", "usd_per_gpu_hour", "--objective gpus")


def test_tensor_parallelism_that_does_not_divide_the_heads_is_refused(tonnage: Tonnage) -> None:
    change("deployment.yaml", "tp: 1", "tp: 3")
    one_message(tonnage(*MEMORY), "32", "3")


@pytest.mark.parametrize("command", [PLAN, MEMORY], ids=["plan", "predict"])
@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"kind: \xff\xfe\n", ("not UTF-8",)),
        (b"kind: Workload\nkind: Workload\n", (":2: kind: given twice",)),
        (b"a: &a [x,x]\n" + b"".join(b"%c: &%c [*%c,*%c]\n" % (98 + i, 98 + i, 97 + i, 97 + i) for i in range(24)),
         ("aliases expand",)),
        (b"[" * 100_000, ("nested deeper",)),
    ],
    ids=["not UTF-8", "duplicate key", "bomb", "deep"],
)  # fmt: skip
def test_a_hostile_document_is_refused(
    tonnage: Tonnage, command: tuple[str, ...], content: bytes, words: tuple[str, ...]
) -> None:
    Path(command[2]).write_bytes(content)
    one_message(tonnage(*command), command[2], *words)


@pytest.mark.parametrize(
    ("command", "name"),
    [(PLAN, "workload.yaml"), (PLAN, "trace.csv"), (MEMORY, "deployment.yaml"), (CHECK, "measured.csv")],
)
def test_a_folder_in_a_files_place_is_refused(tonnage: Tonnage, command: tuple[str, ...], name: str) -> None:
    Path(name).unlink(missing_ok=True)
    Path(name).mkdir()
    one_message(tonnage(*command), name, "director")


@pytest.mark.parametrize(
    ("command", "name"),
    [(PLAN, "cluster.yaml"), (PLAN, "trace.csv"), (MEMORY, "deployment.yaml"), (CHECK, "measured.csv")],
)
def test_two_gigabytes_are_refused(tonnage: Tonnage, command: tuple[str, ...], name: str) -> None:
    with Path(name).open("wb") as file:
        file.truncate(2 * 2**30 + 1)
    one_message(tonnage(*command), name)


@pytest.mark.parametrize("name", ["trace.csv", "measured.csv"])
def test_data_that_is_not_text_is_refused(tonnage: Tonnage, name: str) -> None:
    Path(name).write_bytes(b"arrival_s,prompt_tokens,output_tokens\n0.0,10,\xff\xfe10\n")
    one_message(tonnage(*(PLAN if name == "trace.csv" else CHECK)), name)


def test_a_cluster_without_a_free_gpu_is_infeasible(tonnage: Tonnage) -> None:
    change("cluster.yaml", "gpus_per_node: 2", "gpus_per_node: 2\n      taken_gpus: 2")
    infeasible(tonnage, "free")


def test_a_bound_below_the_unloaded_latency_is_infeasible(tonnage: Tonnage) -> None:
    change("workload.yaml", "tpot_s: {p99: 0.05}", "tpot_s: {p99: 0.00001}")
    infeasible(tonnage, "tpot_s.p99")


def test_a_model_that_fits_no_device_is_infeasible(tonnage: Tonnage) -> None:
    change("workload.yaml", "llama-3.1-8b", "deepseek-v3")
    change("cluster.yaml", "h100-sxm", "l4")
    infeasible(tonnage, "GiB")


def infeasible(tonnage: Tonnage, *words: str) -> None:
    result = tonnage(*PLAN)
    assert result.exit_code == 3, result.output
    assert "outcome: infeasible" in result.stdout
    assert "smallest_change: " in result.stdout
    for word in words:
        assert word in result.stdout, result.stdout


PROFILE = """apiVersion: tonnage/v1
kind: LayerProfile
metadata: {name: measured}
spec:
  model: llama-3.1-8b
  device: h100-sxm
  engine: vllm
  engine_version: "0.19"
  source: a test
  tables:
    - {operator: qkv_proj, axes: [tokens], points: [[1], [8192]], latency_us: [10, 300]}
"""


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("model: llama-3.1-8b", "model: llama-3.1-70b", ("llama-3.1-70b", "llama-3.1-8b")),
        ("device: h100-sxm", "device: l4", ("l4", "h100-sxm")),
        ("latency_us: [10, 300]", "latency_us: [10]", ("2 points but 1 latencies",)),
        ("latency_us: [10, 300]", "latency_us: [10, -3]", ("latency_us[1]", "-3")),
        ("engine: vllm", "engine: vllm", ("o_proj",)),
    ],
    ids=["another model", "another device", "unequal columns", "negative time", "operators missing"],
)
def test_a_profile_that_cannot_serve_is_refused(tonnage: Tonnage, old: str, new: str, words: tuple[str, ...]) -> None:
    Path("profile.yaml").write_text(PROFILE.replace(old, new))
    Path("deployment.yaml").write_text(DEPLOYMENT + "  profile: profile.yaml\n")
    one_message(tonnage(*SERVING), *words)


@pytest.mark.parametrize(
    ("command", "break_it"),
    [(PLAN, "workload.yaml"), (PLAN, None), (MEMORY, "deployment.yaml"), (SERVING, None)],
)
def test_an_existing_output_file_is_never_damaged(
    tonnage: Tonnage, command: tuple[str, ...], break_it: str | None
) -> None:
    Path("out.yaml").write_text("precious\n")
    if break_it:
        Path(break_it).write_text("kind: [")
    force = ("--force",) if break_it else ()
    one_message(tonnage(*command, "-w", "out.yaml", *force))
    assert Path("out.yaml").read_text() == "precious\n"
    assert not [name for name in os.listdir() if name.startswith(".out.yaml")]


def test_an_output_folder_that_is_not_there_is_told_before_the_work(tonnage: Tonnage) -> None:
    one_message(tonnage(*PLAN, "-w", "nowhere/plan.yaml"), "there is no folder nowhere")


@pytest.mark.parametrize(
    "arguments",
    [("plan",), ("plan", "serving"), (*PLAN, "--confidence", "2"), (*PLAN, "--objective", "luck"), ("plam",)],
)
def test_a_wrong_command_line_is_told_without_a_traceback(tonnage: Tonnage, arguments: tuple[str, ...]) -> None:
    result = tonnage(*arguments)
    assert result.exit_code == 2
    assert "Usage: tonnage" in result.output
    assert "Traceback" not in result.output


def test_a_check_needs_something_measured(tonnage: Tonnage) -> None:
    one_message(tonnage("check", "deployment.yaml"), "--measured")
    one_message(tonnage("check"), "--points")


def test_good_documents_are_good(tonnage: Tonnage) -> None:
    assert tonnage(*PLAN).exit_code == 0
    assert tonnage(*SERVING).exit_code == 0


POINTS = "model,precision,tp,pp,isl,osl,concurrency,ttft_ms,tpot_ms\n"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (POINTS, ("points.csv",)),
        (POINTS.replace(",tpot_ms", "") + "llama-3.1-8b,,1,1,9,9,9,9\n", ("tpot_ms",)),
        (POINTS + "llama-3.1-8b,,1,1,-9,9,9,9,9\n", ("isl", "-9")),
        (POINTS + "llama-3.1-8b,,1,1,9,9,9,9,nan\n", ("tpot_ms",)),
        (POINTS + "llama-3.1-8,,1,1,9,9,9,9,9\n", ("llama-3.1-8b",)),
        (POINTS + "llama-3.1-8b,fp9,1,1,9,9,9,9,9\n", ("fp9",)),
    ],
    ids=["no rows", "no column", "negative", "not a number", "unknown model", "unknown precision"],
)
def test_wrong_points_are_refused(tonnage: Tonnage, text: str, words: tuple[str, ...]) -> None:
    Path("points.csv").write_text(text)
    one_message(tonnage("check", "--points", "points.csv", "--device", "h100-sxm"), *words)


def test_points_need_a_device(tonnage: Tonnage) -> None:
    Path("points.csv").write_text(POINTS + "llama-3.1-8b,,1,1,9,9,9,9,9\n")
    one_message(tonnage("check", "--points", "points.csv"), "--device")


@pytest.mark.parametrize("name", ["plan.yaml", "bench.json", "profile.csv"])
def test_results_that_are_none_are_refused(tonnage: Tonnage, name: str) -> None:
    Path(name).write_text("{}" if name.endswith("json") else "a: 1\n")
    command = {
        "plan.yaml": ("explain", name),
        "bench.json": ("check", "deployment.yaml", "--measured", name),
        "profile.csv": ("profile", "import", name, "--form", "vidur", "--device", "l4", "--model", "llama-3.1-8b"),
    }
    one_message(tonnage(*command[name]), name)

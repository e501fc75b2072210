"""`tonnage profile engine`: a profile as table and file from which `predict` goes on, and what it refuses."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.conftest import Tonnage
from tests.profilers.engine.conftest import stub
from tests.profilers.engine.stub import serving

QUICK = ("--max-requests", "40", "--max-seconds", "10", "--prompt-tokens", "60", "--output-tokens", "8",
         "--longest-prompt", "128", "--max-num-batched-tokens", "256")  # fmt: skip
KEY = "sk-do-not-show-me"
DEPLOYMENT = """apiVersion: tonnage/v1
kind: Deployment
metadata: {name: small}
spec:
  model: llama-3.2-1b
  device: l4
  profile: engine.yaml
  engine: {version: "0.19", max_num_seqs: 16, max_num_batched_tokens: 256, max_model_len: 2048}
"""
WORKLOAD = """apiVersion: tonnage/v1
kind: Workload
metadata: {name: few}
spec:
  model: llama-3.2-1b
  arrivals: {concurrency: 4, prompts: 40}
  lengths: {prompt_tokens: {uniform: [30, 90]}, output_tokens: {uniform: [4, 12]}}
"""


@pytest.fixture(autouse=True)
def store(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TONNAGE_STORE", str(folder / "store.db"))


def test_an_engine_is_profiled_and_its_profile_predicts(
    tonnage: Tonnage, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TONNAGE_API_KEY", KEY)
    names = ("--model", "llama-3.2-1b", "--device", "l4")
    with serving(stub(key=KEY)) as url:
        result = tonnage("profile", "engine", url, *names, *QUICK, "-w", "engine.yaml", "-o", "table")
    assert result.exit_code == 0, result.stderr
    assert "out of fold" in result.stdout
    assert "tokens/s" in result.stdout
    assert "EngineProfile" in tonnage("store", "list", "-o", "json").stdout
    assert KEY not in result.stdout + result.stderr + (folder / "engine.yaml").read_text()
    (folder / "deployment.yaml").write_text(DEPLOYMENT)
    (folder / "workload.yaml").write_text(WORKLOAD)
    found = tonnage("predict", "serving", "deployment.yaml", "workload.yaml")
    assert found.exit_code == 0, found.stderr
    assert "basis: measured" in found.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        ((), 2, "takes a URL or --results"),
        (("http://127.0.0.1:9", "--results", "x.csv"), 2, "takes a URL or --results"),
        (("http://127.0.0.1:9",), 4, "cannot connect"),
        (("ftp://host",), 2, "not an http or https URL"),
        (("--results", "none.csv", "--model", "m"), 2, "none.csv"),
    ],
)
def test_wrong_input_is_refused_with_a_cure(tonnage: Tonnage, arguments: tuple[str, ...], code: int, told: str) -> None:
    result = tonnage("profile", "engine", *arguments)
    assert result.exit_code == code
    assert told in result.stderr

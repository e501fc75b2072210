"""The table of the memory ledger says the verdict, every part and what is missing."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from predictors.memory import estimate
from renderers.memory import memory_table
from specs.errors import InputError

DOCUMENT = """
apiVersion: tonnage/v1
kind: Deployment
metadata: {name: one}
spec:
  model: MODEL
  device: h100-sxm
  roles: {prefill: {parallel: {tp: 1}}, decode: {parallel: {tp: 8}}}
  engine: {max_model_len: 16384}
"""


def shown(tmp_path: Path, model: str) -> str:
    path = tmp_path / "deployment.yaml"
    path.write_text(DOCUMENT.replace("MODEL", model))
    console = Console(width=100, record=True, file=io.StringIO())
    console.print(memory_table(estimate(path)))
    return console.export_text()


def test_a_role_that_fits_and_one_that_does_not(tmp_path: Path) -> None:
    text = shown(tmp_path, "llama-3.1-70b")
    assert "tp 1  prefill, one GPU: does not fit" in text
    assert "missing" in text
    assert "tp 8  decode, one GPU: fits" in text
    assert all(
        name in text for name in ("weights", "activations", "non-torch", "CUDA context", "CUDA graphs", "KV cache")
    )


def test_a_deployment_that_cannot_be_cut_names_its_file(tmp_path: Path) -> None:
    path = tmp_path / "deployment.yaml"
    path.write_text(DOCUMENT.replace("MODEL", "qwen3-14b").replace("tp: 8", "tp: 5"))
    with pytest.raises(InputError, match=r"deployment.yaml: tensor parallelism 5 does not divide"):
        estimate(path)


def test_it_fits_a_hundred_columns(tmp_path: Path) -> None:
    assert max(len(line) for line in shown(tmp_path, "deepseek-v3").splitlines()) <= 100

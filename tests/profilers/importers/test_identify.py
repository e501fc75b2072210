"""Tables say which device and model they are of, or the command line has to."""

from __future__ import annotations

from pathlib import Path

import pytest

from profilers.importers.identify import _only
from specs.catalog import device_names, find_device, find_model, model_names
from specs.errors import InputError


def device_of(path: Path) -> str:
    return _only("device", [path], device_names(), lambda name: find_device(name).aliases)


def model_of(path: Path) -> str:
    return _only("model", [path], model_names(), lambda name: find_model(name).aliases)


def table(path: Path, text: str = "tokens,time_us\n1,2\n") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_key_columns_name_device_and_model(tmp_path: Path) -> None:
    path = table(tmp_path / "dense.csv", "gpu,model,tokens\nRTXPRO6000,meta-llama/Llama-3.1-8B,1\n")
    assert (device_of(path), model_of(path)) == ("rtx-pro-6000", "llama-3.1-8b")


def test_folders_name_device_and_model_where_no_column_does(tmp_path: Path) -> None:
    path = table(tmp_path / "perf" / "RTXPRO6000" / "Qwen" / "Qwen3-32B" / "tp1" / "dense.csv")
    assert (device_of(path), model_of(path)) == ("rtx-pro-6000", "qwen3-32b")


def test_an_alias_of_the_driver_is_understood(tmp_path: Path) -> None:
    assert device_of(table(tmp_path / "gemm.csv", "device,m\nNVIDIA H100 80GB HBM3,1\n")) == "h100-sxm"


def test_several_models_are_listed(tmp_path: Path) -> None:
    path = table(tmp_path / "dense.csv", "model,tokens\nmeta-llama/Llama-3.1-8B,1\nQwen/Qwen3-32B,1\n")
    with pytest.raises(InputError, match=r"(?s)Qwen/Qwen3-32B, meta-llama/Llama-3.1-8B.*--model NAME"):
        model_of(path)


def test_tables_that_do_not_say_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"(?s)the tables do not say.*--device NAME"):
        device_of(table(tmp_path / "dense.csv"))

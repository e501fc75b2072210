"""The catalogue's tables fit 100 columns, name every entry, and cite the most specific source."""

from __future__ import annotations

import io

import pytest
from rich.console import Console, RenderableType

from renderers.catalog import device_list, model_list, one_device, one_model
from specs.catalog import device_names, find_device, find_model, model_names


def _shown(view: RenderableType) -> str:
    console = Console(file=io.StringIO(), width=100, no_color=True)
    console.print(view)
    file = console.file
    assert isinstance(file, io.StringIO)
    return file.getvalue()


def test_lists_name_every_entry_and_fit_100_columns() -> None:
    devices = _shown(device_list([find_device(name) for name in device_names()]))
    models = _shown(model_list([find_model(name) for name in model_names()]))
    assert all(name in devices for name in device_names())
    assert all(name in models for name in model_names())
    assert "…" not in devices + models
    assert max(len(line) for line in (devices + models).splitlines()) <= 100


@pytest.mark.parametrize("name", device_names())
def test_a_device_shows_a_source_for_every_figure(name: str) -> None:
    text = _shown(one_device(find_device(name)))
    assert "not stated" not in text
    assert ("datasheet alone" in text) == (name in ("v100", "t4", "mi300x"))


def test_the_most_specific_source_is_shown() -> None:
    lines = _shown(one_device(find_device("rtx-pro-6000"))).splitlines()
    rate = next(line for line in lines if line.startswith("peak_tflops.fp32"))
    other = next(line for line in lines if line.startswith("peak_tflops.bf16"))
    assert "Server Edition" in rate
    assert "clock and rates" in other


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("gemma-3-4b", ["29 layers: 8 heads of 256, 4 KV heads, window 1,024", "5 layers", "vision tower", "tied"]),
        ("deepseek-v3", ["128 latent heads of 128 + 64, latent 512", "8 of 256 experts", "fp8-block"]),
        ("gpt-oss-20b", ["mxfp4, 32 weights per scale", "attention, router, embedding", "20,914,757,184"]),
        ("aquila-7b", ["parameters", "-"]),
    ],
)
def test_a_model_is_told_in_words(name: str, words: list[str]) -> None:
    text = " ".join(_shown(one_model(find_model(name))).split())
    assert all(word in text for word in words), text

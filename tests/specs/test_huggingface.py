"""A config.json gives the architecture that the catalogue states, and anything else ends in one clear message."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from specs.catalog import find_model
from specs.errors import InputError
from specs.huggingface import read_config
from specs.model import ModelSpec
from tests.specs.configs import CONFIGS

LLAMA = CONFIGS["llama-3.1-8b"]


def _read(folder: Path, config: Mapping[str, Any]) -> ModelSpec:
    path = folder / "config.json"
    path.write_text(json.dumps(config, indent=2))
    return read_config(path)


def _architecture(spec: ModelSpec) -> dict[str, Any]:
    told = {"name", "aliases", "source", "date", "notes", "parameters"}
    fields = spec.model_dump(exclude=told)
    if fields["vision"]:
        fields["vision"].pop("source")
    kinds = fields["attention"]
    return {**fields, "attention": sorted(kinds, key=str)}


@pytest.mark.parametrize("name", sorted(CONFIGS))
def test_a_published_config_gives_the_catalogue_s_architecture(name: str, tmp_path: Path) -> None:
    assert _architecture(_read(tmp_path, CONFIGS[name])) == _architecture(find_model(name))


def test_a_model_is_named_after_its_folder(tmp_path: Path) -> None:
    folder = tmp_path / "My-Llama"
    folder.mkdir()
    assert _read(folder, LLAMA).name == "my-llama"
    assert find_model(str(folder)).hidden == 4096


def test_newer_spellings_give_the_same(tmp_path: Path) -> None:
    text = {**CONFIGS["gemma-3-4b"]["text_config"], "layer_types": (["sliding_attention"] * 5 + ["full_attention"]) * 6}
    text["layer_types"] = text["layer_types"][:34]
    text["rope_parameters"] = {
        "full_attention": {"rope_type": "linear", "factor": 8.0}, "sliding_attention": {"rope_type": "default"},
    }  # fmt: skip
    text["rope_scaling"] = None
    newer = {**CONFIGS["gemma-3-4b"], "text_config": text}
    assert _architecture(_read(tmp_path, newer)) == _architecture(find_model("gemma-3-4b"))
    phi = {**CONFIGS["phi-2"], "partial_rotary_factor": None, "rope_parameters": {"partial_rotary_factor": 0.4}}
    assert _read(tmp_path, phi).rotary_dim == 32


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"architectures": ["LlamaForCausalLn"]}, ["LlamaForCausalLn", "LlamaForCausalLM", "Model document"]),
        ({"architectures": ["MambaForCausalLM"]}, ["MambaForCausalLM", "not known"]),
        ({"architectures": []}, ["architectures", "missing"]),
        ({"hidden_size": None}, ["hidden_size", "missing"]),
        ({"hidden_size": "4096"}, ["hidden_size", "whole number", "'4096'"]),
        ({"num_hidden_layers": -1}, ["num_hidden_layers", "-1"]),
        ({"num_key_value_heads": 5}, ["num_key_value_heads", "does not divide", "32"]),
        ({"attention_bias": "yes"}, ["attention_bias", "true or false"]),
        ({"torch_dtype": "int3"}, ["torch_dtype", "int3"]),
        ({"layer_types": ["linear_attention"] * 32}, ["layer_types", "linear_attention"]),
        ({"layer_types": ["sliding_attention"] * 32}, ["sliding_window", "missing"]),
        ({"quantization_config": {"quant_method": "bitsandbytes"}}, ["bitsandbytes", "not known"]),
        ({"quantization_config": {"quant_method": "gptq", "bits": 3}}, ["bits", "3"]),
        ({"quantization_config": {"quant_method": "compressed-tensors"}}, ["config_groups", "0 groups"]),
        ({"quantization_config": [1]}, ["quantization_config", "mapping"]),
        ({"vision_config": {"model_type": "clip_vision_model"}}, ["clip_vision", "vision tower"]),
    ],
)
def test_a_wrong_field_is_named_with_its_line(change: dict[str, Any], words: list[str], tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        _read(tmp_path, {**LLAMA, **change})
    assert "config.json:" in str(caught.value)
    assert all(word in str(caught.value) for word in words), str(caught.value)


@pytest.mark.parametrize("text", ["{", "[]", "null", "[" * 100_000, '{"architectures": NaN}', ""])
def test_what_is_no_config_is_refused(text: str, tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text(text)
    with pytest.raises(InputError, match=r"config\.json"):
        read_config(path)


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nowhere"):
        read_config(tmp_path / "nowhere.json")
    (tmp_path / "latin.json").write_bytes(b'{"a": "\xe9"}')
    with pytest.raises(InputError, match="latin"):
        read_config(tmp_path / "latin.json")


_LEAVES = st.none() | st.booleans() | st.integers(-(2**40), 2**40) | st.floats() | st.text(max_size=5)
_JUNK = st.recursive(
    _LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
)


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.data())
def test_no_value_of_any_field_ends_in_a_traceback(data: st.DataObject, tmp_path: Path) -> None:
    config = json.loads(json.dumps(CONFIGS[data.draw(st.sampled_from(sorted(CONFIGS)))]))
    inside = data.draw(st.sampled_from([config, *(value for value in config.values() if isinstance(value, dict))]))
    inside[data.draw(st.sampled_from(sorted(inside)))] = data.draw(_JUNK)
    with suppress(InputError):
        spec = _read(tmp_path, config)
        assert sum(kind.layers for kind in spec.attention) == spec.layers
        assert (spec.mlp.layers if spec.mlp else 0) + (spec.moe.layers if spec.moe else 0) == spec.layers

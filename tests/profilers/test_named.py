"""A layer profile is found by its path and by its id in the store."""

from __future__ import annotations

from pathlib import Path

import pytest

from profilers.named import layer_profile
from profilers.store import add_profile, open_store
from specs.base import Metadata
from specs.errors import InputError
from specs.profile import LayerProfile, LayerProfileSpec, OperatorTable
from specs.writing import to_yaml, write_atomically


def profile() -> LayerProfile:
    table = OperatorTable(operator="qkv_proj", axes=("tokens",), points=((1.0,), (64.0,)), latency_us=(10.0, 20.0))
    spec = LayerProfileSpec(
        model="llama-3.1-8b", device="h100-sxm", engine="vllm", engine_version="0.19", source="a test", tables=(table,)
    )
    return LayerProfile(metadata=Metadata(name="a-profile"), spec=spec)


def test_a_path_goes_first(tmp_path: Path) -> None:
    write_atomically(tmp_path / "profile.yaml", to_yaml(profile()))
    assert layer_profile("profile.yaml", tmp_path) == profile().spec


def test_an_id_is_looked_up_in_the_store(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'store.db'}"
    identity = add_profile(open_store(url), profile())
    assert layer_profile(identity, store=url) == profile().spec
    assert layer_profile(identity[:20], store=url) == profile().spec


def test_neither_is_one_message(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        layer_profile("absent.yaml", tmp_path)

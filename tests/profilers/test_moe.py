"""Router logs in every form give the counts they were written from, and broken ones are refused with the row."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from profilers.moe import layer_experts, profile_experts
from specs.catalog import find_model
from specs.errors import InputError

TOKENS = [(0, [0, 2]), (0, [1, 2]), (1, [2, 3]), (1, [3, 0]), (0, [2, 3])]
COUNTS = [(1, 1, 3, 1), (1, 0, 1, 2)]


def as_counts() -> list[tuple[int, int, int]]:
    return [(layer, expert, count) for layer, row in enumerate(COUNTS) for expert, count in enumerate(row)]


def write(path: Path) -> Path:
    pairs = [(layer, expert) for layer, chosen in TOKENS for expert in chosen]
    if path.name == "counts.csv":
        path.write_text("layer,expert,count\n" + "".join(f"{a},{b},{c}\n" for a, b, c in as_counts()))
    elif path.name == "tokens.csv":
        path.write_text("layer_id,expert_id\n" + "".join(f"{a},{b}\n" for a, b in pairs))
    elif path.name == "tokens.jsonl":
        path.write_text("".join(json.dumps({"layer": a, "experts": b}) + "\n" for a, b in TOKENS))
    elif path.name == "counts.jsonl":
        path.write_text("".join(json.dumps({"layer": a, "expert": b, "count": c}) + "\n" for a, b, c in as_counts()))
    elif path.name == "tokens.parquet":
        pl.DataFrame({"layer": [a for a, _ in TOKENS], "topk_ids": [b for _, b in TOKENS]}).write_parquet(path)
    else:
        pl.DataFrame(as_counts(), schema=["layer", "expert", "count"], orient="row").write_parquet(path)
    return path


@pytest.mark.parametrize(
    "name", ["counts.csv", "tokens.csv", "counts.jsonl", "tokens.jsonl", "counts.parquet", "tokens.parquet"]
)
def test_every_form_gives_the_same_counts(tmp_path: Path, name: str) -> None:
    spec = profile_experts(write(tmp_path / name)).spec
    assert [one.counts for one in spec.layers] == COUNTS
    assert spec.form == name.split(".")[0]
    assert spec.experts_per_token == (2 if name in ("tokens.jsonl", "tokens.parquet") else None)


def test_rows_of_one_expert_add_up(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_text("layer,expert,count\n0,1,5\n0,1,2\n0,0,1\n")
    assert profile_experts(path).spec.layers[0].counts == (1, 7)


def test_the_model_says_how_many_experts_there_are(tmp_path: Path) -> None:
    model = find_model("mixtral-8x7b", tmp_path)
    spec = profile_experts(write(tmp_path / "counts.csv"), model).spec
    assert (spec.experts, spec.experts_per_token, spec.model) == (8, 2, "mixtral-8x7b")
    assert spec.layers[0].counts == (*COUNTS[0], 0, 0, 0, 0)
    assert spec.layers[0].never == 4


@given(st.lists(st.integers(0, 1000), min_size=1, max_size=40).filter(any))
def test_figures_of_a_layer_lie_in_their_bounds(counts: list[int]) -> None:
    one = layer_experts(0, counts)
    assert one.imbalance >= 1 - 1e-3
    assert one.imbalance <= len(counts) * (1 + 1e-3)
    assert one.effective <= (len(counts) - one.never) * (1 + 1e-3)
    assert one.hot_share >= math.ceil(len(counts) / 10) / len(counts) - 1e-3


def test_even_use_is_no_imbalance_and_one_expert_is_all() -> None:
    even, alone = layer_experts(0, [5] * 20), layer_experts(0, [0, 9, 0, 0])
    assert (even.imbalance, even.effective, even.hot_share) == (1, 20, 0.1)
    assert (alone.imbalance, alone.effective, alone.hot_share, alone.never) == (4, 1, 1, 3)


def test_the_sampling_error_is_what_repeated_draws_show() -> None:
    generator = np.random.default_rng(3)
    shares = generator.dirichlet([1.0] * 16)
    draws = generator.multinomial(5000, shares, size=300)
    seen = np.abs(draws / 5000 - shares).sum(axis=1).mean() / 2
    assert layer_experts(0, list(draws[0])).sampling_error == pytest.approx(seen, rel=0.1)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("layer,expert,count\n0,0,1\n0,1,nan\n", "row 2: count: found 'nan'"),
        ("layer,expert,count\n0,0,1\n0,1,\n", "row 2: count: found nothing"),
        ("layer,expert,count\n0,0,-1\n", "row 1: count: found '-1'"),
        ("layer,expert,count\n0,0.5,1\n", "row 1: expert: found '0.5'"),
        ("layer,expert,count\n0,0,inf\n", "row 1: count: found 'inf'"),
        ("layer,expert,count\n0,0,1\n1,0,0\n1,1,0\n", "layer 1: every count is 0"),
        ("layer,expert,count\n", "no requests below the header"),
        ("layer,count\n0,1\n", "column 'expert' is missing"),
        ("", "empty"),
        ("layer,expert,count\n0,99999999999,1\n", "row 1: expert: found '99999999999'"),
    ],
)
def test_a_broken_log_is_refused_with_the_row(tmp_path: Path, text: str, told: str) -> None:
    path = tmp_path / "log.csv"
    path.write_text(text)
    with pytest.raises(InputError) as error:
        profile_experts(path)
    assert told in str(error.value)


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ('{"layer": 0, "experts": []}', "row 2: experts: found no experts"),
        ('{"layer": null, "experts": [1]}', "row 2: layer: found nothing"),
        ('{"layer": 0, "experts": [1, -1]}', "row 2: experts: found -1"),
        ('{"layer": 0, "experts": [1', "log.jsonl:2: not valid JSON"),
    ],
)
def test_a_broken_line_is_refused(tmp_path: Path, line: str, told: str) -> None:
    path = tmp_path / "log.jsonl"
    path.write_text('{"layer": 0, "experts": [1, 2]}\n' + line + "\n")
    with pytest.raises(InputError) as error:
        profile_experts(path)
    assert told in str(error.value)


def test_an_expert_that_the_model_does_not_have_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_text("layer,expert,count\n0,0,1\n0,8,1\n")
    for arguments in ((find_model("mixtral-8x7b", tmp_path), None), (None, 8)):
        with pytest.raises(InputError, match=r"row 2: expert 8, but .* has 8 experts"):
            profile_experts(path, *arguments)
    with pytest.raises(InputError, match="has no experts"):
        profile_experts(path, find_model("llama-3.1-8b", tmp_path))

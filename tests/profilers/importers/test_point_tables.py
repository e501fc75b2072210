"""Tables of published points: defaults, spreads, roles and refusals."""

from __future__ import annotations

from pathlib import Path

import pytest

from predictors.point_rows import asked_of
from profilers.importers.point_tables import read_points
from specs.errors import InputError

HEAD = "model,precision,tp,pp,isl,osl,concurrency,ttft_ms,tpot_ms"


def test_what_a_row_leaves_out(tmp_path: Path) -> None:
    (row,) = read_points(_written(tmp_path, f"{HEAD}\nllama-3.1-8b,,,,10,20,3,,\n"))
    assert (row.precision, row.tp, row.pp, row.ttft_s, row.engine) == ("bf16", 1, 1, None, None)


def _written(folder: Path, text: str) -> Path:
    path = folder / "p.csv"
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("spread", "expected"),
    [
        ("", None),
        ("0", (1, 1)),
        ("1", (1, 1)),
        ("0.2", (0.8, 1)),
        ("0.8", (0.8, 1)),
        ("0.8-1", (0.8, 1)),
        ("0.9:1.1", (0.9, 1.1)),
    ],
)
def test_length_spread(tmp_path: Path, spread: str, expected: tuple[float, float] | None) -> None:
    (row,) = read_points(_written(tmp_path, f"{HEAD},length_spread\nllama-3.1-8b,bf16,1,1,10,20,3,1,1,{spread}\n"))
    assert row.length_spread == (pytest.approx(expected) if expected else None)


def test_a_row_becomes_a_point_with_its_harness(tmp_path: Path) -> None:
    text = (
        f"{HEAD},engine,engine_version,prefill_tp,prefill_workers,prefill_batch,decode_tp,decode_workers,decode_batch,ep,"
        "prompts_per_concurrency,length_spread\n"
        "meta-llama/Llama-3.1-8B,FP8,,,1000,100,64,500,20,TensorRT-LLM,1.2,2,3,1,4,1,64,0,5,0\n"
    )
    (row,) = read_points(_written(tmp_path, text))
    point, harness = asked_of(row)
    assert (point.model.name, point.precision, point.engine, point.engine_version) == (
        "llama-3.1-8b",
        "fp8",
        "trtllm",
        "1.2",
    )
    assert point.prefill is not None
    assert point.decode is not None
    assert (point.prefill.tp, point.prefill.workers, point.decode.tp, point.decode.batch) == (2, 3, 4, 64)
    assert (harness.prompts_per_concurrency, harness.length_spread) == (5, (1.0, 1.0))


@pytest.mark.parametrize(
    ("text", "part"),
    [
        (HEAD.replace("isl", "ils") + "\nm,,1,1,1,1,1,1,1\n", "missing column 'isl' (did you mean 'ils'?)"),
        (f"{HEAD}\nm,,1,1,0,1,1,1,1\n", "row 1, isl: found '0'"),
        (f"{HEAD}\nm,,1,1,,1,1,1,1\n", "row 1, isl: found nothing"),
        (f"{HEAD}\nm,,1,1,1,1,1,-3,1\n", "row 1, ttft_ms: found '-3'"),
        (f"{HEAD}\nm,,1,1,1,1,1,nan,1\n", "row 1, ttft_ms: found 'nan'"),
        (f"{HEAD}\nm,,1.5,1,1,1,1,1,1\n", "row 1, tp: found '1.5'"),
        (f"{HEAD}\n,,1,1,1,1,1,1,1\n", "row 1, model"),
        (f"{HEAD}\n", "no requests below the header"),
        (f"{HEAD},length_spread\nm,,1,1,1,1,1,1,1,wide\n", "row 1, length_spread: found 'wide'"),
    ],
)
def test_bad_tables(tmp_path: Path, text: str, part: str) -> None:
    with pytest.raises(InputError) as refused:
        read_points(_written(tmp_path, text))
    assert part in str(refused.value)


@pytest.mark.parametrize(
    ("row", "part"),
    [("lama-3.1-8b,,1,1,1,1,1,1,1,vllm", "did you mean"),
     ("llama-3.1-8b,bf17,1,1,1,1,1,1,1,vllm", "precision: found 'bf17'"),
     ("llama-3.1-8b,,1,1,1,1,1,1,1,vlm", "did you mean 'vllm'")],
)  # fmt: skip
def test_unknown_names(tmp_path: Path, row: str, part: str) -> None:
    (found,) = read_points(_written(tmp_path, f"{HEAD},engine\n{row}\n"))
    with pytest.raises(InputError) as refused:
        asked_of(found)
    assert part in str(refused.value)

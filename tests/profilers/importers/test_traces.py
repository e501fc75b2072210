"""Traces of every known form read alike, and every way to break one ends in one message with a cure."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from profilers.importers import trace_files
from profilers.importers.traces import read_trace
from specs.errors import InputError

ARRIVALS, PROMPTS, OUTPUTS = [0.0, 0.5, 2.25], [10, 2000, 7], [1, 33, 500]

TEXTS = {
    "own.csv": "arrival_s,prompt_tokens,output_tokens\n3.0,10,1\n3.5,2000,33\n5.25,7,500\n",
    "shared.csv": "t_s,input_tokens,output_tokens\n0.0,10,1\n0.5,2000,33\n2.25,7,500\n",
    "azure.csv": (
        "TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:17:03.9799600,10,1\n"
        "2023-11-16 18:17:04.4799600,2000,33\n2023-11-16 18:17:06.2299600,7,500\n"
    ),
    "azure2024.csv": (
        "TIMESTAMP,ContextTokens,GeneratedTokens\n2024-05-10 00:00:00.009930+00:00,10,1\n"
        "2024-05-10T00:00:00.509930Z,2000,33\n2024-05-10 00:00:02.259930+00:00,7,500\n"
    ),
    "mooncake.jsonl": "".join(
        json.dumps({"timestamp": at, "input_length": p, "output_length": o, "hash_ids": [0]}) + "\n"
        for at, p, o in ((1000, 10, 1), (1500, 2000, 33), (3250, 7, 500))
    ),
    "sharegpt.csv": "input_toks,output_toks,arrival_time_ns\n10,1,46926808\n2000,33,546926808\n7,500,2296926808\n",
    "servegen.csv": (
        "request_id,timestamp,input_tokens,output_tokens\n0,7.0,10,1\n1,7.5,2000,33\n2,9.25,7,500\n"
    ),
    "burst.csv": (
        "Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type\n5,ChatGPT,10,1,11,API\n"
        "5.5,GPT-4,2000,33,2033,API\n7.25,ChatGPT,7,500,507,API\n"
    ),
    "commented.csv": "# seed 1\n\narrival_s,prompt_tokens,output_tokens\n0,10,1\n\n0.5,2000,33\n2.25,7,500\n",
    "spaced.csv": "\ufeffarrival_s,prompt_tokens,output_tokens\r\n0, 10,1\r\n0.5,2000 ,33\r\n2.25,7,500\r\n",
}  # fmt: skip


def _write(folder: Path, name: str, text: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


@pytest.mark.parametrize("name", TEXTS)
def test_known_forms_give_the_same_requests(tmp_path: Path, name: str) -> None:
    trace = read_trace(_write(tmp_path, name, TEXTS[name]))
    np.testing.assert_allclose(trace.arrival_s, ARRIVALS, atol=1e-9)
    assert trace.prompt_tokens.tolist() == PROMPTS
    assert trace.output_tokens.tolist() == OUTPUTS


def test_gzip_and_parquet_give_what_csv_gives(tmp_path: Path) -> None:
    plain = read_trace(_write(tmp_path, "a.csv", TEXTS["azure.csv"]))
    packed = read_trace(_write(tmp_path, "a.csv.gz", gzip.compress(TEXTS["azure.csv"].encode())))
    frame = pl.DataFrame({"timestamp": [0, 500, 2250], "input_length": PROMPTS, "output_length": OUTPUTS})
    frame.write_parquet(tmp_path / "a.parquet")
    for other in (packed, read_trace(tmp_path / "a.parquet")):
        np.testing.assert_allclose(other.arrival_s, plain.arrival_s)
        np.testing.assert_array_equal(other.prompt_tokens, plain.prompt_tokens)
    assert packed.sha256 != plain.sha256


def test_foreign_columns_are_mapped_with_their_unit(tmp_path: Path) -> None:
    path = _write(
        tmp_path, "x.csv", "when,in,out,user,kind\n1000,10,1,b,chat\n1500,2000,33,a,code\n3250,7,500,b,chat\n"
    )
    columns = {
        "arrival_ms": "when", "prompt_tokens": "in", "output_tokens": "out", "session": "user", "class": "kind",
    }  # fmt: skip
    trace = read_trace(path, columns=columns)
    np.testing.assert_allclose(trace.arrival_s, ARRIVALS)
    assert trace.session is not None
    assert trace.session.tolist() == [1, 0, 1]
    assert trace.class_names == ("chat", "code")
    assert trace.class_index is not None
    assert trace.class_index.tolist() == [0, 1, 0]


def test_sessions_are_recognised_by_their_usual_names(tmp_path: Path) -> None:
    text = "arrival_s,prompt_tokens,output_tokens,session_id\n0,1,1,u7\n1,1,1,u3\n2,1,1,u7\n"
    session = read_trace(_write(tmp_path, "s.csv", text)).session
    assert session is not None
    assert session.tolist() == [1, 0, 1]


@pytest.mark.parametrize(
    "text",
    [
        'arrival_s,prompt_tokens,output_tokens,hash_ids\n0,1500,1,"[3, 4, 5]"\n1,20,1,[]\n2,1000,1,3 9\n',
        '{"timestamp":0,"input_length":1500,"output_length":1,"hash_ids":[3,4,5]}\n'
        '{"timestamp":1000,"input_length":20,"output_length":1,"hash_ids":[]}\n'
        '{"timestamp":2000,"input_length":1000,"output_length":1,"hash_ids":[3,9]}\n',
    ],
)
def test_prefix_blocks_are_read_from_lists_and_from_text(tmp_path: Path, text: str) -> None:
    trace = read_trace(_write(tmp_path, "h.jsonl" if text.startswith("{") else "h.csv", text))
    assert trace.hash_offsets is not None
    assert trace.hash_ids is not None
    assert trace.hash_offsets.tolist() == [0, 3, 3, 5]
    assert trace.hash_ids.tolist() == [3, 4, 5, 3, 9]
    assert trace.block_tokens == 512


@given(
    st.lists(st.tuples(st.floats(0, 1e6), st.integers(1, 9000), st.lists(st.integers(0, 50), max_size=4)), min_size=1)
)
@settings(max_examples=40, deadline=None)
def test_sorting_moves_whole_rows(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[float, int, list[int]]]
) -> None:
    text = "arrival_s,prompt_tokens,output_tokens,hash_ids\n"
    rows = [(at, max(tokens, 512 * len(ids)), ids) for at, tokens, ids in rows]
    text += "".join(f"{at!r},{tokens},{tokens},{' '.join(map(str, ids))}\n" for at, tokens, ids in rows)
    trace = read_trace(_write(tmp_path_factory.mktemp("t"), "t.csv", text), sort=True)
    expected = sorted(rows, key=lambda row: row[0])
    np.testing.assert_allclose(trace.arrival_s, [row[0] - expected[0][0] for row in expected])
    assert trace.prompt_tokens.tolist() == [row[1] for row in expected]
    if trace.hash_ids is not None and trace.hash_offsets is not None:
        found = [trace.hash_ids[a:b].tolist() for a, b in zip(trace.hash_offsets, trace.hash_offsets[1:], strict=False)]
        assert found == [row[2] for row in expected]


HEAD = "arrival_s,prompt_tokens,output_tokens\n"
BAD: dict[str, tuple[str, str | bytes, tuple[str, ...]]] = {
    "negative time": ("a.csv", HEAD + "0,1,1\n-2,1,1\n", ("row 2", "arrival_s", "-2")),
    "nan time": ("a.csv", HEAD + "NaN,1,1\n", ("row 1", "arrival_s", "NaN")),
    "infinite time": ("a.csv", HEAD + "0,1,1\ninf,1,1\n", ("row 2", "arrival_s", "inf")),
    "empty cell": ("a.csv", HEAD + "0,1,1\n1,,4\n", ("row 2", "prompt_tokens", "nothing")),
    "short row": ("a.csv", HEAD + "0,1,1\n1,5\n", ("row 2", "output_tokens", "nothing")),
    "text cell": ("a.csv", HEAD + "0,many,1\n", ("row 1", "prompt_tokens", "many", "1 or more")),
    "zero output": ("a.csv", HEAD + "0,5,0\n", ("row 1", "output_tokens", "'0'", "1 or more")),
    "half a token": ("a.csv", HEAD + "0,5.5,1\n", ("row 1", "prompt_tokens", "5.5", "whole")),
    "too many tokens": ("a.csv", HEAD + "0,99999999999,1\n", ("row 1", "prompt_tokens")),
    "unsorted": ("a.csv", HEAD + "0,1,1\n5,1,1\n3,1,1\n", ("row 3", "arrival_s", "3 is earlier than 5", "sort: true")),
    "header only": ("a.csv", HEAD, ("no requests",)),
    "empty": ("a.csv", "", ("empty",)),
    "blank": ("a.csv", "\n\n", ("empty",)),
    "missing column": ("a.csv", "arrival_s,promt_tokens,output_tokens\n0,1,1\n", ("you mean 'promt_tokens'", "found")),
    "other columns": ("a.csv", "a,b,c\n0,1,1\n", ("missing column", "found a, b, c", "columns:")),
    "twice": ("a.csv", "arrival_s,arrival_s,output_tokens\n0,1,1\n", ("twice",)),
    "not utf-8": ("a.csv", HEAD.encode() + b"0,1,1\n0,1,\xff\n", (":3", "not UTF-8")),
    "not gzip": ("a.csv.gz", HEAD + "0,1,1\n", ("not gzip",)),
    "cut gzip": ("a.csv.gz", gzip.compress((HEAD + "0,1,1\n" * 99).encode())[:-9], ("ends too early",)),
    "not parquet": ("a.parquet", "PAR1 but not really, really not", ("not a whole Parquet",)),
    "bad json": ("a.jsonl", '{"timestamp":0,"input_length":1,"output_length":1}\n{"timestamp":1,\n', (":2", "JSON")),
    "json list": ("a.jsonl", "[1, 2]\n", (":1", "object")),
    "json NaN": (
        "a.jsonl", '{"timestamp":0,"input_length":1,"output_length":1}\n{"timestamp":NaN,"input_length":1}\n',
        (":2", "NaN"),
    ),
    "json null": ("a.jsonl", '{"timestamp":null,"input_length":1,"output_length":1}\n', ("row 1", "timestamp")),
    "date": ("a.csv", "TIMESTAMP,ContextTokens,GeneratedTokens\nyesterday,1,1\n", ("row 1", "TIMESTAMP", "yesterday")),
    "hashes": ("a.csv", HEAD[:-1] + ",hash_ids\n0,100,1,1 2 3\n", ("row 1", "hash_ids", "512")),
    "words as hashes": ("a.csv", HEAD[:-1] + ",hash_ids\n0,900,1,abc\n", ("row 1", "hash_ids", "abc")),
    "unknown ending": ("a.xls", HEAD, ("kind of table", ".parquet")),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_bad_traces_are_refused_with_place_and_cure(tmp_path: Path, case: str) -> None:
    name, text, parts = BAD[case]
    path = _write(tmp_path, name, text)
    with pytest.raises(InputError) as refused:
        read_trace(path)
    message = str(refused.value)
    assert str(path) in message
    assert refused.value.cure or "found" in message
    for part in parts:
        assert part in message


def test_missing_file_directory_and_size_are_told_apart(tmp_path: Path) -> None:
    _write(tmp_path, "chat.csv", TEXTS["own.csv"])
    (tmp_path / "folder.csv").mkdir()
    with (tmp_path / "huge.csv").open("wb") as file:
        file.truncate(2 * 2**30)
    for name, part in (("chta.csv", "did you mean 'chat.csv'"), ("folder.csv", "directory"), ("huge.csv", "2.0 GiB")):
        with pytest.raises(InputError, match=part):
            read_trace(tmp_path / name)


def test_a_gzip_bomb_stops_at_the_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trace_files, "MAX_TRACE_BYTES", 2**22)
    with pytest.raises(InputError, match="when unpacked"):
        read_trace(_write(tmp_path, "bomb.csv.gz", gzip.compress(b"0" * 2**24)))


@pytest.mark.parametrize(
    ("columns", "part"),
    [
        ({"arival_s": "t"}, "did you mean 'arrival_s'"),
        ({"arrival_s": "tt"}, "which is not there"),
        ({"arrival_s": "t_s", "arrival_ms": "t_s"}, "both arrival_s and arrival_ms"),
    ],
)
def test_bad_mappings_are_refused(tmp_path: Path, columns: dict[str, str], part: str) -> None:
    with pytest.raises(InputError, match=part):
        read_trace(_write(tmp_path, "a.csv", TEXTS["shared.csv"]), columns=columns)


REFERENCE = {
    "azure2023_conv_first60pct.csv.gz": (12340, 2100.5, False),
    "azure2023_code_first60pct.csv.gz": (6521, 2055.0, False),
    "llmservingsim_sharegpt_llama-3.1-8b_300.csv": (300, 29.1, False),
    "mooncake_conversation_first70pct.parquet": (8125, 2475.0, True),
}


@pytest.mark.parametrize("name", REFERENCE)
def test_published_traces_are_recognised(reference_data: Callable[[str], Path], name: str) -> None:
    count, span_s, hashed = REFERENCE[name]
    trace = read_trace(reference_data(f"llm_traces/{name}"))
    assert len(trace) == count
    assert trace.arrival_s[-1] == pytest.approx(span_s, abs=0.1)
    assert (trace.hash_ids is not None) == hashed


def test_a_list_that_is_wrong_is_shown_as_a_list(tmp_path: Path) -> None:
    path = tmp_path / "trace.jsonl"
    path.write_text('{"timestamp": 0, "input_length": 10, "output_length": 1, "hash_ids": [1, 2, 3]}\n')
    with pytest.raises(InputError, match=r"row 1, hash_ids: found \[1, 2, 3\], expected no more blocks"):
        read_trace(path)

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from specs.masking import mask_credentials, without_credentials


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("--store postgresql://me:hush@db/x", "--store postgresql://me:***@db/x"),
        ("postgresql+psycopg://me:hu/s@h@db/x", "postgresql+psycopg://me:***@db/x"),
        ("http://me:hush@prom:9090/api?token=hush&step=15", "http://me:***@prom:9090/api?token=***&step=15"),
        ("postgresql://db/x?user=me&password=hush", "postgresql://db/x?user=me&password=***"),
        ("host=db password=hush user=me", "host=db password=*** user=me"),
        ("--api-key hush --model x", "--api-key *** --model x"),
        ("--hf-token=hush", "--hf-token=***"),
        ("OPENAI_API_KEY=hush tonnage profile", "OPENAI_API_KEY=*** tonnage profile"),
        ("-H 'Authorization: Basic bWU6aHVzaA=='", "-H 'Authorization: Basic ***'"),
        ("-H 'Authorization: Bearer abcdef.ghijk'", "-H 'Authorization: Bearer ***'"),
    ],
)
def test_credentials_are_masked(text: str, masked: str) -> None:
    assert mask_credentials(text) == masked
    assert mask_credentials(masked) == masked


@pytest.mark.parametrize(
    "text",
    [
        "tonnage profile layers llama-3.1-8b --tp 4 --budget 120s",
        "http://prom:9090/api?query=sum(rate(x[5m]))&step=15",
        "postgresql://me@db:5432/x",
        "max_num_batched_tokens=8192 tokens=4 pad_token=2",
        "http://prom:9090/x?mail=me@example.org",
        "a bearer of news, basic roofline",
        "me@example.org",
    ],
)
def test_other_text_is_left(text: str) -> None:
    assert mask_credentials(text) == text


@given(st.text("ab/@: ", max_size=12).filter(lambda word: word.strip()), st.sampled_from(["postgresql", "https"]))
def test_no_password_of_a_url_survives(noise: str, scheme: str) -> None:
    assert "s3cr3t" not in mask_credentials(f"{noise} {scheme}://me:s3cr3t@host/x {noise}")


def test_documents_are_masked_at_any_depth() -> None:
    found = without_credentials({"a": [{"b": "x://u:p@h"}, 1.5, None, True], "c": ("--token t",)})
    assert found == {"a": [{"b": "x://u:***@h"}, 1.5, None, True], "c": ["--token ***"]}

"""Metrics of four servers are read for what they say; anything else is left out and never an error."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from profilers.engine.metrics import facts_of, grown, kind_of, parse_metrics, total

TEXTS = {
    "vllm": 'vllm:num_requests_running{engine="0"} 3\nvllm:num_requests_waiting 2\n',
    "sglang": "sglang:num_running_reqs 3\nsglang:num_queue_reqs 2\nsglang:max_total_num_tokens 4096\n",
    "tgi": "tgi_batch_current_size 3\ntgi_queue_size 2\n",
    "llama.cpp": "llamacpp:requests_processing 3\nllamacpp:requests_deferred 2\n",
}


@pytest.mark.parametrize(("kind", "text"), TEXTS.items())
def test_each_server_is_told_by_its_metrics(kind: str, text: str) -> None:
    samples = parse_metrics(text)
    facts = facts_of(samples, samples, [parse_metrics(""), samples], sent=0)
    assert (facts.kind, facts.most_running, facts.most_waiting) == (kind, 3, 2)


def test_labels_may_hold_anything() -> None:
    samples = parse_metrics('a{b="x,y} \\" z",c=""} 1 1700000000\na 2\n# HELP a\nb NaN\nc +Inf\n<html>\n')
    assert [one.value for one in samples["a"]] == [1, 2]
    assert samples["a"][0].labels["c"] == ""
    assert (total(samples, "a"), total(samples, "b"), total(samples, "c"), total(samples, None)) == (
        3,
        None,
        None,
        None,
    )


def test_a_counter_that_was_reset_says_nothing() -> None:
    low, high = parse_metrics("n 1"), parse_metrics("n 5")
    assert (grown(low, high, "n"), grown(high, low, "n"), grown(low, high, "m")) == (4, None, None)


@given(st.text(max_size=200))
def test_any_text_is_read(text: str) -> None:
    assert kind_of(parse_metrics(text)) in (None, *TEXTS)


def test_a_real_run_of_vllm(reference_data: Callable[[str], Path]) -> None:
    before, after = (
        parse_metrics((reference_data("engine_samples") / f"vllm_metrics_{when}.txt").read_text())
        for when in ("before", "after")
    )
    facts = facts_of(before, after, [], sent=80)
    assert (facts.kind, facts.preemptions, facts.other_requests) == ("vllm", 0, 2)  # two warm-ups
    assert (facts.kv_cache_tokens, facts.block_size_tokens) == (131072, 128)

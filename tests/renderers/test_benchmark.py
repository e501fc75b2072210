from __future__ import annotations

import shlex

import pytest

from renderers.benchmark import benchmark
from specs.errors import InputError
from tests.renderers.serving_plan import infeasible, plan


def words_of(text: str) -> list[str]:
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    return shlex.split("\n".join(lines).replace("\\\n", " ").split("\ntonnage check")[0])


def value(words: list[str], flag: str) -> str:
    return words[words.index(flag) + 1]


def test_the_command_sends_the_planned_load() -> None:
    words = words_of(benchmark(plan()))
    assert value(words, "--request-rate") == "6"
    assert float(value(words, "--burstiness")) == pytest.approx(1 / 2.0**2)
    assert value(words, "--random-input-len") == "800"
    assert int(value(words, "--num-prompts")) == 5400
    assert "--save-detailed" in words


def test_what_would_refute_the_plan_is_said() -> None:
    text = benchmark(plan())
    assert "ttft_s p99 0.83, at most 0.996; bound 1" in text
    assert text.splitlines()[-1].startswith("tonnage check chat-on-eu-west.yaml --measured")


def test_guidellm_has_its_own_words() -> None:
    words = words_of(benchmark(plan(), "guidellm"))
    assert words[:2] == ["guidellm", "benchmark"]
    assert "prompt_tokens=800" in value(words, "--data")


def test_nothing_is_to_refute_without_a_decision() -> None:
    with pytest.raises(InputError, match="nothing to prove wrong"):
        benchmark(infeasible())

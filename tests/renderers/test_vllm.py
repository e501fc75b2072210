from __future__ import annotations

import shlex

import pytest

from renderers.vllm import vllm
from specs.deployment import Parallel
from specs.errors import InputError
from tests.renderers.serving_plan import DEPLOYMENT, disaggregated, infeasible, plan


def flags_of(text: str) -> list[dict[str, str]]:
    """The flags of each command line, as a shell would read them."""
    commands = "\n".join(line for line in text.splitlines() if not line.startswith("#")).strip().split("\n\n")
    found = []
    for command in commands:
        words = shlex.split(command.replace("\\\n", " "))
        assert words[:2] == ["vllm", "serve"]
        flags = {}
        for here, after in zip(words[3:], [*words[4:], "--"], strict=True):
            if here.startswith("--"):
                flags[here] = "" if after.startswith("--") else after
        found.append(flags | {"model": words[2]})
    return found


def test_every_planned_limit_is_enforced() -> None:
    flags = flags_of(vllm(plan()))[0]
    assert flags["model"] == "meta-llama/Llama-3.1-70B"
    assert flags["--served-model-name"] == "llama-3.1-70b"
    wanted = {"--max-num-seqs": "192", "--max-num-batched-tokens": "2048", "--gpu-memory-utilization": "0.92",
              "--tensor-parallel-size": "4", "--max-model-len": "16384", "--block-size": "16"}  # fmt: skip
    assert wanted.items() <= flags.items()
    assert "--no-enable-prefix-caching" in flags


def test_roles_become_two_commands_with_their_own_degree() -> None:
    prefill, decode = flags_of(vllm(disaggregated()))
    assert prefill["--tensor-parallel-size"] == "2"
    assert decode["--tensor-parallel-size"] == "4"
    assert "kv_producer" in prefill["--kv-transfer-config"]
    assert "kv_consumer" in decode["--kv-transfer-config"]


def test_pipelines_and_experts_have_their_flags() -> None:
    one = DEPLOYMENT.model_copy(update={"parallel": Parallel(tp=2, pp=2, ep=2)})
    flags = flags_of(vllm(plan(one)))[0]
    assert flags["--pipeline-parallel-size"] == "2"
    assert "--enable-expert-parallel" in flags


def test_a_plan_without_decision_starts_nothing() -> None:
    with pytest.raises(InputError, match="there is nothing to start"):
        vllm(infeasible())

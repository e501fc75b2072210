"""`plan modules` and its wrong inputs, as a user types them."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

from tests.cli.test_bad_input import change, one_message

Tonnage = Callable[..., Result]
SAMPLES = Path(__file__).parents[2] / "sample_workloads"
PLAN = ("plan", "modules", "llama_13b.yaml", "--cluster", "shared.yaml", "--workload", "chat_13b.yaml")


@pytest.fixture
def samples(tonnage: Tonnage) -> Tonnage:
    """The command line beside the samples of this plan."""
    for name in ("llama_13b.yaml", "shared.yaml", "chat_13b.yaml"):
        shutil.copy(SAMPLES / name, name)
    return tonnage


def test_a_plan_is_written_shown_and_explained(samples: Tonnage) -> None:
    assert samples(*PLAN, "-w", "plan.yaml").exit_code == 0
    assert "kind: ModulesPlan" in Path("plan.yaml").read_text()
    told = " ".join(samples("explain", "plan.yaml", "--plot").stdout.split())
    assert "Step 1: replicate" in told
    assert "whole-instance" in told


def test_one_method_is_held_against_whole_instances(samples: Tonnage) -> None:
    shown = samples(*PLAN, "--method", "layer-services", "-o", "table").stdout
    assert "HPA running sequences per replica" in shown
    assert "cocoserve" not in shown
    assert "whole-instance" in shown


def test_a_copy_that_cannot_finish_in_time_is_one_message(samples: Tonnage) -> None:
    one_message(samples(*PLAN, "--method", "cocoserve", "--horizon", "0.01"), "a copy of one layer", exit_code=3)


def test_no_way_that_holds_leaves_with_3(samples: Tonnage) -> None:
    change("chat_13b.yaml", "tpot_s: 0.08", "tpot_s: 0.004")
    shown = samples(*PLAN, "-o", "table")
    assert shown.exit_code == 3
    assert "comes closest" in " ".join(shown.stdout.split())


@pytest.mark.parametrize(
    ("name", "old", "new", "words"),
    [
        ("shared.yaml", "a100-40gb", "l4", ("no pool has a100-40gb",)),
        ("shared.yaml", "idle_gib: [20, 14]", "idle_gib: [20, 14, 1]", ("lists 3 GPUs, 2 are taken",)),
        ("shared.yaml", "idle_gib", "idle_gb", ("did you mean 'idle_gib'",)),
        ("chat_13b.yaml", "llama-2-13b", "llama-2-7b", ("deployed is llama-2-13b",)),
        ("llama_13b.yaml", "replicas: 1", "replicas: 1, parallel: {dp: 2}", ("tp and pp alone",)),
    ],
)
def test_wrong_input_is_one_message(
    samples: Tonnage, name: str, old: str, new: str, words: tuple[str, ...]
) -> None:  # fmt: skip
    change(name, old, new)
    one_message(samples(*PLAN), *words)


def test_too_few_free_gpus_are_one_message(samples: Tonnage) -> None:
    change("llama_13b.yaml", "replicas: 1", "replicas: 4")
    one_message(samples(*PLAN), "has 2 free groups", exit_code=3)

"""What the tests of the engine's profile share: a stub with a known step time, and a short probe of it."""

from __future__ import annotations

import pytest

from profilers.engine import Asked, Labels, profile_endpoint
from specs.engine import EngineProfile
from tests.profilers.engine.stub import Engine, Stub, serving

BASE_S, PER_TOKEN_S, PER_SEQUENCE_S, PER_CONTEXT_S = 0.010, 60e-6, 0.4e-3, 0.4e-6
BUDGET = 256


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("profilers.engine.probing.PAUSE_S", 0.0)


def known_s(chunks: list[int], contexts: list[int]) -> float:
    """The step time that the stub keeps and a profile should find."""
    tokens, sequences = sum(chunks) + len(contexts), len(chunks) + len(contexts)
    return BASE_S + PER_TOKEN_S * tokens + PER_SEQUENCE_S * sequences + PER_CONTEXT_S * sum(contexts)


def stub(**changes: object) -> Stub:
    return Stub(Engine(known_s, budget=BUDGET), **changes)  # type: ignore[arg-type]


def probed(server: Stub, *, key: str | None = None, **changes: float) -> EngineProfile:
    """Profile ``server`` with a budget of a few seconds."""
    asked = {"max_requests": 60, "max_seconds": 20, "prompt_tokens": 100, "output_tokens": 12, "longest_prompt": 500}
    with serving(server) as url:
        return profile_endpoint(
            url,
            Asked(seed=0, **{**asked, **changes}),  # type: ignore[arg-type]
            Labels(model="tiny", max_num_batched_tokens=BUDGET),
            key=key,
            served=None,
            on_progress=lambda done, total, what: None,
        )

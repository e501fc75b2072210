"""A survey by a fake clock and a fake layer: interleaved blocks, budget, refinement, drops, noise, resumption."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from profilers.layers.checkpoint import checkpoint_path, load, save
from profilers.layers.document import document
from profilers.layers.grid import TOLERANCE
from profilers.layers.noise import spread_of
from profilers.layers.shapes import Shape, start_shapes
from profilers.layers.survey import MAX_REPEATS, MIN_BLOCKS, TARGET, Survey, TooLargeError, survey
from specs.errors import InputError, MissingHardwareError
from specs.model import Attention, Mlp, ModelSpec
from specs.profile import Machine

TOKENS = tuple(Shape("tokens", n) for n in (1, 4, 16, 64, 256, 1024))
MODEL = ModelSpec(
    name="tiny", architecture="LlamaForCausalLM", hidden=256, layers=2, vocabulary=1000, max_context_tokens=4096,
    attention=(Attention(layers=2, heads=4, kv_heads=2, head_dim=64),), mlp=Mlp(layers=2, intermediate=512),
    source="made up", date="2026-11-23",
)  # fmt: skip


def nothing(done: float, total: float, what: str) -> None:
    pass


class FakeLayer:
    """A layer whose passes take ``seconds(shape)`` of a clock of its own, times a mood that changes with time."""

    def __init__(self, seconds: Callable[[Shape], float], mood: Callable[[float], float] = lambda now: 1.0) -> None:
        self.seconds, self.mood, self.now, self.calls = seconds, mood, 0.0, list[Shape]()

    def run(self, shape: Shape) -> dict[str, float]:
        self.calls.append(shape)
        taken = self.seconds(shape) * self.mood(self.now)
        self.now += taken
        return {"qkv_proj": 0.25 * taken, "down_proj": 0.75 * taken}

    def survey(self, start: tuple[Shape, ...] = TOKENS, budget_s: float = 60.0, found: Survey | None = None) -> Survey:
        return survey(
            start, self.run, budget_s=budget_s, on_progress=nothing, found=found, clock=lambda: self.now
        )  # fmt: skip


def straight(shape: Shape) -> float:
    return 1e-3 + 1e-5 * shape.first


def bent(shape: Shape) -> float:
    """A roofline: flat while weights are read, then linear; its bend at 150 lies between points of the first grid."""
    return max(2e-3, 2e-3 * shape.first / 150)


def test_medians_are_what_the_layer_takes() -> None:
    found = FakeLayer(straight).survey()
    assert set(found.blocks) == set(TOKENS)
    for shape in TOKENS:
        assert found.spread(shape).median_s == pytest.approx(straight(shape))
        assert found.spread(shape, "qkv_proj").median_s == pytest.approx(0.25 * straight(shape))
        assert len(found.blocks[shape]) == MIN_BLOCKS  # a quiet layer needs no more


def test_blocks_of_all_shapes_take_turns_after_one_uncounted_pass() -> None:
    layer = FakeLayer(lambda shape: 0.05)  # a block of one pass
    found = layer.survey()
    assert layer.calls == [TOKENS[0], *list(TOKENS) * (1 + MIN_BLOCKS)]  # the first loads kernels for all
    assert all(len(blocks) == MIN_BLOCKS for blocks in found.blocks.values())


def test_a_straight_line_gets_no_points_and_a_bend_gets_them_beside_it() -> None:
    assert len(FakeLayer(straight).survey().blocks) == len(TOKENS)
    added = set(FakeLayer(bent).survey().blocks) - set(TOKENS)
    assert added
    assert all(16 < shape.first < 1024 for shape in added)


def test_refinement_brings_interpolation_within_its_tolerance() -> None:
    def error(found: Survey) -> float:
        points = sorted(found.blocks)
        at = np.arange(1, 1025)
        guessed = np.interp(at, [p.first for p in points], [found.spread(p).median_s for p in points])
        true = np.array([bent(Shape("tokens", int(x))) for x in at])
        return float(np.max(np.abs(guessed / true - 1)))

    coarse = Survey(blocks={shape: [[{"moe": bent(shape)}]] for shape in TOKENS})
    assert error(coarse) > 0.2
    assert error(FakeLayer(bent).survey()) < 2 * TOLERANCE


def test_noise_takes_more_blocks_and_adds_no_points() -> None:
    draw = random.Random(1)
    layer = FakeLayer(straight, mood=lambda now: draw.uniform(0.9, 1.1))
    found = layer.survey(budget_s=600.0)
    assert set(found.blocks) == set(TOKENS)
    assert all(found.spread(shape).median_error <= TARGET for shape in TOKENS)
    assert any(len(blocks) > MIN_BLOCKS for blocks in found.blocks.values())


@settings(max_examples=25, deadline=None)
@given(st.floats(2.0, 20.0), st.floats(1e-4, 1e-2))
def test_the_budget_holds_and_every_shape_kept_has_its_blocks(budget_s: float, each_s: float) -> None:
    drawn = random.Random(2)
    layer = FakeLayer(lambda shape: each_s * shape.first, mood=lambda now: drawn.uniform(0.5, 1.5))
    found = layer.survey(budget_s=budget_s)
    largest = 1.5 * each_s * 1024
    assert found.spent_s <= budget_s + 3 * largest  # the one warm pass that showed a shape too large, and a last block
    assert all(len(blocks) >= MIN_BLOCKS for blocks in found.blocks.values())
    assert all(max(map(len, blocks)) <= MAX_REPEATS for blocks in found.blocks.values())
    assert set(found.blocks) | set(found.dropped) >= set(TOKENS)


def test_a_shape_too_long_for_the_budget_is_dropped_with_all_larger_ones_untried() -> None:
    layer = FakeLayer(lambda shape: 0.01 * shape.first)
    found = layer.survey(budget_s=20.0)
    assert Shape("tokens", 256) in found.dropped
    assert "one pass takes 2.56 s" in found.dropped[Shape("tokens", 256)]
    assert Shape("tokens", 1024) not in layer.calls
    assert Shape("tokens", 64) in found.blocks


def test_what_does_not_fit_memory_is_left_out_and_the_rest_measured() -> None:
    layer = FakeLayer(straight)

    def run(shape: Shape) -> dict[str, float]:
        if shape.first >= 256:
            raise TooLargeError("does not fit the memory")
        return layer.run(shape)

    found = survey(TOKENS, run, budget_s=60.0, on_progress=nothing, clock=lambda: layer.now)
    assert sorted(found.dropped) == [Shape("tokens", 256), Shape("tokens", 1024)]
    assert set(found.blocks) == set(TOKENS[:4])


def test_a_slow_spell_of_the_machine_moves_no_median() -> None:
    """A tenth of the run at half speed; consecutive repeats of one shape would all fall into it."""
    quiet = FakeLayer(straight)
    quiet.survey()
    layer = FakeLayer(straight, mood=lambda now: 2.0 if 0.45 * quiet.now < now < 0.6 * quiet.now else 1.0)
    found = layer.survey()
    assert all(found.spread(shape).median_s == pytest.approx(straight(shape), rel=0.01) for shape in TOKENS)


class Killed(BaseException):
    pass


def test_a_killed_survey_goes_on_where_it_was(tmp_path: Path) -> None:
    path, request = checkpoint_path(tmp_path / "layers.yaml"), {"model": "tiny"}
    draw = random.Random(3)
    layer = FakeLayer(straight, mood=lambda now: draw.uniform(0.5, 1.5))
    rounds = 0

    def on_round(found: Survey) -> None:
        nonlocal rounds
        save(path, request, found)
        rounds += 1
        if rounds == 4:
            raise Killed

    with pytest.raises(Killed):
        survey(TOKENS, layer.run, budget_s=30, on_progress=nothing, on_round=on_round, clock=lambda: layer.now)
    resumed = load(path, request)
    spent = resumed.spent_s
    assert 0 < spent <= layer.now
    kept = {shape: [*blocks] for shape, blocks in resumed.blocks.items()}
    assert set(kept) >= set(TOKENS)
    found = layer.survey(budget_s=30.0, found=resumed)
    assert all(found.blocks[shape][: len(blocks)] == blocks for shape, blocks in kept.items())
    assert sum(map(len, found.blocks.values())) > sum(map(len, kept.values()))
    assert spent < found.spent_s <= 31.0


def test_a_resumed_survey_spends_no_time_on_passes_it_knows() -> None:
    first = FakeLayer(lambda shape: 0.05).survey()
    layer = FakeLayer(lambda shape: 0.05)
    layer.survey(found=first)
    assert layer.calls == [TOKENS[0]]


def test_a_checkpoint_of_another_run_or_none_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.partial.json"
    assert load(path, {}).blocks == {}
    save(path, {"model": "a", "tp": 1}, Survey())
    with pytest.raises(InputError, match="begun with other tp"):
        load(path, {"model": "a", "tp": 2})
    path.write_text('{"request"')
    with pytest.raises(InputError, match="not a checkpoint"):
        load(path, {})


@given(st.lists(st.lists(st.floats(0.1, 10.0), min_size=1, max_size=5), min_size=2, max_size=9))
def test_noise_is_what_numpy_says(blocks: list[list[float]]) -> None:
    found = spread_of(blocks)
    flat, medians = np.concatenate(blocks), np.array([np.median(block) for block in blocks])
    assert found.median_s == pytest.approx(np.median(flat))
    assert found.spread * found.median_s == pytest.approx(np.subtract(*np.percentile(flat, (75, 25))), abs=1e-9)
    assert found.block_spread * found.median_s == pytest.approx(medians.max() - medians.min(), abs=1e-9)


def test_the_error_of_a_median_covers_the_truth_as_often_as_it_says() -> None:
    """90 % intervals from 12 blocks of a drifting machine hold the true median in 80 to 97 % of 400 surveys."""
    rng = np.random.default_rng(0)
    held = 0
    for _ in range(400):
        blocks = rng.normal(1.0, 0.05, (12, 1)) + rng.normal(0.0, 0.01, (12, 5))
        found = spread_of(blocks.tolist())
        held += abs(found.median_s - 1.0) <= 1.645 * found.median_error * found.median_s
    assert 0.80 <= held / 400 <= 0.97


@pytest.mark.parametrize("blocks", [3, 4, 6, 12, 30])
def test_the_error_of_a_median_is_the_deviation_of_medians(blocks: int) -> None:
    """Over 1,500 surveys of a normal machine, within a third of what repeating the survey shows."""
    rng = np.random.default_rng(blocks)
    found = [spread_of([[one] for one in rng.normal(1.0, 0.05, blocks)]) for _ in range(1500)]
    shown = float(np.std([one.median_s for one in found]))
    assert np.mean([one.median_error for one in found]) == pytest.approx(shown, rel=0.35)


def profile_of(found: Survey) -> object:
    return document(MODEL, found, tp=1, device="cpu", machine=Machine(versions={"torch": "2.13"}), target=TARGET)


def test_a_noisy_profile_is_marked_and_a_too_noisy_one_refused() -> None:
    def measured(scatter: float) -> Survey:
        draw = random.Random(4)
        blocks = [[{"qkv_proj": draw.lognormvariate(0.0, scatter)}] for _ in range(4)]
        return Survey(blocks={TOKENS[0]: blocks})

    quiet, noisy = (document(
        MODEL, measured(scatter), tp=1, device="cpu", machine=Machine(), target=TARGET
    ).spec for scatter in (0.01, 0.25))  # fmt: skip
    assert quiet.noise is not None
    assert (quiet.noise.noisy, quiet.error) == (False, None)
    assert noisy.noise is not None
    assert noisy.noise.noisy
    assert noisy.error is not None
    assert noisy.error > 0.06
    with pytest.raises(MissingHardwareError, match="too noisy to keep"):
        profile_of(measured(1.2))
    with pytest.raises(MissingHardwareError, match="no shape could be measured"):
        profile_of(Survey(dropped={TOKENS[0]: "one pass takes 9 s"}))


def test_the_first_grid_keeps_to_the_context_and_to_memory() -> None:
    shapes = start_shapes(1024, [0], [0, 1], lambda shape: shape.first * shape.second <= 65536)
    assert {shape.family for shape in shapes} == {"tokens", "sequences", "prefill", "decode"}
    assert max(shape.first + shape.second for shape in shapes if shape.family == "prefill") <= 1024
    assert max(shape.first * shape.second for shape in shapes) <= 65536
    assert {shape.kind for shape in shapes if shape.family == "decode"} == {0, 1}

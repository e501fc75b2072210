"""A server with known step times is probed: the fit finds them; a server that misbehaves ends in a clear message."""

from __future__ import annotations

import socket
import time

import numpy as np
import pytest

from predictors.serving import EngineLimits, Pool, Requests, simulate
from predictors.step_time.measured import measured_surface
from profilers.engine import Asked, Labels, profile_endpoint
from profilers.engine.fitting import predicted_s
from profilers.engine.stepping import Step, as_windows
from specs.engine import EngineProfile
from specs.errors import InputError, MissingHardwareError
from specs.writing import to_yaml
from tests.profilers.engine.conftest import BUDGET, known_s, probed, stub
from tests.profilers.engine.stub import serving

# Timers are late by about a millisecond in a step of twelve, by more on a busy machine; a wrong term is off by half.
TOLERANCE = 0.25
KEY = "sk-do-not-show-me"
NO_PROGRESS = lambda done, total, what: None  # noqa: E731
QUICK = Asked(max_requests=20, max_seconds=3, prompt_tokens=32, output_tokens=4, longest_prompt=64, seed=0)


@pytest.fixture(scope="module")
def profile() -> EngineProfile:
    return probed(stub(), max_requests=110)


@pytest.mark.parametrize(
    ("chunks", "contexts"),
    [([], [100]), ([], [100] * 4), ([], [120] * 12), ([128], []), ([256], []), ([100], [100] * 6)],
)
def test_the_fitted_steps_are_those_of_the_server(
    profile: EngineProfile, chunks: list[int], contexts: list[int]
) -> None:
    model = profile.spec.steps
    step = Step(0.0, 1.0, False, contexts=contexts, finishing=[0] * len(chunks), chunks=[(new, 0) for new in chunks])
    found = predicted_s(model, 0.0, as_windows([step], np.array(model.tokens)))[0]
    assert found == pytest.approx(known_s(chunks, contexts), rel=TOLERANCE)


def test_the_profile_says_what_was_seen(profile: EngineProfile) -> None:
    spec = profile.spec
    assert (spec.engine, spec.engine_version, spec.server.kv_cache_tokens) == ("vllm", "0.19.1", 16000)
    assert [level.concurrency for level in spec.levels][:3] == [1, 2, 4]
    assert spec.server.other_requests == 0
    assert spec.fit.observations > 100
    assert spec.range.tokens <= BUDGET
    assert sum(level.requests for level in spec.levels) + spec.levels[0].failed < 110


def test_a_prediction_from_the_profile_agrees_with_what_the_clients_saw(profile: EngineProfile) -> None:
    level = profile.spec.levels[2]
    surface = measured_surface(profile.spec.steps, max_num_seqs=64, max_num_batched_tokens=BUDGET)
    limits = EngineLimits(max_num_seqs=64, max_num_batched_tokens=BUDGET, kv_blocks=1000)
    prompt, output = round(level.prompt_tokens), round(level.output_tokens)
    run = simulate(
        Requests(
            arrival_s=np.zeros(level.concurrency),
            prompt_tokens=np.full(level.concurrency, prompt),
            output_tokens=np.full(level.concurrency, output),
        ),
        Pool(surface=surface, limits=limits),
    )
    assert level.itl_s is not None
    assert float(run.tpot_s.mean()) == pytest.approx(level.itl_s.mean, rel=0.3)


def test_requests_and_seconds_are_bounded() -> None:
    server = stub()
    probed(server, max_requests=25)
    assert server.completions <= 25
    began_s = time.monotonic()
    found = probed(stub(), max_requests=10_000, max_seconds=3)
    assert time.monotonic() - began_s < 6
    assert any("--max-seconds is spent" in note or "failed" in note for note in found.spec.notes)


def test_a_level_cut_short_by_the_time_is_not_taken_for_the_knee() -> None:
    server = stub()
    engine = server.engine
    server.fault = lambda number: "slow" if len(engine.running) + len(engine.waiting) == 7 else None  # the eighth
    found = probed(server, max_requests=1000, max_seconds=8).spec
    assert [(level.concurrency, level.failed) for level in found.levels] == [(1, 0), (2, 0), (4, 0), (8, 1)]
    assert found.levels[-1].tokens_per_s < found.levels[-2].tokens_per_s
    assert found.knee is None
    assert "ended amid 8 requests in flight: --max-seconds is spent" in found.notes


def test_the_climb_ends_at_the_knee() -> None:
    server = stub()
    server.engine.max_running = 2
    found = probed(server, max_requests=100).spec
    assert found.knee in (2, 4)  # 4 keep the engine full while one of them begins
    assert found.server.most_waiting is not None


def test_reading_metrics_takes_little_of_a_slow_server() -> None:
    server = stub(metrics_s=0.05)
    probed(server, max_seconds=5)
    assert 3 <= server.readings <= 4  # before, after, and one at the start of the climb; the next would be 10 s later


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        ("429", "HTTP 429"),
        ("500", "HTTP 500"),
        ("503", "HTTP 503"),
        ("html", "text/html in place of an event stream: <html>"),
        ("half", "half-way"),
        ("malformed", "an event is not JSON"),
        ("not http", "not HTTP/1.1"),
        ("slow", "no end after"),
    ],
)
def test_a_server_that_misbehaves_is_refused_within_the_limit(fault: str, told: str) -> None:
    began_s = time.monotonic()
    with serving(stub(fault=lambda number: fault)) as url, pytest.raises(MissingHardwareError, match=told):
        profile_endpoint(url, QUICK, Labels(), key=None, served=None, on_progress=NO_PROGRESS)
    assert time.monotonic() - began_s < 8


def test_a_server_that_misbehaves_later_gives_a_profile_of_what_was_whole() -> None:
    found = probed(stub(fault=lambda number: "half" if number >= 30 else None), max_requests=60)
    assert any("failed at" in note and "half-way" in note for note in found.spec.notes)
    assert found.spec.fit.observations > 12


def test_a_busy_server_is_asked_again() -> None:
    server = stub(fault=lambda number: "429" if number % 5 == 1 else None)
    found = probed(server, max_requests=60)
    assert all(level.failed == 0 for level in found.spec.levels)


def test_no_server_is_said_at_once() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    began_s = time.monotonic()
    with pytest.raises(MissingHardwareError, match="cannot connect"):
        profile_endpoint(f"http://127.0.0.1:{port}", QUICK, Labels(), key=None, served=None, on_progress=NO_PROGRESS)
    assert time.monotonic() - began_s < 1


def test_a_key_is_sent_but_neither_shown_nor_kept() -> None:
    server = stub(key=KEY)
    found = probed(server, key=KEY)
    assert any(f"Bearer {KEY}" in head for head in server.seen_headers)
    assert KEY not in to_yaml(found)
    with serving(stub(fault=lambda number: "500")) as url, pytest.raises(MissingHardwareError) as error:
        profile_endpoint(url, QUICK, Labels(), key=KEY, served=None, on_progress=NO_PROGRESS)
    assert "HTTP 500" in str(error.value)
    assert KEY not in str(error.value)


def test_without_a_key_the_cure_names_the_variable() -> None:
    with serving(stub(key=KEY)) as url, pytest.raises(MissingHardwareError, match="TONNAGE_API_KEY"):
        profile_endpoint(url, QUICK, Labels(), key=None, served=None, on_progress=NO_PROGRESS)


def test_one_of_several_models_must_be_chosen() -> None:
    with serving(stub(models=("tiny", "small"))) as url:
        with pytest.raises(InputError, match="serves tiny, small"):
            profile_endpoint(url, QUICK, Labels(), key=None, served=None, on_progress=NO_PROGRESS)
        with pytest.raises(InputError, match="does not serve 'smal'"):
            profile_endpoint(url, QUICK, Labels(), key=None, served="smal", on_progress=NO_PROGRESS)


def test_a_server_without_metrics_or_token_counts() -> None:
    assert probed(stub(metrics=False)).spec.server.kind is None
    with serving(stub(usage=False)) as url, pytest.raises(MissingHardwareError, match="does not count tokens"):
        profile_endpoint(url, QUICK, Labels(), key=None, served=None, on_progress=NO_PROGRESS)


@pytest.mark.parametrize("url", ["ftp://host", "http://", "http://user:hush@host", "http://host:port"])
def test_a_url_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(InputError) as error:
        profile_endpoint(url, QUICK, Labels(), key=None, served=None, on_progress=NO_PROGRESS)
    assert "hush" not in str(error.value)


def test_what_a_look_for_drift_is_held_to_is_repeated() -> None:
    spec = probed(stub(), max_requests=80, max_seconds=60).spec
    short, long = spec.repeats
    assert (short.name, short.unit, len(short.blocks)) == ("decode, one stream", "tokens/s", 7)
    assert float(np.median(short.blocks)) == pytest.approx(1 / known_s([], [32]), rel=0.25)
    assert long.name == "prompt of about 500 tokens"
    assert spec.url is not None
    assert spec.probed["longest_prompt"] == 500
    assert probed(stub(), max_requests=30).spec.repeats == ()  # no room for it

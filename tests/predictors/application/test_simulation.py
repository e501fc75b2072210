"""The simulator against closed forms, against another simulator, and its own invariants."""

from __future__ import annotations

import math
from collections.abc import Sequence

import ciw
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from predictors.application import Network, Run, network_of, simulate
from predictors.application.closed_form import end_to_end_bounds, service_means
from predictors.application.measures import QUANTITIES
from predictors.application.simulation import BATCHES, MOST_VISITS, course_of
from solvers.queues import fork_join_two_mean, mmc_response_tail, mmc_wait_mean
from specs.application import ApplicationSpec, Call, Entry, Quantity, Service
from specs.errors import InfeasibleError, InputError
from tests.predictors.application.applications import application, curve, network, profile, service


def near(run: Run, quantity: Quantity, theory: float, errors: float = 4.0) -> None:
    value, error = run.all_entries.of(quantity)
    assert abs(value - theory) < errors * error, (value, theory, error)
    assert error < 0.03 * theory


def test_mmc_has_its_mean_its_tail_and_its_utilisation() -> None:
    run = simulate(network(service("a", 1.0, servers=2, replicas=2), rate_per_s=3.0), requests=300_000, seed=3)
    near(run, "mean", 1.0 + mmc_wait_mean(3.0, 1.0, 4))
    assert mmc_response_tail(3.0, 1.0, 4, run.all_entries.of("p99")[0]) == pytest.approx(0.01, abs=0.0007)
    assert run.busy[0] == pytest.approx(3.0, rel=0.01)
    assert run.wait_s[0] == pytest.approx(mmc_wait_mean(3.0, 1.0, 4), rel=0.03)
    assert run.response.of("p99")[0] == pytest.approx(run.all_entries.of("p99")[0], rel=0.01)  # histogram and exact


def test_a_jackson_network_has_its_product_form() -> None:
    calls = (
        Call(caller="a", callee="b", calls_per_request=0.6),
        Call(caller="a", callee="c", stage=1, calls_per_request=1.5),
        Call(caller="b", callee="c"),
    )
    one = network(service("a", 0.1, 2), service("b", 0.2, 3), service("c", 0.05, 2), calls=calls, rate_per_s=12.0)
    run = simulate(one, requests=200_000, seed=1)
    theory = service_means(one)
    for i in range(3):
        value, error = run.response.of("mean", i)
        assert abs(value - theory[i]) < 4.0 * error
    low, high = end_to_end_bounds(one.graph, theory)
    assert low[0] == pytest.approx(high[0])
    near(run, "mean", float(low[0]))


def forked(branches: int) -> tuple[Service, ...]:
    fork = service("fork", 1e-9, servers=1000, distribution="deterministic")
    return fork, *(service(f"b{i}", 1.0) for i in range(branches))


def test_two_queues_side_by_side_have_the_mean_of_flatto_and_hahn() -> None:
    calls = (Call(caller="fork", callee="b0"), Call(caller="fork", callee="b1"))
    near(
        simulate(network(*forked(2), calls=calls, rate_per_s=0.5), requests=200_000),
        "mean",
        fork_join_two_mean(0.5, 1.0),
    )


def test_stages_repeats_and_calls_not_waited_for_add_up() -> None:
    """With constant times and no queues the response is arithmetic."""
    times = {"a": 1.0, "b": 2.0, "c": 3.0, "d": 5.0}
    services = [service(n, t, servers=1000, distribution="deterministic") for n, t in times.items()]
    calls = (
        Call(caller="a", callee="b", calls_per_request=3.0),
        Call(caller="a", callee="c", calls_per_request=2.0, repeats="parallel"),
        Call(caller="a", callee="b", stage=1),
        Call(caller="a", callee="d", stage=2, asynchronous=True),
        Call(caller="b", callee="c"),
    )
    run = simulate(network(*services, calls=calls, rate_per_s=0.1), requests=200)
    # stage 0: three visits of b in turn, each 2 + 3, beside c in 3; stage 1: b again; d is not waited for
    assert np.allclose(run.answer_s, 1.0 + 15.0 + 5.0)
    assert run.visits.tolist()[3] == pytest.approx(200, abs=10)
    assert run.response.of("p50", 1)[0] == pytest.approx(2.0, rel=0.014)


def test_a_share_of_a_call_is_the_chance_of_it() -> None:
    calls = (Call(caller="a", callee="b", calls_per_request=1.3),)
    run = simulate(network(service("a", 0.001, 50), service("b", 0.001, 50), calls=calls), requests=50_000)
    assert run.visits[1] / run.visits[0] == pytest.approx(1.3, abs=0.01)


def test_a_curve_is_drawn_from_at_every_quantile() -> None:
    curves = (
        curve("p50", (1.0, 0.1), (99.0, 0.1)),
        curve("p90", (1.0, 0.2), (99.0, 0.2)),
        curve("p99", (1.0, 1.0), (99.0, 1.0)),
    )
    one = network_of(application(Service(name="a"), rate_per_s=50.0), {"a": profile("a", *curves)})
    run = simulate(one, requests=200_000)
    known: tuple[tuple[Quantity, float], ...] = (("p50", 0.1), ("p90", 0.2), ("p99", 1.0))
    for quantity, value in known:
        near(run, quantity, value)


def of_ciw(arrival: float, service_s: Sequence[float], servers: Sequence[int], second: float) -> float:
    """Mean time in Ciw's network of two nodes, the second visited with a chance."""
    described = ciw.create_network(
        arrival_distributions=[ciw.dists.Exponential(arrival), None],
        service_distributions=[
            ciw.dists.Lognormal(math.log(service_s[0]) - math.log(5.0) / 2, math.sqrt(math.log(5.0))),
            ciw.dists.Deterministic(service_s[1]),
        ],
        routing=[[0.0, second], [0.0, 0.0]],
        number_of_servers=list(servers),
    )
    ciw.seed(1)
    run = ciw.Simulation(described)
    run.simulate_until_max_time(4_000.0)
    ends: dict[int, float] = {}
    starts: dict[int, float] = {}
    for record in run.get_all_records():
        starts[record.id_number] = min(starts.get(record.id_number, math.inf), record.arrival_date)
        ends[record.id_number] = max(ends.get(record.id_number, 0.0), record.exit_date)
    return float(np.mean([ends[i] - starts[i] for i in ends if starts[i] > 400.0]))


def test_another_simulator_agrees() -> None:
    """Ciw on a network that has no closed form: lognormal service of cv 2, then a constant one for 70 %."""
    services = (
        service("a", 0.25, servers=2, cv=2.0, distribution="lognormal"),
        service("b", 0.2, servers=1, distribution="deterministic"),
    )
    calls = (Call(caller="a", callee="b", calls_per_request=0.7),)
    value, error = simulate(network(*services, calls=calls, rate_per_s=5.0), requests=200_000).all_entries.of("mean")
    assert of_ciw(5.0, (0.25, 0.2), (2, 1), 0.7) == pytest.approx(value, rel=0.06)
    assert error < 0.03 * value


def shop(replicas: int, rate_per_s: float) -> Network:
    calls = (Call(caller="a", callee="b", calls_per_request=1.4), Call(caller="a", callee="c", stage=1))
    services = (
        service("a", 0.01, 2),
        service("b", 0.02, 2, replicas),
        service("c", 0.03, 3, distribution="lognormal", cv=2.0),
    )
    return network(*services, calls=calls, rate_per_s=rate_per_s)


@settings(max_examples=12, deadline=None)
@given(replicas=st.integers(1, 4), more=st.integers(1, 4), rate=st.floats(5.0, 60.0), seed=st.integers(0, 2**31))
def test_more_replicas_are_never_slower(replicas: int, more: int, rate: float, seed: int) -> None:
    few = simulate(shop(replicas, rate), requests=20_000, seed=seed).all_entries
    many = simulate(shop(replicas + more, rate), requests=20_000, seed=seed).all_entries
    for quantity in QUANTITIES:
        value, error = few.of(quantity)
        assert many.of(quantity)[0] <= value + error  # faster arrivals at what follows may cost it a little


@settings(max_examples=12, deadline=None)
@given(rate=st.floats(5.0, 40.0), factor=st.floats(1.1, 1.6), seed=st.integers(0, 2**31))
def test_more_load_is_never_faster(rate: float, factor: float, seed: int) -> None:
    calm = simulate(shop(1, rate), requests=20_000, seed=seed).all_entries
    busy = simulate(shop(1, rate * factor), requests=20_000, seed=seed).all_entries
    for quantity in QUANTITIES:
        value, error = calm.of(quantity)
        assert busy.of(quantity)[0] >= value - error


def test_the_same_seed_gives_the_same_run_and_another_another() -> None:
    first, again, other = (simulate(shop(2, 30.0), requests=2_000, seed=s) for s in (1, 1, 2))
    assert np.array_equal(first.answer_s, again.answer_s)
    assert not np.array_equal(first.answer_s, other.answer_s)


def test_standard_errors_are_what_seeds_differ_by() -> None:
    runs = [simulate(shop(1, 40.0), requests=20_000, seed=s).all_entries for s in range(20)]
    for quantity in QUANTITIES[:: len(QUANTITIES) - 1]:
        found = np.asarray([run.of(quantity) for run in runs])
        assert 0.5 < found[:, 1].mean() / found[:, 0].std(ddof=1) < 2.0


def test_bursts_are_slower_and_regular_arrivals_faster() -> None:
    spec = application(service("a", 0.1, 1), rate_per_s=7.0)
    means = [
        simulate(network_of(spec, {}, arrival_cv=cv), requests=50_000).all_entries.of("mean")[0]
        for cv in (0.0, 1.0, 3.0)
    ]
    assert means == sorted(means)
    assert means[2] > 1.5 * means[1]


def test_room_for_visits_grows_with_the_backlog() -> None:
    run = simulate(network(service("a", 1.0, 1), rate_per_s=0.999), requests=100_000, seed=5)
    assert run.most_in_flight > 100
    burst = network_of(application(service("a", 0.0999, 1), rate_per_s=10.0), {}, arrival_cv=20.0)
    assert simulate(burst, requests=50_000).most_in_flight > 2048  # the first room is for 1,024


def test_overload_names_the_service_and_the_factor() -> None:
    with pytest.raises(InfeasibleError, match=r"service b: it is asked 14 visits per second") as caught:
        simulate(network(service("a"), service("b", 0.1), calls=(Call(caller="a", callee="b", calls_per_request=1.4),)))
    assert "Run 1.4 times as many replicas" in caught.value.cure


def test_a_graph_that_multiplies_its_visits_is_refused() -> None:
    names = [f"s{i}" for i in range(22)]
    calls = tuple(Call(caller=names[i], callee=names[i + 1], calls_per_request=2.0) for i in range(21))
    services = [service(name, 1e-9, servers=100) for name in names]
    with pytest.raises(InputError, match="more than the 1,000,000 simulated"):
        simulate(network(*services, calls=calls, rate_per_s=0.001))


def test_every_entry_has_its_own_figures() -> None:
    spec = ApplicationSpec(
        services=(service("a", 0.1, 100), service("b", 0.5, 100)),
        calls=(Call(caller="a", callee="b"),),
        entries=(
            Entry(service="a", rate_per_s=6.0),
            Entry(service="b", rate_per_s=2.0),
            Entry(service="b", rate_per_s=0.0),
        ),
    )
    run = simulate(network_of(spec, {}), requests=20_000)
    assert run.entries[0].of("mean")[0] == pytest.approx(0.6, rel=0.03)
    assert run.entries[1].of("mean")[0] == pytest.approx(0.5, rel=0.05)
    assert math.isnan(run.entries[2].of("mean")[0])
    assert (run.entry_of == 1).mean() == pytest.approx(0.25, abs=0.02)


def test_the_default_length_follows_the_visits_of_a_request() -> None:
    calls = (Call(caller="a", callee="b", calls_per_request=99.0),)
    one = network(service("a", 1e-6, 100), service("b", 1e-6, 100), calls=calls)
    assert course_of(one).size * BATCHES == 40_000
    assert course_of(network(service("a"))).size * BATCHES == 400_000


@pytest.mark.parametrize("rate_per_s", [1.0, 1_000.0, 100_000.0])
def test_a_run_is_bounded_in_visits_whatever_the_load_and_measures_what_is_asked_for(rate_per_s: float) -> None:
    calls = (Call(caller="a", callee="b", calls_per_request=9_999.0),)
    one = network(service("a", 1e-3, 200_000), service("b", 1e-5, 20_000), calls=calls, rate_per_s=rate_per_s)
    course = course_of(one)
    assert course.cut
    assert course.behind is not None
    assert (course.size * (BATCHES + course.warm_up) + course.behind) * 10_000 <= MOST_VISITS
    assert course.size >= 1
    asked = course_of(one, 5_000)
    assert (asked.size * BATCHES, asked.behind, asked.cut) == (5_000, None, False)


def test_a_bounded_run_answers_every_request_it_measures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("predictors.application.simulation.MOST_VISITS", 40_000)
    calls = (Call(caller="a", callee="b", calls_per_request=99.0),)
    run = simulate(network(service("a", 1e-3, 20), service("b", 1e-2, 20), calls=calls, rate_per_s=10.0))
    assert run.cut
    assert np.isfinite(run.answer_s).all()
    assert run.requests >= BATCHES
    assert run.visits.sum() <= 40_000
    near(run, "mean", 0.991, errors=4.0)


@pytest.mark.slow
def test_ten_thousand_services_are_simulated() -> None:
    rng = np.random.default_rng(0)
    services = [service(f"s{i}", float(m), 2) for i, m in enumerate(rng.uniform(0.001, 0.01, 10_000))]
    calls = tuple(
        Call(caller=f"s{p}", callee=f"s{i}", calls_per_request=1.0 / min(2, i), stage=int(rng.integers(0, 3)))
        for i in range(1, 10_000)
        for p in rng.choice(i, size=min(2, i), replace=False)
    )
    one = network(*services, calls=calls, rate_per_s=20.0)
    run = simulate(one)
    value, error = run.all_entries.of("p99")
    assert 0.0 < error < 0.05 * value

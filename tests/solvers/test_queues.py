"""Closed-form queues against textbook figures, direct sums, numerical integration and each other."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from solvers.queues import (
    erlang_b,
    erlang_c,
    fork_join_mean_bounds,
    fork_join_two_mean,
    gigc_wait_mean,
    md1_wait_mean,
    md1_wait_tail,
    mg1_wait_mean,
    mmc_response_tail,
    mmc_wait_mean,
    mmc_wait_quantile,
    mmc_wait_tail,
    servers_for_response,
)


def test_erlang_c_of_three_servers_at_load_two() -> None:
    assert erlang_c(3, 2.0) == pytest.approx(4.0 / 9.0, rel=1e-12)


@given(servers=st.integers(1, 40), offered=st.floats(0.01, 60.0))
def test_erlang_b_equals_its_defining_sum(servers: int, offered: float) -> None:
    terms = [offered**k / math.factorial(k) for k in range(servers + 1)]
    assert erlang_b(servers, offered) == pytest.approx(terms[-1] / sum(terms), rel=1e-9)


@given(servers=st.integers(1, 20), load=st.floats(0.05, 0.97))
def test_mmc_matches_the_stationary_distribution_of_its_birth_death_chain(servers: int, load: float) -> None:
    offered = servers * load
    weights = [1.0]
    while len(weights) < servers + 1 or weights[-1] > 1e-14 * max(weights):
        weights.append(weights[-1] * offered / min(len(weights), servers))
    p = np.array(weights) / sum(weights)
    waiting = float(np.maximum(np.arange(len(p)) - servers, 0) @ p)
    assert mmc_wait_mean(offered, 1.0, servers) == pytest.approx(waiting / offered, rel=1e-6)
    assert erlang_c(servers, offered) == pytest.approx(p[servers:].sum(), rel=1e-6)


@given(servers=st.integers(1, 30), load=st.floats(0.3, 0.98), q=st.floats(0.5, 0.999))
def test_wait_quantile_inverts_the_tail(servers: int, load: float, q: float) -> None:
    wait_s = mmc_wait_quantile(servers * load, 1.0, servers, q)
    tail = mmc_wait_tail(servers * load, 1.0, servers, wait_s)
    assert tail == pytest.approx(1.0 - q, rel=1e-9) if wait_s > 0.0 else tail <= 1.0 - q


@given(servers=st.integers(1, 12), load=st.floats(0.1, 0.95), t=st.floats(0.05, 8.0))
def test_response_tail_is_the_convolution_of_wait_and_service(servers: int, load: float, t: float) -> None:
    x = (np.arange(20_000) + 0.5) * t / 20_000
    wait_over = np.array([mmc_wait_tail(servers * load, 1.0, servers, float(t - v)) for v in x[::20]])
    direct = math.exp(-t) + float((np.exp(-x[::20]) * wait_over).sum()) * t / 1000
    assert mmc_response_tail(servers * load, 1.0, servers, t) == pytest.approx(direct, abs=2e-3)


def test_response_tail_is_continuous_where_its_formula_has_a_removable_gap() -> None:
    at, beside = (mmc_response_tail(arrival, 1.0, 3, 2.0) for arrival in (2.0, 2.0 + 1e-6))
    assert at == pytest.approx(beside, rel=1e-5)


@pytest.mark.parametrize(
    ("arrival", "service", "bound", "expected"), [(100.0, 10.0, 0.5, 12), (1000.0, 50.0, 0.10, 23)]
)
def test_servers_for_a_p99_response(arrival: float, service: float, bound: float, expected: int) -> None:
    assert servers_for_response(arrival, service, bound, 0.99) == expected
    assert mmc_response_tail(arrival, service, expected - 1, bound) > 0.01


def test_a_bound_below_service_itself_is_refused() -> None:
    with pytest.raises(ValueError, match="no number of servers"):
        servers_for_response(1.0, 1.0, 1.0, 0.99)


@given(load=st.floats(0.05, 0.95))
def test_single_server_formulas_agree(load: float) -> None:
    assert mg1_wait_mean(load, 1.0, 1.0) == pytest.approx(mmc_wait_mean(load, 1.0, 1), rel=1e-9)
    assert md1_wait_mean(load, 1.0) == pytest.approx(mmc_wait_mean(load, 1.0, 1) / 2.0, rel=1e-9)
    assert gigc_wait_mean(load, 1.0, 1, 1.0, 0.5) == pytest.approx(mg1_wait_mean(load, 1.0, 0.5), rel=1e-9)


@given(load=st.floats(0.1, 0.8))
def test_md1_tail_integrates_to_the_mean(load: float) -> None:
    t = (np.arange(4000) + 0.5) * 20.0 / 4000
    mean = sum(md1_wait_tail(load, 1.0, float(v)) for v in t) * 20.0 / 4000
    assert mean == pytest.approx(md1_wait_mean(load, 1.0), rel=2e-2)


def test_overload_waits_for_ever() -> None:
    assert mmc_wait_mean(3.0, 1.0, 3) == math.inf
    assert md1_wait_mean(1.0, 1.0) == math.inf
    assert mmc_wait_tail(3.0, 1.0, 2, 5.0) == 1.0
    assert mmc_wait_quantile(3.0, 1.0, 2, 0.9) == math.inf


@pytest.mark.parametrize("load", [0.1, 0.5, 0.9])
def test_fork_join_lies_between_its_bounds(load: float) -> None:
    low, high = fork_join_mean_bounds(2, load, 1.0)
    assert low <= fork_join_two_mean(load, 1.0) <= high
    assert fork_join_mean_bounds(1, load, 1.0) == pytest.approx((1.0 / (1.0 - load),) * 2)


def test_fork_join_without_load_is_the_longest_service() -> None:
    assert fork_join_two_mean(1e-9, 1.0) == pytest.approx(1.5)
    assert fork_join_mean_bounds(4, 1e-9, 1.0) == pytest.approx((25.0 / 12.0,) * 2)
    assert fork_join_two_mean(1.0, 1.0) == math.inf
    assert fork_join_mean_bounds(3, 1.0, 1.0) == (math.inf, math.inf)

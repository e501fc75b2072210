"""Queues in closed form: Erlang's formulas, M/M/c, M/D/1, M/G/1, M/G/c, fork-join, and servers for a bound."""

from __future__ import annotations

import math


def erlang_b(servers: int, offered: float) -> float:
    """Probability that all servers are busy in M/M/c/c at the offered load λ/μ (std; Erlang 1917).

    By the recursion B(c) = a B(c−1) / (c + a B(c−1)), which neither overflows nor cancels. ValueError for negative
    arguments.
    """
    if servers < 0 or not offered >= 0.0:
        raise ValueError(f"erlang_b needs servers >= 0 and offered >= 0, got {servers} and {offered}")
    blocked = 1.0
    for c in range(1, servers + 1):
        blocked = offered * blocked / (c + offered * blocked)
    return blocked


def erlang_c(servers: int, offered: float) -> float:
    """Probability that an arrival waits in M/M/c (std): B / (1 − ρ(1 − B)); 1 when ρ ≥ 1. ValueError as erlang_b."""
    blocked = erlang_b(servers, offered)
    if offered >= servers:
        return 1.0
    return blocked / (1.0 - offered / servers * (1.0 - blocked))


def mmc_wait_mean(arrival_per_s: float, service_per_s: float, servers: int) -> float:
    """Mean wait in queue of M/M/c, seconds: C / (cμ − λ) (std); infinite when the servers do not keep up."""
    spare = servers * service_per_s - arrival_per_s
    return erlang_c(servers, arrival_per_s / service_per_s) / spare if spare > 0.0 else math.inf


def mmc_wait_tail(arrival_per_s: float, service_per_s: float, servers: int, wait_s: float) -> float:
    """P(wait > t) in M/M/c: C e^(−(cμ − λ)t) (std); 1 when the servers do not keep up."""
    spare = servers * service_per_s - arrival_per_s
    if spare <= 0.0:
        return 1.0
    return erlang_c(servers, arrival_per_s / service_per_s) * math.exp(-spare * wait_s)


def mmc_wait_quantile(arrival_per_s: float, service_per_s: float, servers: int, q: float) -> float:
    """The q-quantile of the wait in M/M/c, seconds: ln(C / (1 − q)) / (cμ − λ), 0 where fewer than 1 − q wait (std)."""
    spare = servers * service_per_s - arrival_per_s
    if spare <= 0.0:
        return math.inf
    waits = erlang_c(servers, arrival_per_s / service_per_s)
    return math.log(waits / (1.0 - q)) / spare if waits > 1.0 - q else 0.0


def mmc_response_tail(arrival_per_s: float, service_per_s: float, servers: int, response_s: float) -> float:
    """P(wait + service > t) in M/M/c, FCFS (std); 1 when the servers do not keep up.

    With s = cμ − λ: (1 − C) e^(−μt) + C (s e^(−μt) − μ e^(−st)) / (s − μ), and the limit (1 + Cμt) e^(−μt) at s = μ.
    """
    mu, spare = service_per_s, servers * service_per_s - arrival_per_s
    if spare <= 0.0:
        return 1.0
    waits, served = erlang_c(servers, arrival_per_s / mu), math.exp(-mu * response_s)
    if abs(spare - mu) < 1e-9 * mu:
        return (1.0 + waits * mu * response_s) * served
    both = (spare * served - mu * math.exp(-spare * response_s)) / (spare - mu)
    return (1.0 - waits) * served + waits * both


def servers_for_response(
    arrival_per_s: float, service_per_s: float, response_s: float, q: float, *, most: int = 1_000_000
) -> int:
    """Least number of servers whose q-quantile of response time in M/M/c is within ``response_s`` (std).

    ValueError when no number up to ``most`` is enough: service alone is too slow.
    """
    if math.exp(-service_per_s * response_s) > 1.0 - q:
        raise ValueError(f"service alone exceeds {response_s} s at quantile {q}: no number of servers is enough")
    servers = math.floor(arrival_per_s / service_per_s) + 1
    while mmc_response_tail(arrival_per_s, service_per_s, servers, response_s) > 1.0 - q:
        servers += 1
        if servers > most:
            raise ValueError(f"more than {most} servers needed")
    return servers


def mg1_wait_mean(arrival_per_s: float, service_mean_s: float, service_cv: float) -> float:
    """Mean wait in queue of M/G/1, seconds (Pollaczek–Khinchine, std): λ E[S²] / (2(1 − ρ)); infinite at ρ ≥ 1."""
    load = arrival_per_s * service_mean_s
    if load >= 1.0:
        return math.inf
    return arrival_per_s * service_mean_s**2 * (1.0 + service_cv**2) / (2.0 * (1.0 - load))


def md1_wait_mean(arrival_per_s: float, service_s: float) -> float:
    """Mean wait in queue of M/D/1, seconds: λτ² / (2(1 − λτ)) (std); infinite when λτ ≥ 1."""
    return mg1_wait_mean(arrival_per_s, service_s, 0.0)


def md1_wait_tail(arrival_per_s: float, service_s: float, wait_s: float) -> float:
    """P(wait > t) in M/D/1 (Crommelin 1932, std): 1 − (1 − ρ) Σ_{j ≤ t/τ} (λ(jτ − t))^j / j! · e^(−λ(jτ − t)).

    The terms alternate: use it where λt stays below about 30.
    """
    load = arrival_per_s * service_s
    if load >= 1.0:
        return 1.0
    within = 0.0
    for j in range(math.floor(wait_s / service_s) + 1):
        x = arrival_per_s * (j * service_s - wait_s)
        within += x**j / math.factorial(j) * math.exp(-x)
    return min(1.0, max(0.0, 1.0 - (1.0 - load) * within))


def gigc_wait_mean(
    arrival_per_s: float, service_mean_s: float, servers: int, arrival_cv: float, service_cv: float
) -> float:
    """Approximate mean wait in queue of G/G/c, seconds (Allen–Cunneen, std): M/M/c's times (c_a² + c_s²)/2."""
    return mmc_wait_mean(arrival_per_s, 1.0 / service_mean_s, servers) * (arrival_cv**2 + service_cv**2) / 2.0


def fork_join_two_mean(arrival_per_s: float, service_per_s: float) -> float:
    """Mean response of a job that two M/M/1 queues serve half each, seconds (Flatto and Hahn 1984, std).

    (12 − ρ)/8 times the response of one of them; infinite at ρ ≥ 1. Exact: both halves arrive together.
    """
    spare = service_per_s - arrival_per_s
    return (12.0 - arrival_per_s / service_per_s) / 8.0 / spare if spare > 0.0 else math.inf


def fork_join_mean_bounds(branches: int, arrival_per_s: float, service_per_s: float) -> tuple[float, float]:
    """Least and most mean response of a job that ``branches`` M/M/1 queues share, seconds (Nelson, Tantawi 1988, std).

    At most that of independent queues, H_n times one response, because the branches are associated; at least that of
    one queue, and the longest of n services. Both infinite at ρ ≥ 1.
    """
    spare = service_per_s - arrival_per_s
    if spare <= 0.0:
        return math.inf, math.inf
    harmonic = sum(1.0 / k for k in range(1, branches + 1))
    return max(1.0 / spare, harmonic / service_per_s), harmonic / spare

"""Plans of a small application: confirmed by simulation, nearly the best by brute force, and honest when refused."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import numpy as np
import pytest

from planners.slo import plan
from specs.base import plain
from specs.errors import InputError
from specs.slo_plan import SloPlan
from specs.writing import to_yaml
from tests.planners.slo.documents import write


def curve(knots: list[tuple[float, float]], rate: float) -> float:
    x, y = zip(*knots, strict=True)
    return float(np.interp(rate, x, y)) if rate <= x[-1] * (1 + 1e-9) else np.inf


def cheapest_by_brute_force() -> float:
    """Cores of the cheapest replicas whose p99s add up to 200 ms, without mail."""
    gateway = [(5.0, 0.01), (40.0, 0.02), (60.0, 0.06)]
    cart, search = [(5.0, 0.04), (40.0, 0.07), (60.0, 0.16)], [(5.0, 0.03), (40.0, 0.08), (60.0, 0.18)]
    return min(
        0.5 * g + c + 2 * s
        for g, c, s in itertools.product(range(1, 21), repeat=3)
        if curve(gateway, 100 / g) + max(curve(cart, 100 / c), curve(search, 100 / s)) <= 0.2
    )


def test_the_plan_is_the_cheapest_by_brute_force_and_confirmed(tmp_path: Path) -> None:
    found = plan(write(tmp_path))
    assert found.decision is not None
    assert found.expected is not None
    assert found.why is not None
    mail = next(one for one in found.decision.services if one.service == "mail")
    assert found.decision.cost - mail.cost == pytest.approx(cheapest_by_brute_force())
    assert found.why.whole_lower_bound <= found.decision.cost
    assert found.why.gap < 1e-6
    (entry,) = found.expected.entries
    assert entry.holds
    assert entry.simulated_s is not None
    assert entry.simulated_s.value <= 0.2
    assert entry.composed_s <= 0.2
    assert entry.standard_error_s is not None


def test_services_that_nobody_waits_for_are_sized_by_their_load(tmp_path: Path) -> None:
    found = plan(write(tmp_path))
    assert found.decision is not None
    mail = next(one for one in found.decision.services if one.service == "mail")
    assert (mail.replicas, mail.budget_s, mail.marginal) == (2, None, None)  # 100/s × 20 ms on 2 at a time


def test_the_same_question_has_the_same_plan(tmp_path: Path) -> None:
    first, second = (plan(write(tmp_path), compose="convolve", seed=3) for _ in range(2))

    def steady(one: SloPlan) -> object:
        data = plain(one)
        del data["metadata"]["created"], data["status"]["solver"]
        for each in data["why"]["compared"]:
            del each["cpu_s"]
        return data

    assert steady(first) == steady(second)


def test_a_looser_slo_and_less_load_cost_no_more(tmp_path: Path) -> None:
    path = write(tmp_path)
    costs = [plan(path, slo=(f"gateway={ms}ms",)).decision for ms in (150, 200, 300)]
    values = [one.cost for one in costs if one is not None]
    assert len(values) == 3
    assert values == sorted(values, reverse=True)
    less = plan(path, scale=0.5).decision
    assert less is not None
    assert less.cost < values[1]


def test_convolution_costs_less_than_adding_up_and_the_union_bound_most(tmp_path: Path) -> None:
    path = write(tmp_path, ("p99: 0.2", "p95: 0.2"))
    costs = []
    for compose in ("convolve", "sum", "union-bound"):
        found = plan(path, compose=compose)
        assert found.decision is not None
        costs.append(found.decision.cost)
    assert costs == sorted(costs)


@pytest.mark.parametrize("method", ["gradient", "units", "equal", "proportional", "all"])
def test_every_method_is_confirmed_and_beside_the_exact_bound(tmp_path: Path, method: str) -> None:
    found = plan(write(tmp_path), method=method)
    assert found.why is not None
    assert found.expected is not None
    assert all(one.holds for one in found.expected.entries)
    assert all(one.over is not None and one.over >= 1 - 1e-6 for one in found.why.compared)
    assert found.decision is not None
    assert found.decision.cost >= found.why.lower_bound * (1 - 1e-9)


def test_a_bound_below_the_base_latencies_names_them_and_by_how_much(tmp_path: Path) -> None:
    found = plan(write(tmp_path), slo=("gateway=45ms",))
    assert found.status.outcome == "infeasible"
    assert "cart 40 ms, gateway 10 ms" in found.status.conflicts[0]
    assert "5 ms too much" in found.status.conflicts[1]
    assert found.decision is None


def test_a_service_without_a_curve_abstains_with_the_command(tmp_path: Path) -> None:
    found = plan(
        write(
            tmp_path,
            ("metadata: {name: cart}\nspec:\n  service: cart", "metadata: {name: cart}\nspec:\n  service: other"),
        )
    )
    assert found.status.outcome == "abstained"
    assert "cart" in found.status.reason
    assert found.status.missing is not None
    assert "tonnage profile services" in found.status.missing


def test_a_load_below_the_measured_range_is_said(tmp_path: Path) -> None:
    found = plan(write(tmp_path, ("rate_per_s: 100", "rate_per_s: 2")))
    assert found.decision is not None
    assert [one.replicas for one in found.decision.services] == [1, 1, 1, 1]
    assert found.why is not None
    assert any("leaves the measured range of gateway, cart, search" in note for note in found.why.notes)


def test_self_times_take_the_wait_for_others_out(tmp_path: Path) -> None:
    known = "  service: gateway\n  latency_s: {p99: 0.1}\n  self_time_s: {p99: 0.05}"
    whole, own = plan(write(tmp_path)), plan(write(tmp_path, ("  service: gateway", known)))
    assert whole.why is not None
    assert own.why is not None
    assert own.why.lower_bound < whole.why.lower_bound


def test_interference_makes_slopes_steeper(tmp_path: Path) -> None:
    measured = "high_per_s: 60, loads: 3, interference: {cpu: 0.2, cpu_slope: 2}}"
    beside = ("name: search, replicas: 3", "name: search, replicas: 3, neighbours: {cpu: 0.6}")
    text = "[[5, 0.03], [40, 0.08], [60, 0.18]], low_per_s: 5, high_per_s: 60, loads: 3}"
    half = text.replace("[5, 0.03], [40, 0.08], [60, 0.18]", "[5, 0.01], [40, 0.02666666666666667], [60, 0.06]")
    changes = [(each, each.replace("high_per_s: 60, loads: 3}", measured)) for each in (text, half)]
    calm, busy = plan(write(tmp_path)), plan(write(tmp_path, beside, *changes))
    assert calm.decision is not None
    assert busy.decision is not None
    assert busy.decision.cost > calm.decision.cost


def test_an_earlier_plan_is_where_gradient_starts_and_what_changes_are_against(tmp_path: Path) -> None:
    path = write(tmp_path)
    first = plan(path, method="gradient")
    (tmp_path / "plan.yaml").write_text(to_yaml(first))
    again = plan(path, method="gradient", current=tmp_path / "plan.yaml")
    assert again.why is not None
    assert again.why.changes == ()
    more = plan(path, method="gradient", current=tmp_path / "plan.yaml", scale=1.6)
    assert more.why is not None
    assert all(one.planned > one.now for one in more.why.changes)
    assert len(more.why.changes) >= 3


@pytest.mark.extras
def test_the_graph_network_is_adapted_and_its_regret_is_shown(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    from planners.slo.learned import train

    found = plan(write(tmp_path), method="gcn", learned=train(0, 5))
    assert found.why is not None
    shown = {one.method: one.over for one in found.why.compared}
    assert shown["gcn"] is not None
    assert 1.0 <= shown["gcn"] < 1.5


def test_a_shared_service_that_serves_the_strict_entry_first_costs_less(tmp_path: Path) -> None:
    shared = ("  entries:\n", "  entries:\n    - {service: search, rate_per_s: 60, slo: {latency_s: {p99: 0.1}}}\n")
    first = ("slo: {latency_s: {p99: 0.1}}", "priority: 0, slo: {latency_s: {p99: 0.1}}")
    alike, ordered = plan(write(tmp_path, shared)), plan(write(tmp_path, shared, first))
    assert alike.decision is not None
    assert ordered.decision is not None
    assert ordered.decision.cost < alike.decision.cost
    assert ordered.expected is not None
    assert all(one.holds for one in ordered.expected.entries)
    assert ordered.why is not None
    assert any("priorities" in note for note in ordered.why.notes)


def traces(count: int) -> str:
    """Jaeger JSON: the gateway works 10 ms before and after it waits for the cart, which takes 20 to 40 ms."""
    rng = np.random.default_rng(0)
    data = []
    for k in range(count):
        own, cart = rng.uniform(8_000, 12_000), rng.uniform(20_000, 40_000)
        spans = [("a", (), "g", 0, int(own + cart)), ("b", ("a",), "c", int(own / 2), int(cart))]
        data.append(
            {
                "traceID": f"{k:x}",
                "processes": {"g": {"serviceName": "gateway"}, "c": {"serviceName": "cart"}},
                "spans": [
                    {
                        "traceID": f"{k:x}", "spanID": name, "operationName": "get", "processID": process,
                        "startTime": 1_000_000 * k + start, "duration": duration, "tags": [],
                        "references": [{"refType": "CHILD_OF", "traceID": f"{k:x}", "spanID": p} for p in parents],
                    }
                    for name, parents, process, start, duration in spans
                ],
            }
        )  # fmt: skip
    return json.dumps({"data": data})


def test_traces_tell_the_end_to_end_tail_from_the_partial_ones(tmp_path: Path) -> None:
    (tmp_path / "traces.json").write_text(traces(400))
    found = plan(write(tmp_path), traces=(tmp_path / "traces.json",))
    assert found.why is not None
    (ratio,) = found.why.correction
    assert 0.9 < ratio < 1.0  # tails of independent services do not fall on the same request
    assert any("400 requests" in note for note in found.why.notes)
    plain_plan = plan(write(tmp_path))
    assert plain_plan.why is not None
    assert found.why.lower_bound <= plain_plan.why.lower_bound


def test_too_few_traces_are_refused(tmp_path: Path) -> None:
    (tmp_path / "traces.json").write_text(traces(4))
    with pytest.raises(InputError, match="too few"):
        plan(write(tmp_path), traces=(tmp_path / "traces.json",))

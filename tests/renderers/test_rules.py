"""Rules load in Prometheus, burn where requests are late, and say which assumption of the plan no longer holds."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

from renderers.rules import autoscaling as autoscaling_rules
from renderers.rules import serving as serving_rules
from renderers.rules import slo as slo_rules
from renderers.rules.burning import Bound, burning, late, rules_file
from renderers.rules.services import duration, latency
from specs.errors import InputError
from specs.plan import PlanDocument
from specs.promises import Bound as Promised
from specs.promises import Promise
from tests.renderers import serving_plan
from tests.renderers.cluster_plans import KEDA, SHA, autoscaling, layered, slo

PLANS: tuple[tuple[ModuleType, PlanDocument], ...] = (
    (autoscaling_rules, autoscaling()),
    (autoscaling_rules, layered()),
    (serving_rules, serving_plan.plan()),
    (slo_rules, slo()),
)


def text_of(rules: ModuleType, plan: PlanDocument) -> str:
    return rules_file(plan, rules.groups(plan), SHA)


def alerts(text: str) -> list[dict[str, Any]]:
    return [rule for group in yaml.safe_load(text)["groups"] for rule in group["rules"] if "alert" in rule]


def promtool(tmp_path: Path, *words: str) -> None:
    program = shutil.which("promtool")
    if program is None:
        pytest.skip("no program `promtool`; Debian's package `prometheus` has it")
    done = subprocess.run([program, *words], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "duplicate" not in done.stdout + done.stderr


@pytest.mark.parametrize(("rules", "plan"), PLANS, ids=lambda one: getattr(one, "kind", ""))
def test_prometheus_takes_them(tmp_path: Path, rules: ModuleType, plan: PlanDocument) -> None:
    (tmp_path / "rules.yaml").write_text(text_of(rules, plan), encoding="utf-8")
    promtool(tmp_path, "check", "rules", "rules.yaml")


@pytest.mark.parametrize(("rules", "plan"), PLANS, ids=lambda one: getattr(one, "kind", ""))
def test_every_alert_carries_the_plan(rules: ModuleType, plan: PlanDocument) -> None:
    found = alerts(text_of(rules, plan))
    assert {one["alert"] for one in found} >= {"TonnageBudgetBurns", "TonnagePlanOutdated"}
    assert all(one["annotations"]["plan"] == SHA for one in found)


def test_late_requests_burn_the_budget_and_too_much_load_outdates_the_plan(tmp_path: Path) -> None:
    """A hundred requests a second, of which one in five takes longer than the bound, where 60 were planned."""
    (tmp_path / "rules.yaml").write_text(text_of(slo_rules, slo()), encoding="utf-8")
    series = 'http_server_request_duration_seconds_{}{{service="checkout",http_route="/order"{}}}'
    inputs = [
        {"series": series.format("count", ""), "values": "0+6000x400"},
        {"series": series.format("bucket", ',le="0.1"'), "values": "0+4800x400"},
        {"series": series.format("bucket", ',le="0.25"'), "values": "0+4800x400"},
    ]
    page = {"severity": "page", "slo": "checkout-order-p99"}
    burnt = "checkout-order-p99: more than 1.000% of the requests take over 0.15 s"
    expected = [{"exp_labels": page, "exp_annotations": {"summary": burnt, "plan": SHA}}]
    load = {"severity": "ticket", "service": "checkout", "assumption": "load"}
    more = {"summary": "checkout: more than the 60/s that were planned", "plan": SHA}
    tests = {
        "rule_files": ["rules.yaml"], "evaluation_interval": "1m",
        "tests": [{
            "interval": "1m", "input_series": inputs,
            "alert_rule_test": [
                {"eval_time": "90m", "alertname": "TonnageBudgetBurns", "exp_alerts": [*expected, _ticket(burnt)]},
                {"eval_time": "90m", "alertname": "TonnagePlanOutdated",
                 "exp_alerts": [{"exp_labels": load, "exp_annotations": more}]},
            ],
        }],
    }  # fmt: skip
    (tmp_path / "tests.yaml").write_text(yaml.safe_dump(tests), encoding="utf-8")
    promtool(tmp_path, "test", "rules", "tests.yaml")


def _ticket(summary: str) -> dict[str, Any]:
    labels = {"severity": "ticket", "slo": "checkout-order-p99"}
    return {"exp_labels": labels, "exp_annotations": {"summary": summary, "plan": SHA}}


def test_the_share_within_a_bound_is_a_line_between_edges() -> None:
    text = late(latency("x", "cart", 0.2, 0.01), "5m")
    assert text.startswith("1 - (0.333333 * sum(rate(")
    assert 'le="0.1"' in text
    assert '0.666667 * sum(rate(http_server_request_duration_seconds_bucket{service="cart",le="0.25"}[5m]))' in text


def test_an_edge_of_whole_seconds_is_told_either_way() -> None:
    assert 'le=~"1(\\\\.0)?"' in late(latency("x", "cart", 1.0, 0.01), "5m")


def test_a_burn_that_no_share_can_reach_is_left_out() -> None:
    """A tenth may be late: 14.4 times that is more than all, 6 times is not; half may be: not even 3 times."""
    bound = Bound(name="x", histogram="h", matchers="", bound_s=1.0, late_share=0.1, edges=(1.0,))
    pages = [rule for rule in burning(bound) if rule.get("labels", {}).get("severity") == "page"]
    assert "14.4" not in pages[0]["expr"]
    assert "> 6 * 0.1" in pages[0]["expr"]
    half = Bound(name="x", histogram="h", matchers="", bound_s=1.0, late_share=0.5, edges=(1.0,))
    assert [rule["labels"]["severity"] for rule in burning(half) if "alert" in rule] == ["ticket"]


def test_the_promise_of_an_autoscaling_plan_is_read() -> None:
    groups = {group["name"]: group["rules"] for group in autoscaling_rules.groups(autoscaling())}
    assert groups["tonnage-shop-autoscaling-gateway-p99"]
    signals = groups["tonnage-shop-autoscaling-signals"]
    assert [one["record"] for one in signals] == ["tonnage_requests_per_s"]
    asked = autoscaling()
    assert asked.why is not None
    bounds = (
        Promised(quantity="ttft_s", level="p99", bound_s=1.0), Promised(quantity="tpot_s", level="p95", bound_s=0.05),
        Promised(quantity="e2e_s", bound_s=9.0),
    )  # fmt: skip
    asked.why.slo["gateway"] = Promise(bounds=bounds, part_s=1.0, late_share=0.02)
    names = [group["name"] for group in autoscaling_rules.groups(asked)]
    ends = ("ttft-p99", "tpot-p95", "e2e-request")
    assert {f"tonnage-shop-autoscaling-gateway-{end}" for end in ends} <= set(names)
    burning = str(next(group for group in autoscaling_rules.groups(asked) if group["name"].endswith("e2e-request")))
    assert "2.000% of the requests take over 9 s" in burning


def test_a_promise_in_words_alone_is_refused() -> None:
    plan = autoscaling()
    assert plan.why is not None
    plan.why.slo["gateway"] = Promise.model_validate("gateway p99 ≤ 1.2 s: its part 0.16 s, 0.417% late")
    with pytest.raises(InputError, match="an earlier version wrote it"):
        autoscaling_rules.groups(plan)


def test_layers_share_one_signal_and_one_alert_of_the_load() -> None:
    groups = {group["name"]: group["rules"] for group in autoscaling_rules.groups(layered())}
    (signal,) = groups["tonnage-shop-autoscaling-signals"]
    assert signal["labels"] == {"service": "chat"}
    assert 'avg_over_time(vllm:num_requests_running{service="chat"}[30s])' in signal["expr"]
    alerts = [rule for rules in groups.values() for rule in rules if rule.get("alert") == "TonnagePlanOutdated"]
    assert [rule["labels"]["service"] for rule in alerts if rule["labels"]["assumption"] == "load"] == ["chat"]
    started = [rule["expr"] for rule in alerts if rule["labels"]["assumption"] == "start-up"]
    assert all(expr.endswith("> 26") for expr in started)


def test_a_window_of_metrics_is_that_of_the_plan() -> None:
    assert [duration(s) for s in (30.0, 37.5)] == ["30s", "37500ms"]


def test_idle_replicas_are_not_below_the_fewest() -> None:
    idle = KEDA.model_copy(update={"min_replicas": 2, "idle_replicas": 0})
    text = str(autoscaling_rules.groups(autoscaling(gateway=idle)))
    assert 'kube_deployment_spec_replicas{deployment="gateway"} < 2 and' in text

"""Manifests are valid, say what the plan decided, and are refused where Kubernetes would do otherwise."""

from __future__ import annotations

import copy
from typing import Any

import jsonschema
import kubernetes_validate
import pytest

from benchmarks.manifest_fields import missing
from benchmarks.manifest_schemas import documents, validate
from renderers import autoscaling_manifests, keda, llm_d, serving_manifests, slo_manifests
from renderers.manifests import PLAN, refuse_two_scalers
from specs.base import plain
from specs.deployment import Parallel
from specs.errors import InputError
from specs.policies import DOWN, UP, PolicySpec, ScalingRule, ScheduleWindow, Trigger
from tests.renderers import serving_plan
from tests.renderers.cluster_plans import HPA, KEDA, SHA, STATIC, autoscaling, layered, slo

UNEVEN = DOWN.model_copy(update={"policies": (ScalingRule(type="Pods", value=1.5, period_s=15),)})
LONG = DOWN.model_copy(update={"stabilization_window_s": 7200})
WIDE = serving_plan.DEPLOYMENT.model_copy(update={"parallel": Parallel(tp=8, pp=2)})


def every_manifest() -> list[dict[str, Any]]:
    texts = [
        autoscaling_manifests.patches(autoscaling(), SHA),
        keda.scaled_objects(autoscaling(), SHA),
        slo_manifests.patches(slo(), SHA),
        serving_manifests.patches(serving_plan.plan(), SHA),
        serving_manifests.patches(serving_plan.disaggregated(), SHA),
        llm_d.manifests(serving_plan.plan(WIDE), SHA),
        llm_d.manifests(serving_plan.disaggregated(), SHA),
    ]
    return [one for text in texts for one in documents(text)]


def test_every_manifest_is_valid_and_carries_the_plans_sha() -> None:
    found = every_manifest()
    assert {one["kind"] for one in found} == {
        "Deployment", "HorizontalPodAutoscaler", "LeaderWorkerSet", "PodDisruptionBudget", "PriorityClass",
        "ScaledObject", "Service",
    }  # fmt: skip
    for one in found:
        validate(one)
        assert one["metadata"]["annotations"][PLAN] == SHA


@pytest.mark.parametrize("kind", ["Deployment", "HorizontalPodAutoscaler", "LeaderWorkerSet", "ScaledObject"])
def test_an_unknown_field_is_not_valid(kind: str) -> None:
    one = copy.deepcopy(next(each for each in every_manifest() if each["kind"] == kind))
    one["spec"]["replicaz"] = 3
    with pytest.raises((jsonschema.ValidationError, kubernetes_validate.ValidationError)):
        validate(one)


def test_every_decided_field_is_found_and_a_lost_one_is_missed() -> None:
    found = documents(
        autoscaling_manifests.patches(autoscaling(), SHA) + "---\n" + keda.scaled_objects(autoscaling(), SHA)
    )
    fields, lost = missing(plain(autoscaling()), found)
    assert (fields > 50, lost) == (True, [])
    scaler = next(one for one in found if one["kind"] == "HorizontalPodAutoscaler")
    scaler["spec"]["maxReplicas"] = 8
    assert missing(plain(autoscaling()), found)[1] == ["services.policy.max_replicas = 9"]


def test_an_autoscaler_is_the_policy_that_was_tried() -> None:
    scaler, budget = documents(autoscaling_manifests.patches(autoscaling(gateway=HPA), SHA))
    assert scaler["spec"]["metrics"][0]["resource"]["target"]["averageUtilization"] == 70
    assert scaler["spec"]["behavior"]["scaleDown"] == {
        "stabilizationWindowSeconds": 300, "selectPolicy": "Max",
        "policies": [{"type": "Percent", "value": 100, "periodSeconds": 15}],
    }  # fmt: skip
    assert budget["spec"]["maxUnavailable"] == 1


def test_a_signal_is_asked_for_its_sum() -> None:
    policy = HPA.model_copy(update={"triggers": (Trigger(metric="kv-cache", target=0.62),)})
    text = autoscaling_manifests.patches(autoscaling(chat=policy), SHA)
    external = documents(text)[0]["spec"]["metrics"][0]["external"]
    assert external["metric"] == {"name": "tonnage_kv_cache_share", "selector": {"matchLabels": {"service": "chat"}}}
    assert external["target"] == {"type": "AverageValue", "averageValue": "0.62"}
    assert "a metrics adapter must serve them" in text


def test_a_tolerance_and_a_step_that_differ_are_written() -> None:
    down = DOWN.model_copy(update={"tolerance": 0.05})
    policy = HPA.model_copy(update={"down": down, "max_step": 3})
    scaler = documents(autoscaling_manifests.patches(autoscaling(gateway=policy), SHA))[0]
    validate(scaler)
    behaviour = scaler["spec"]["behavior"]
    assert behaviour["scaleDown"]["tolerance"] == "0.05"
    assert behaviour["scaleUp"]["policies"] == [{"type": "Pods", "value": 3, "periodSeconds": 15}]


@pytest.mark.parametrize(
    ("policy", "told"),
    [
        (PolicySpec(kind="mpc", min_replicas=1, max_replicas=9), "needs a controller of its own"),
        (HPA.model_copy(update={"min_replicas": 0}), "keeps at least one replica"),
        (HPA.model_copy(update={"triggers": (Trigger(metric="cpu", target=62.5),)}), "CPU target of 62.5 %"),
        (HPA.model_copy(update={"max_step": 6}), "no rule of Kubernetes is the step of 6"),
        (HPA.model_copy(update={"up": UNEVEN}), "windows and rules"),
        (HPA.model_copy(update={"down": LONG}), "windows and rules"),
    ],
)
def test_what_kubernetes_would_run_otherwise_is_refused(policy: PolicySpec, told: str) -> None:
    with pytest.raises(InputError, match=told):
        autoscaling_manifests.patches(autoscaling(cart=policy), SHA)


def test_a_policy_without_an_object_names_one_with() -> None:
    with pytest.raises(InputError) as refused:
        autoscaling_manifests.patches(autoscaling(cart=PolicySpec(kind="td3", min_replicas=1, max_replicas=9)), SHA)
    assert "hpa keeps the promise for 5 USD" in (refused.value.cure or "")


def test_keda_has_the_triggers_the_schedule_and_the_wake_up() -> None:
    (one,) = documents(keda.scaled_objects(autoscaling(cart=KEDA), SHA, "http://here:9090"))
    asked, evening, morning = one["spec"]["triggers"]
    assert asked["metadata"] == {
        "serverAddress": "http://here:9090", "query": 'tonnage_requests_per_s{service="cart"}', "threshold": "17.5",
        "activationThreshold": "0.5",
    }  # fmt: skip
    assert one["spec"]["minReplicaCount"] == 0
    # On Friday and Saturday (4 and 5 from Monday, 5 and 6 from Sunday): after 22:00, and before 06:00.
    assert (evening["metadata"]["start"], evening["metadata"]["end"]) == ("0 22 * * 5,6", "0 0 * * 0,6")
    assert (morning["metadata"]["start"], morning["metadata"]["end"]) == ("0 0 * * 5,6", "0 6 * * 5,6")


@pytest.mark.parametrize(
    ("start", "end", "crons"),
    [
        ("08:30", "17:00", [("30 8 * * *", "0 17 * * *")]),
        ("22:00", "06:00", [("0 22 * * *", "0 6 * * *")]),
        ("18:00", "24:00", [("0 18 * * *", "0 0 * * *")]),
        ("00:00", "00:00", [("0 0 * * *", "0 12 * * *"), ("0 12 * * *", "0 0 * * *")]),
    ],
)
def test_windows_of_every_day(start: str, end: str, crons: list[tuple[str, str]]) -> None:
    policy = KEDA.model_copy(update={"schedule": (ScheduleWindow(start=start, end=end, replicas=2),)})
    (one,) = documents(keda.scaled_objects(autoscaling(cart=policy), SHA))
    found = [each["metadata"] for each in one["spec"]["triggers"] if each["type"] == "cron"]
    assert [(each["start"], each["end"]) for each in found] == crons


def test_idle_is_written_as_keda_documents_it() -> None:
    idle = KEDA.model_copy(update={"min_replicas": 3, "idle_replicas": 0})
    plan = autoscaling(cart=idle)
    found = documents(keda.scaled_objects(plan, SHA)) + documents(autoscaling_manifests.patches(plan, SHA))
    (one,) = [each for each in found if each["kind"] == "ScaledObject"]
    validate(one)
    assert (one["spec"]["idleReplicaCount"], one["spec"]["minReplicaCount"]) == (0, 3)
    assert missing(plain(plan), found)[1] == []
    del one["spec"]["idleReplicaCount"]
    assert missing(plain(plan), found)[1] == ["services.policy.idle_replicas = 0"]


@pytest.mark.parametrize("kind", ["hpa", "keda"])
def test_the_largest_step_and_the_window_of_metrics_are_written(kind: str) -> None:
    """One rule of so many pods in both directions, whose period is that of the simulator where it is longer."""
    rule = (ScalingRule(type="Pods", value=6, period_s=60),)
    both = {name: given.model_copy(update={"policies": rule}) for name, given in (("up", UP), ("down", DOWN))}
    policy = (HPA if kind == "hpa" else KEDA).model_copy(update={"max_step": 6, "metrics_window_s": 45.0, **both})
    plan = autoscaling(cart=policy)
    found = documents(autoscaling_manifests.patches(plan, SHA))
    found += documents(keda.scaled_objects(plan, SHA)) if kind == "keda" else []
    scaler = next(one for one in found if one["kind"] in ("HorizontalPodAutoscaler", "ScaledObject"))
    validate(scaler)
    spec = scaler["spec"] if kind == "hpa" else scaler["spec"]["advanced"]["horizontalPodAutoscalerConfig"]
    for direction in ("scaleUp", "scaleDown"):
        assert spec["behavior"][direction]["policies"] == [{"type": "Pods", "value": 6, "periodSeconds": 60}]
    assert scaler["metadata"]["annotations"]["tonnage/metrics-window-s"] == "45"
    assert missing(plain(plan), found)[1] == []
    spec["behavior"]["scaleUp"]["policies"][0]["value"] = 7
    assert "services.policy.max_step = 6" in missing(plain(plan), found)[1]


def test_every_group_of_layers_has_an_autoscaler_that_follows_the_model() -> None:
    found = documents(autoscaling_manifests.patches(layered(), SHA))
    scalers = [one for one in found if one["kind"] == "HorizontalPodAutoscaler"]
    assert [one["metadata"]["name"] for one in scalers] == ["chat-layers-0-19", "chat-layers-20-39"]
    for one in found:
        validate(one)
    for one in scalers:
        external = one["spec"]["metrics"][0]["external"]
        assert external["metric"]["selector"] == {"matchLabels": {"service": "chat"}}
        assert one["metadata"]["annotations"]["tonnage/part-of"] == "chat"
    assert missing(plain(layered()), found)[1] == []


def test_cpu_alone_wakes_nobody() -> None:
    policy = KEDA.model_copy(update={"triggers": (Trigger(metric="cpu", target=70),), "schedule": ()})
    with pytest.raises(InputError, match="does not wake"):
        keda.scaled_objects(autoscaling(cart=policy), SHA)


def test_an_hpa_and_a_keda_object_on_one_target_are_refused() -> None:
    with pytest.raises(InputError, match="beside a HorizontalPodAutoscaler on one target"):
        keda.scaled_objects(autoscaling(gateway=HPA, payment=STATIC), SHA)
    scaler = documents(autoscaling_manifests.patches(autoscaling(cart=HPA), SHA))[0]
    (object_,) = documents(keda.scaled_objects(autoscaling(cart=KEDA), SHA))
    with pytest.raises(InputError, match="cart: a HorizontalPodAutoscaler and a ScaledObject would both set"):
        refuse_two_scalers([scaler, object_])


def test_an_slo_plan_sets_replicas_requests_and_budgets() -> None:
    found = documents(slo_manifests.patches(slo(), SHA))
    deployment, budget, *_ = found
    assert deployment["spec"]["replicas"] == 4
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    assert container == {"name": "checkout", "resources": {"requests": {"cpu": "500m", "memory": "256Mi"}}}
    assert deployment["metadata"]["annotations"]["tonnage/budget-s"] == "0.1"
    assert budget["spec"]["maxUnavailable"] == 1  # 4 replicas, 2.4 needed
    assert [one["metadata"]["name"] for one in found if one["kind"] == "PodDisruptionBudget"] == ["checkout", "cart"]
    assert missing(plain(slo()), found)[1] == []


@pytest.mark.parametrize("name", ["Cart", "cart_1", "-cart", "c" * 64])
def test_a_name_that_no_object_has_is_refused(name: str) -> None:
    told = "not a name of a Kubernetes object"
    with pytest.raises(InputError, match=told):
        slo_manifests.patches(slo(name), SHA)
    with pytest.raises(InputError, match=told):
        autoscaling_manifests.patches(autoscaling(**{name: HPA}), SHA)
    with pytest.raises(InputError, match=told):
        keda.scaled_objects(autoscaling(**{name: KEDA}), SHA)


def test_a_plan_without_a_decision_has_no_manifest() -> None:
    with pytest.raises(InputError, match="nothing to export"):
        serving_manifests.patches(serving_plan.infeasible(), SHA)


def test_serving_pods_enforce_the_planned_limits() -> None:
    found = documents(serving_manifests.patches(serving_plan.plan(), SHA))
    deployment = next(one for one in found if one["kind"] == "Deployment")
    pod = deployment["spec"]["template"]["spec"]
    (engine,) = pod["containers"]
    words = engine["args"]
    assert words[0] == "meta-llama/Llama-3.1-70B"
    assert words[words.index("--max-num-seqs") + 1] == "192"
    assert words[words.index("--max-num-batched-tokens") + 1] == "2048"
    assert engine["resources"]["limits"] == {"nvidia.com/gpu": 4}
    assert engine["image"] == "vllm/vllm-openai:v0.19.0"
    assert pod["nodeSelector"] == {"tonnage/pool": "h100"}
    assert pod["priorityClassName"] in {one["metadata"]["name"] for one in found if one["kind"] == "PriorityClass"}
    assert missing(plain(serving_plan.plan()), found)[1] == []


def test_roles_are_deployments_of_their_own() -> None:
    found = documents(serving_manifests.patches(serving_plan.disaggregated(), SHA))
    replicas = {one["metadata"]["name"]: one["spec"]["replicas"] for one in found if one["kind"] == "Deployment"}
    assert replicas == {"chat-on-eu-west-prefill": 2, "chat-on-eu-west-decode": 1}


def test_a_replica_that_spans_nodes_is_a_leader_worker_set() -> None:
    with pytest.raises(InputError, match="spans nodes"):
        serving_manifests.patches(serving_plan.plan(WIDE), SHA)
    text = llm_d.manifests(serving_plan.plan(WIDE), SHA)
    assert "spans 2 nodes of 8 GPUs: a LeaderWorkerSet" in text
    one = next(each for each in documents(text) if each["kind"] == "LeaderWorkerSet")
    template = one["spec"]["leaderWorkerTemplate"]
    assert (one["spec"]["replicas"], template["size"]) == (3, 2)
    for part in ("leaderTemplate", "workerTemplate"):
        (engine,) = template[part]["spec"]["containers"]
        assert engine["resources"]["limits"] == {"nvidia.com/gpu": 8}


def test_a_replica_of_one_node_stays_a_deployment_and_says_so() -> None:
    text = llm_d.manifests(serving_plan.plan(), SHA)
    assert "fits a node of 8 GPUs, so it is a plain Deployment" in text
    assert "LeaderWorkerSet" not in {one["kind"] for one in documents(text)}


@pytest.mark.parametrize(("parallel", "told"), [(Parallel(tp=12), "do not fill"), (Parallel(tp=8, dp=2), "data")])
def test_what_does_not_come_in_whole_nodes_is_refused(parallel: Parallel, told: str) -> None:
    wide = serving_plan.DEPLOYMENT.model_copy(update={"parallel": parallel})
    with pytest.raises(InputError, match=told):
        llm_d.manifests(serving_plan.plan(wide), SHA)

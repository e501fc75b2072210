"""Where each field that a plan decides stands in its manifests: the walk from the decision to the objects."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator
from typing import Any

Decision = dict[str, Any]
Manifest = dict[str, Any]
Look = Callable[[dict[str, Any], Any, "Objects"], bool]
SIGNAL = {"requests": "requests_per_s", "in-flight": "in_flight", "waiting": "waiting", "kv-cache": "kv_cache_share"}


class Objects:
    """The manifests of one plan, by kind and name."""

    def __init__(self, manifests: list[Manifest]) -> None:
        self.all = manifests

    def of(self, kind: str, name: str | None = None) -> list[Manifest]:
        """Objects of a kind, all of them or those of that name."""
        return [one for one in self.all if one["kind"] == kind and name in (None, one["metadata"]["name"])]

    def annotation(self, name: str, key: str, value: object) -> bool:
        """Whether an object of that name says so in an annotation."""
        shown = f"{value:.10g}" if isinstance(value, float) else str(value)
        found = [one["metadata"]["annotations"].get(f"tonnage/{key}") for one in self.all if _is(one, name)]
        return shown in found or str(value).lower() in found

    def scaler(self, name: str) -> dict[str, Any]:
        """The `spec` of the object that scales a service; empty where there is none."""
        for kind in ("HorizontalPodAutoscaler", "ScaledObject"):
            for one in self.of(kind, name):
                return dict(one["spec"])
        return {}

    def behaviour(self, name: str, direction: str) -> dict[str, Any]:
        """One direction of scaling of a service."""
        spec = self.scaler(name)
        inside = spec.get("advanced", {}).get("horizontalPodAutoscalerConfig", spec)
        return dict(inside.get("behavior", {}).get(direction, {}))


def _is(manifest: Manifest, name: str) -> bool:
    return bool(manifest["metadata"]["name"] == name)


def missing(plan: Decision, manifests: list[Manifest]) -> tuple[int, list[str]]:
    """Return how many decided fields a manifest can set, and those that are not where they belong."""
    objects, count, lost = Objects(manifests), 0, []
    for path, item, value in _decided(plan):
        look = _look(plan["kind"], path)
        if isinstance(look, str):
            continue
        count += 1
        if look is None or not look(item, value, objects):
            lost.append(f"{path} = {value}")
    return count, lost


def _decided(plan: Decision) -> Iterator[tuple[str, dict[str, Any], Any]]:
    """Each leaf of the decision: its path, the item of the list it stands in, its value."""
    if plan["kind"] == "RightsizingPlan":
        items = [one for one in plan["decision"]["containers"] if one["verdict"] == "change"]
        for item in items:
            yield from ((f"containers.{path}", item, value) for path, value in _leaves(item))
        return
    for name, part in plan["decision"].items():
        if isinstance(part, list):
            for item in part:
                yield from ((f"{name}.{path}", item, value) for path, value in _leaves(item))
        else:
            yield from ((path, plan["decision"], value) for path, value in _leaves({name: part}))


def _leaves(part: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(part, dict):
        for name, value in part.items():
            yield from _leaves(value, f"{path}.{name}" if path else name)
    elif isinstance(part, list) and part and isinstance(part[0], dict):
        for at, value in enumerate(part):
            yield from _leaves(value, f"{path}.{at}")
    elif part is not None and part != []:
        yield path, part


def _look(kind: str, path: str) -> Look | str | None:
    """How to look for a field, or why no manifest sets it; None where neither is known."""
    return next((look for pattern, look in FIELDS[kind] if re.fullmatch(pattern, path)), None)


def _container(item: dict[str, Any], objects: Objects) -> dict[str, Any]:
    """The container of a rightsized workload, or of a service whose container has its name."""
    name = item.get("workload", item.get("service"))
    inside = item.get("container", item.get("service"))
    for one in objects.of("Deployment", name):
        for each in one["spec"].get("template", {}).get("spec", {}).get("containers", []):
            if each["name"] == inside:
                return dict(each)
    return {}


def _cores(item: dict[str, Any], objects: Objects, part: str) -> float:
    text = str(_container(item, objects).get("resources", {}).get(part, {}).get("cpu", "nan"))
    return float(text.removesuffix("m")) / 1000.0


def _gib(item: dict[str, Any], objects: Objects, part: str) -> float:
    text = str(_container(item, objects).get("resources", {}).get(part, {}).get("memory", "nan"))
    return float(text.removesuffix("Mi")) / 1024.0


def _near(found: float, wanted: float, step: float) -> bool:
    """Rounded up to the next step, and no further."""
    return wanted - 1e-9 <= found < wanted + step


def _replicas(item: dict[str, Any], value: int, objects: Objects) -> bool:
    return any(one["spec"]["replicas"] == value for one in objects.of("Deployment", item["service"]))


def _words(objects: Objects) -> list[str]:
    """The engine's arguments in the Deployments of a serving plan."""
    found: list[str] = []
    for one in [*objects.of("Deployment"), *objects.of("LeaderWorkerSet")]:
        template = one["spec"].get("template") or one["spec"]["leaderWorkerTemplate"]["leaderTemplate"]
        found += [word for each in template["spec"]["containers"] for word in each.get("args", [])]
    return found


def _flag(name: str, default: object = None) -> Look:
    """The value follows the flag in the arguments; one that is the engine's ``default`` needs no flag."""

    def look(item: dict[str, Any], value: Any, objects: Objects) -> bool:
        words = _words(objects)
        shown = f"{value:g}" if isinstance(value, float) else str(value)
        return (name, shown) in itertools.pairwise(words) or (value == default and name not in words)

    return look


def _switch(on: str, off: str | None) -> Look:
    def look(item: dict[str, Any], value: Any, objects: Objects) -> bool:
        words = _words(objects)
        return on in words if value else off is None or off in words

    return look


def _trigger(item: dict[str, Any], objects: Objects, at: int) -> str:
    """One trigger of a scaler as text."""
    spec = objects.scaler(item["service"])
    return str(spec.get("metrics", spec.get("triggers", []))[at])


def _metric(item: dict[str, Any], value: str, objects: Objects) -> bool:
    signal = SIGNAL.get(value, "cpu")
    return any(signal in _trigger(item, objects, at) for at in range(len(item["policy"]["triggers"])))


def _target(item: dict[str, Any], value: float, objects: Objects) -> bool:
    shown = f"{value:.10g}"
    triggers = (_trigger(item, objects, at) for at in range(len(item["policy"]["triggers"])))
    return any(f"'{shown}'" in one or f"averageUtilization': {shown}" in one for one in triggers)


def _rule(field: str, name: str) -> Look:
    def look(item: dict[str, Any], value: Any, objects: Objects) -> bool:
        for direction in ("up", "down"):
            given = [one[field] for one in item["policy"][direction]["policies"]]
            found = objects.behaviour(item["service"], f"scale{direction.capitalize()}").get("policies", [])
            if [one[name] for one in found] != given:
                return False
        return True

    return look


def _behaviour(name: str, direction: str) -> Look:
    def look(item: dict[str, Any], value: Any, objects: Objects) -> bool:
        found = objects.behaviour(item["service"], direction).get(name)
        wanted = value.capitalize() if isinstance(value, str) else value
        return bool(found == wanted)

    return look


def _tolerance(item: dict[str, Any], value: float, objects: Objects) -> bool:
    found = [objects.behaviour(item["service"], f"scale{one}").get("tolerance", "0.1") for one in ("Up", "Down")]
    return f"{value:g}" in found


def _kind(item: dict[str, Any], value: str, objects: Objects) -> bool:
    kinds = {"hpa": "HorizontalPodAutoscaler", "keda": "ScaledObject", "static": "Deployment"}
    return bool(objects.of(kinds[value], item["service"]))


def _bound(hpa: str, keda: str) -> Look:
    def look(item: dict[str, Any], value: int, objects: Objects) -> bool:
        spec = objects.scaler(item["service"])
        return value in (spec.get(hpa), spec.get(keda)) or _replicas(item, value, objects)

    return look


def _cron(field: str) -> Look:
    def look(item: dict[str, Any], value: Any, objects: Objects) -> bool:
        crons = [one["metadata"] for one in objects.scaler(item["service"])["triggers"] if one["type"] == "cron"]
        if field in ("start", "end"):
            hour, _, minute = str(value).partition(":")
            return any(one[field].startswith(f"{int(minute)} {int(hour) % 24} ") for one in crons)
        return any(one[field] == str(value) for one in crons)

    return look


def _keda(name: str) -> Look:
    def look(item: dict[str, Any], value: Any, objects: Objects) -> bool:
        return bool(item["policy"]["kind"] != "keda" or objects.scaler(item["service"]).get(name) == value)

    return look


def _static_or(look: Look) -> Look:
    """Fields of a moving policy, which a static one only carries."""
    return lambda item, value, objects: item["policy"]["kind"] == "static" or look(item, value, objects)


def _step(item: dict[str, Any], value: int, objects: Objects) -> bool:
    """At most so many pods in a period is the only rule of both directions."""
    for direction in ("scaleUp", "scaleDown"):
        rules = objects.behaviour(item["service"], direction).get("policies", [])
        if [(one["type"], one["value"]) for one in rules] != [("Pods", value)]:
            return False
    return True


def _activation(item: dict[str, Any], value: float, objects: Objects) -> bool:
    triggers = objects.scaler(item["service"]).get("triggers", [])
    asked = [one["metadata"] for one in triggers if "requests_per_s" in str(one)]
    return all(one["activationThreshold"] == f"{value:.10g}" for one in asked)


def _told(key: str) -> Look:
    return lambda item, value, objects: objects.annotation(item["service"], key, value)


def _serving_told(key: str) -> Look:
    return lambda item, value, objects: any(
        one["metadata"]["annotations"].get(f"tonnage/{key}") == str(value) for one in objects.all
    )


def _serving_replicas(item: dict[str, Any], value: int, objects: Objects) -> bool:
    return any(one["spec"].get("replicas") == value for one in objects.of("Deployment"))


def _pool(item: dict[str, Any], value: str, objects: Objects) -> bool:
    return f"'tonnage/pool': '{value}'" in str(objects.of("Deployment"))


def _image(item: dict[str, Any], value: str, objects: Objects) -> bool:
    return f"vllm/vllm-openai:v{value}" in str(objects.of("Deployment"))


def _rules_of(item: dict[str, Any], objects: Objects) -> str:
    """Affinity and spread of a placed service, as text."""
    spec = objects.of("Deployment", item["service"])[0]["spec"]["template"]["spec"]
    return str([spec["affinity"], spec["topologySpreadConstraints"]])


def _all_in(item: dict[str, Any], value: Any, objects: Objects) -> bool:
    return all(f"'{one}'" in _rules_of(item, objects) for one in (value if isinstance(value, list) else [value]))


def _qos(item: dict[str, Any], value: str, objects: Objects) -> bool:
    template = objects.of("Deployment", item["service"])[0]["spec"]["template"]
    wanted = "koord-batch" if value == "BE" else "koord-prod"
    labels, named = template["metadata"]["labels"], template["spec"]["priorityClassName"]
    return labels["koordinator.sh/qosClass"] == value and named == wanted and bool(objects.of("PriorityClass", wanted))


def _most(item: dict[str, Any], value: int, objects: Objects) -> bool:
    """One per node is apartness from itself; more is kept by the spread, which is that of the plan."""
    apart = "podAntiAffinity" in _rules_of(item, objects) and f"'app': '{item['service']}'" in _rules_of(item, objects)
    return apart if value == 1 else "maxSkew" in _rules_of(item, objects)


def _of_gpus(look: Look) -> Look:
    """For a service that is not on GPUs; one that is has its Deployment by the serving plan."""

    def wrapped(item: dict[str, Any], value: Any, objects: Objects) -> bool:
        engines = [one for one in objects.of("Deployment") if _engine(one) and _begins(one, item["service"])]
        return bool(engines) or look(item, value, objects)

    return wrapped


def _engine(manifest: Manifest) -> bool:
    return any(one["name"] == "engine" for one in manifest["spec"]["template"]["spec"]["containers"])


def _begins(manifest: Manifest, name: str) -> bool:
    return str(manifest["metadata"]["name"]).startswith(name)


def _planned_replicas(item: dict[str, Any], value: int, objects: Objects) -> bool:
    """Of a Deployment, of all of a model's engines, or the most that an autoscaler may run."""
    engines = [one for one in objects.of("Deployment") if _engine(one) and _begins(one, item["service"])]
    if engines:
        return bool(sum(one["spec"]["replicas"] for one in engines) == value)
    if "scaling" in item:
        return bool(objects.scaler(item["service"]).get("maxReplicas") == value)
    return _replicas(item, value, objects)


def _on_nodes(item: dict[str, Any], value: int, objects: Objects) -> bool:
    """Its node affinity lists the planned nodes, and no others."""
    found = _rules_of(item, objects)
    terms = objects.of("Deployment", item["service"])[0]["spec"]["template"]["spec"]["affinity"]["nodeAffinity"]
    named = next(iter(terms.values()))["nodeSelectorTerms"][0]["matchExpressions"][0]["values"]
    return sorted(named) == sorted(item["nodes"]) and "maxSkew" in found


def _cached(key: str, name: str | None, whose: str) -> Look:
    """A size in GiB as an annotation of the service, and in its container's environment; of one replica where ``name``.

    A database that several services read has the sum of their buffers, so that theirs are at most its own.
    """

    def look(item: dict[str, Any], value: float, objects: Objects) -> bool:
        one = objects.of("Deployment", item[whose])[0]
        replicas = one["spec"].get("replicas") or objects.scaler(item[whose])["maxReplicas"]
        told = float(one["metadata"]["annotations"][f"tonnage/{key}"])
        if name is None:
            return abs(told - value) <= 1e-9 + 1e-6 * value
        env = one["spec"]["template"]["spec"]["containers"][0]["env"]
        given = next(float(each["value"]) for each in env if each["name"] == name)
        near = told * replicas >= value - 1e-6 * max(value, 1.0)
        exact = whose == "database" or abs(told * replicas - value) <= 1e-9 + 1e-6 * value
        return given == told and near and exact

    return look


def _gpus_of(item: dict[str, Any], value: int, objects: Objects) -> bool:
    engines = [one for one in objects.of("Deployment") if _engine(one) and _begins(one, item["service"])]
    pods = [one["spec"]["template"]["spec"]["containers"][0] for one in engines]
    each = [pod["resources"]["limits"]["nvidia.com/gpu"] for pod in pods]
    return bool(sum(n * one["spec"]["replicas"] for n, one in zip(each, engines, strict=True)) == value)


FIELDS: dict[str, tuple[tuple[str, Look | str], ...]] = {
    "SloPlan": (
        (r"services\.service", lambda item, value, objects: bool(objects.of("Deployment", value))),
        (r"services\.replicas", _replicas),
        (r"services\.cpu_cores", lambda i, v, o: _near(_cores(i, o, "requests"), v / i["replicas"], 0.001)),
        (r"services\.memory_gib", lambda i, v, o: _near(_gib(i, o, "requests"), v / i["replicas"], 1 / 1024)),
        (r"services\.budget_s", _told("budget-s")),
        (r"services\.level", lambda i, v, o: "budget_s" not in i or o.annotation(i["service"], "budget-level", v)),
        (r"services\.rate_per_s", _told("planned-rate-per-s")),
        (r"services\.(latency_s|replicas_exact|current_replicas|cost|marginal|critical)", "says why, sets nothing"),
        (r"method|compose|replicas|cost|unit|cpu_cores|memory_gib", "how it was found, and sums over services"),
    ),
    "AutoscalingPlan": (
        (r"services\.service", lambda item, value, objects: bool(objects.of("PodDisruptionBudget", value))),
        (r"services\.policy\.kind", _kind),
        (r"services\.policy\.min_replicas", _bound("minReplicas", "minReplicaCount")),
        (r"services\.policy\.max_replicas", _bound("maxReplicas", "maxReplicaCount")),
        (r"services\.policy\.triggers\.\d\.metric", _metric),
        (r"services\.policy\.triggers\.\d\.target", _target),
        (r"services\.policy\.up\.stabilization_window_s",
         _static_or(_behaviour("stabilizationWindowSeconds", "scaleUp"))),
        (r"services\.policy\.down\.stabilization_window_s",
         _static_or(_behaviour("stabilizationWindowSeconds", "scaleDown"))),
        (r"services\.policy\.up\.select_policy", _static_or(_behaviour("selectPolicy", "scaleUp"))),
        (r"services\.policy\.down\.select_policy", _static_or(_behaviour("selectPolicy", "scaleDown"))),
        (r"services\.policy\.(up|down)\.policies\.\d\.type", _static_or(_rule("type", "type"))),
        (r"services\.policy\.(up|down)\.policies\.\d\.value", _static_or(_rule("value", "value"))),
        (r"services\.policy\.(up|down)\.policies\.\d\.period_s", _static_or(_rule("period_s", "periodSeconds"))),
        (r"services\.policy\.(up|down)\.tolerance", _static_or(_tolerance)),
        (r"services\.policy\.max_step", _static_or(_step)),
        (r"services\.policy\.metrics_window_s", _told("metrics-window-s")),
        (r"services\.policy\.idle_replicas", _keda("idleReplicaCount")),
        (r"services\.policy\.polling_s", _keda("pollingInterval")),
        (r"services\.policy\.cooldown_s", _keda("cooldownPeriod")),
        (r"services\.policy\.activation_per_s", _activation),
        (r"services\.policy\.brownout", _told("brownout")),
        (r"services\.policy\.schedule\.\d+\.start", _cron("start")),
        (r"services\.policy\.schedule\.\d+\.end", _cron("end")),
        (r"services\.policy\.schedule\.\d+\.replicas", _cron("desiredReplicas")),
        (r"services\.policy\.schedule\.\d+\.timezone", _cron("timezone")),
        (r"services\.policy\.schedule\.\d+\.days", "each cron line carries them; tests count them day by day"),
        (r"services\.policy\.sync_s", "a flag of the controller of the whole cluster; a comment where not its default"),
        (r"services\.part_of", lambda i, v, o: o.annotation(i["service"], "part-of", v)),
        (r"services\.first_layer", _told("first-layer")),
        (r"services\.last_layer", _told("last-layer")),
        (r"services\.gpus", _told("gpus")),
        (r"services\.needed_at_peak", _told("needed-at-peak")),
        (r"services\.spare_replicas", _told("spare-replicas")),
        (r"services\.head_room_replicas", _told("head-room-replicas")),
        (r"services\.purchase\..*|usd_per_week", "bought from the provider, not set in the cluster"),
    ),
    "ColocationPlan": (
        (r"services\.service", lambda item, value, objects: bool(objects.of("Deployment", value))),
        (r"services\.namespace",
         lambda i, v, o: any(one["metadata"].get("namespace") == v for one in o.of("Deployment", i["service"]))),
        (r"services\.replicas", _replicas),
        (r"services\.qos", _qos),
        (r"services\.(nodes|apart_from|together_with)", _all_in),
        (r"services\.node_labels\..*", _all_in),
        (r"services\.most_per_node", _most),
        (r"services\.(cpu_cores|memory_gib)", "what the pods request already: the plan was given it"),
        (r"nodes\..*|nodes_used|nodes_free|usd_per_hour", "the same placement by node, and sums"),
        (r"node_label", lambda i, v, o: f"'{v}'" in str(o.of("Deployment"))),
    ),
    "RightsizingPlan": (
        (r"containers\.workload", lambda item, value, objects: bool(objects.of("Deployment", value))),
        (r"containers\.namespace",
         lambda i, v, o: any(one["metadata"].get("namespace") == v for one in o.of("Deployment", i["workload"]))),
        (r"containers\.container", lambda item, value, objects: bool(_container(item, objects))),
        (r"containers\.recommended\.cpu_request_cores", lambda i, v, o: _near(_cores(i, o, "requests"), v, 0.001)),
        (r"containers\.recommended\.cpu_limit_cores", lambda i, v, o: _near(_cores(i, o, "limits"), v, 0.001)),
        (r"containers\.recommended\.memory_request_gib", lambda i, v, o: _near(_gib(i, o, "requests"), v, 1 / 1024)),
        (r"containers\.recommended\.memory_limit_gib", lambda i, v, o: _near(_gib(i, o, "limits"), v, 1 / 1024)),
        (r"containers\.autoscaler\.target", lambda i, v, o: f"{round(100 * v)}" in str(o.scaler(i["workload"]))),
        (r"containers\.autoscaler\.least", lambda i, v, o: o.scaler(i["workload"]).get("minReplicas") == v),
        (r"containers\.autoscaler\.most", lambda i, v, o: o.scaler(i["workload"]).get("maxReplicas") == v),
        (r"containers\.(verdict|severity|reason|current\..*|autoscaler\.(target_now|cores_at_target))",
         "says why, sets nothing"),
    ),
    "ServingPlan": (
        (r"deployments\.model", lambda i, v, o: v in _words(o)),
        (r"deployments\.labels\.published", lambda i, v, o: v in _words(o)),
        (r"deployments\.labels\.prompt_tokens", _serving_told("prompt-tokens")),
        (r"deployments\.device", _serving_told("device")),
        (r"deployments\.pool", _pool),
        (r"deployments\.replicas", _serving_replicas),
        (r"deployments\.router", _serving_told("router")),
        (r"deployments\.roles", _serving_told("role")),
        (r"deployments\.parallel\.tp", _flag("--tensor-parallel-size")),
        (r"deployments\.parallel\.pp", _flag("--pipeline-parallel-size", 1)),
        (r"deployments\.parallel\.dp", _flag("--data-parallel-size", 1)),
        (r"deployments\.parallel\.ep", lambda i, v, o: ("--enable-expert-parallel" in _words(o)) == (v > 1)),
        (r"deployments\.precision\.weights", lambda i, v, o: v != "fp8" or "--quantization" in _words(o)),
        (r"deployments\.precision\.kv_cache", lambda i, v, o: v != "fp8" or "--kv-cache-dtype" in _words(o)),
        (r"deployments\.precision\.activations", "as the checkpoint is published, which is vLLM's default"),
        (r"deployments\.engine\.(name|version)", lambda i, v, o: v == "vllm" or _image(i, v, o)),
        (r"deployments\.engine\.max_num_seqs", _flag("--max-num-seqs")),
        (r"deployments\.engine\.max_num_batched_tokens", _flag("--max-num-batched-tokens")),
        (r"deployments\.engine\.block_size_tokens", _flag("--block-size")),
        (r"deployments\.engine\.gpu_memory_utilization", _flag("--gpu-memory-utilization")),
        (r"deployments\.engine\.max_model_len", _flag("--max-model-len")),
        (r"deployments\.engine\.prefix_caching", _switch("--enable-prefix-caching", "--no-enable-prefix-caching")),
        (r"deployments\.engine\.chunked_prefill", _switch("--enable-chunked-prefill", "--no-enable-chunked-prefill")),
        (r"deployments\.engine\.cuda_graphs", lambda i, v, o: ("--enforce-eager" in _words(o)) != v),
        (r"deployments\.engine\.async_scheduling", _switch("--async-scheduling", "--no-async-scheduling")),
        (r"deployments\.admission\.max_waiting", _serving_told("max-waiting")),
        (r"deployments\.admission\.queue_timeout_s", _serving_told("queue-timeout-s")),
        (r"deployments\.admission\.client_timeout_s", _serving_told("client-timeout-s")),
        (r"gpus",
         lambda i, v, o: v == sum(
             one["spec"]["replicas"] * one["spec"]["template"]["spec"]["containers"][0]["resources"]["limits"]
             ["nvidia.com/gpu"] for one in o.of("Deployment")[: len(i["deployments"])])),
        (r"usd_per_hour", "a price"),
    ),
}  # fmt: skip
_ENGINE = r"gpus\.deployments\.\d+"
FIELDS["ApplicationPlan"] = (
    (r"services\.service", lambda i, v, o: any(_begins(one, v) for one in o.of("Deployment"))),
    (r"services\.namespace",
     lambda i, v, o: all(one["metadata"].get("namespace") == v for one in o.all if _is(one, i["service"]))),
    (r"services\.replicas", _planned_replicas),
    (r"services\.spare",
     lambda i, v, o: i["replicas"] == 1 or o.of("PodDisruptionBudget", i["service"])[0]["spec"]["maxUnavailable"]
     == max(v, 1)),
    (r"services\.requests\.cpu_cores", lambda i, v, o: _near(_cores(i, o, "requests"), v, 0.001)),
    (r"services\.requests\.memory_gib", lambda i, v, o: _near(_gib(i, o, "requests"), v, 1 / 1024)),
    (r"services\.limits\.cpu_cores", lambda i, v, o: _near(_cores(i, o, "limits"), v, 0.001)),
    (r"services\.limits\.memory_gib", lambda i, v, o: _near(_gib(i, o, "limits"), v, 1 / 1024)),
    (r"services\.affinity\.(apart_from|together_with)", _all_in),
    (r"services\.affinity\.node_labels\..*", _all_in),
    (r"services\.affinity\.most_per_node", _most),
    (r"services\.nodes\..*", _on_nodes),
    (r"services\.scaling\.least", lambda i, v, o: o.scaler(i["service"]).get("minReplicas") == v),
    (r"services\.scaling\.most", lambda i, v, o: o.scaler(i["service"]).get("maxReplicas") == v),
    (r"services\.scaling\.cpu_utilisation",
     lambda i, v, o: f"'averageUtilization': {round(100 * v)}" in str(o.scaler(i["service"]))),
    (r"services\.scaling\.least_rate_per_s", _told("least-rate-per-s")),
    (r"services\.budget_s", _of_gpus(_told("budget-s"))),
    (r"services\.visits_per_s", _of_gpus(_told("planned-rate-per-s"))),
    (r"services\.(current_replicas|utilisation|limit_per_s|cpu_cores|memory_gib|slowdown)", "says why, and sums"),
    (r"caches\.process_gib", _cached("cache-gib", "CACHE_GIB", "service")),
    (r"caches\.store_gib", _cached("cache-store-gib", None, "service")),
    (r"caches\.buffer_gib", _cached("buffer-gib", "BUFFER_GIB", "database")),
    (r"caches\..*", "says why, sets nothing"),
    (r"gpus\.gpus", _gpus_of),
    *((pattern.replace("deployments", _ENGINE, 1), look) for pattern, look in FIELDS["ServingPlan"]
      if pattern.startswith("deployments")),
    (r"gpus\.(service|workload|outcome|reason|usd_per_hour|rate_per_s|headroom|ttft_s\..*|e2e_s\..*)",
     "says why, and what is expected"),
    (r"nodes\..*|replicas|usd_per_hour|cpu_cores|memory_gib", "the same placement by node, and sums"),
    (r"node_label", lambda i, v, o: f"'{v}'" in str(o.of("Deployment"))),
)  # fmt: skip

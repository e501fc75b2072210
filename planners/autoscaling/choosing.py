"""Which policy is recommended: the cheapest that keeps its promise on load it has not seen, and simple ones first."""

from __future__ import annotations

from specs.autoscaling import Axes, Method, Score
from specs.policies import PolicySpec

LEARNED = ("td3", "ga-rl")
LAYERED = "hpa by layers"
MARGIN = 0.01
"""A learned or evolved policy must be cheaper than the best simple one by this share, or keep a promise it breaks."""
AXES = {
    "static": ("none (fixed replicas)", "queueing"),
    "vpa": ("vertical", "percentile of past use"),
    "hpa": ("horizontal, reactive", "feedback on a metric"),
    "keda": ("horizontal, reactive with a schedule", "feedback on the arrival rate"),
    "predictive": ("horizontal, proactive", "forecast (seasonal quantile) and queueing"),
    "mpc": ("horizontal, proactive", "forecast and queueing, receding horizon"),
    "td3": ("horizontal, learned", "reinforcement learning (TD3), simulated"),
    "ga-rl": ("horizontal, evolved and learned", "genetic algorithm with reinforcement learning, simulated"),
}


def axes(policy: PolicySpec, *, llm: bool, layered: bool = False) -> Axes:
    """The survey's five axes for one policy."""
    scaling, behaviour = AXES[policy.kind]
    scaling += ", by groups of layers" if layered else ""
    return Axes(
        infrastructure="containers on GPUs" if llm else "containers on nodes",
        architecture="llm pipeline" if llm else "microservice", scaling=scaling,
        objective="cost under an SLO", behaviour=behaviour,
    )  # fmt: skip


def label(policy: PolicySpec) -> str:
    """What a policy is called in the table."""
    if policy.brownout:
        return f"{policy.kind} + brownout"
    if policy.kind == "keda":
        return "keda + schedule" if policy.schedule else "keda"
    if policy.kind == "predictive" and policy.triggers:
        return "predictive + keda"
    return policy.kind


def breaks(score: Score, allowed: float) -> bool:
    """Whether the promise is broken, with the failure there that must be survived."""
    return score.over_dimmed or score.violations > allowed or (score.violations_after_loss or 0.0) > allowed


def choose(methods: list[Method], allowed: float) -> Method:
    """The recommended one of a service's methods; raises ValueError without any.

    Keeping the promise comes first, then cost. A learned policy must beat the best simple one by `MARGIN`.
    """
    simple = [one for one in methods if one.policy.kind not in LEARNED]
    best = min(simple or methods, key=lambda one: _rank(one, allowed))
    for one in methods:
        if one.policy.kind in LEARNED and beats(one.score, best.score, allowed):
            best = one
    return best


def beats(score: Score, other: Score, allowed: float) -> bool:
    """Whether a learned policy earns its place against the best simple one."""
    if breaks(score, allowed):
        return False
    return breaks(other, allowed) or score.cost < (1.0 - MARGIN) * other.cost


def _rank(method: Method, allowed: float) -> tuple[bool, float, float]:
    score = method.score
    broken = breaks(score, allowed)
    worst = max(score.violations, score.violations_after_loss or 0.0)
    return broken, (worst if broken else score.cost), score.cost


def on_front(methods: list[Method]) -> set[int]:
    """Indices of the methods that no other beats in both violations and cost."""
    points = [(one.score.violations, one.score.cost) for one in methods]
    return {
        i for i, (late, paid) in enumerate(points)
        if not any(x <= late and y <= paid and (x, y) != (late, paid) for x, y in points)
    }  # fmt: skip


def verdict(method: Method, best: Method, allowed: float) -> str:
    """One phrase on a method beside the recommended one."""
    if method is best:
        return "recommended"
    if breaks(method.score, allowed):
        return "breaks it"
    more = method.score.cost / max(best.score.cost, 1e-9) - 1.0
    if method.policy.kind in LEARNED:
        return f"does not beat the simple one ({more:+.0%})"
    return f"costs {more:+.0%}"

"""Which policy is recommended: the cheapest that keeps its promise on load it has not seen, and simple ones first."""

from __future__ import annotations

from specs.autoscaling import Axes, Method, PolicySpec, Score

LEARNED = ("td3", "ga-rl")
MARGIN = 0.01
"""A learned or evolved policy must be cheaper than the best simple one by this share, or keep a promise it breaks."""
NAMES = {
    "static": "static", "hpa": "hpa", "keda": "keda", "predictive": "predictive", "mpc": "mpc", "td3": "td3",
    "ga-rl": "ga-rl",
}  # fmt: skip
AXES = {
    "static": ("none (fixed replicas)", "queueing"),
    "hpa": ("horizontal, reactive", "feedback on a metric"),
    "keda": ("horizontal, reactive with a schedule", "feedback on the arrival rate"),
    "predictive": ("horizontal, proactive", "forecast (seasonal quantile) and queueing"),
    "mpc": ("horizontal, proactive", "forecast and queueing, receding horizon"),
    "td3": ("horizontal, learned", "reinforcement learning (TD3), simulated"),
    "ga-rl": ("horizontal, evolved and learned", "genetic algorithm with reinforcement learning, simulated"),
}


def axes(policy: PolicySpec, *, llm: bool) -> Axes:
    """The survey's five axes for one policy."""
    scaling, behaviour = AXES[policy.kind]
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
    return NAMES[policy.kind]


def breaks(score: Score, allowed: float) -> bool:
    """Whether the promise is broken, with the failure there that must be survived."""
    return score.over_dimmed or score.violations > allowed or (score.violations_after_loss or 0.0) > allowed


def cost(score: Score) -> float:
    """What policies are compared by: money where prices are known, else replica-hours."""
    return score.usd if score.usd is not None else score.replica_hours


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
    return breaks(other, allowed) or cost(score) < (1.0 - MARGIN) * cost(other)


def _rank(method: Method, allowed: float) -> tuple[bool, float, float]:
    score = method.score
    broken = breaks(score, allowed)
    worst = max(score.violations, score.violations_after_loss or 0.0)
    return broken, (worst if broken else cost(score)), cost(score)


def on_front(methods: list[Method]) -> set[int]:
    """Indices of the methods that no other beats in both violations and cost."""
    points = [(one.score.violations, cost(one.score)) for one in methods]
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
    more = cost(method.score) / max(cost(best.score), 1e-9) - 1.0
    if method.policy.kind in LEARNED:
        return f"does not beat the simple one ({more:+.0%})"
    return f"costs {more:+.0%}"

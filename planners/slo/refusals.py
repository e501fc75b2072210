"""The plan when no budgets keep the SLO, when a curve is missing, or when the simulation does not confirm."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from planners.slo.compose import Composer
from planners.slo.confirm import Confirmation
from planners.slo.question import Question
from planners.slo.report import bound_text, metadata, solver
from solvers.budgets.problem import NoSplitError
from specs.plan import Status
from specs.slo_plan import SloPlan

MOST_NAMED = 12


def abstained(question: Question, missing: Sequence[int], started: float) -> SloPlan:
    """Name the services of which nothing says how long a visit takes, and the command that measures it."""
    names = [question.graph.names[i] for i in missing]
    shown = ", ".join(names[:MOST_NAMED]) + (f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else "")
    served = [one.name for one in question.application.spec.services if one.name in names and one.deployment]
    command = "tonnage profile services --prometheus URL --traces FILE -w app.yaml"
    if served:
        command += f"; for {served[0]}: tonnage predict serving, and its latencies as a ServiceProfile"
    status = Status(
        outcome="abstained", reason=f"nothing says how latency grows with load for {shown}", missing=command,
        solver=solver(started),
    )  # fmt: skip
    return SloPlan(metadata=metadata(question), status=status)


def infeasible(
    question: Question, ready: Composer, error: NoSplitError, before: Confirmation | None, factors: Sequence[float],
    started: float,
) -> SloPlan:  # fmt: skip
    """Name the entry whose bound lies below the sum of the least latencies, each service's part, and by how much."""
    least = ready.costs.lowest_s
    shortest = ready.values(ready.least)
    bounds = np.array([one.bound_s * f for one, f in zip(question.entrances, factors, strict=True)])
    worst = int(np.argmax(shortest / bounds))
    one, value = question.entrances[worst], float(shortest[worst])
    path = ready.path(worst)
    names = [question.graph.names[i] for i in question.among.services.tolist()]
    parts = sorted(((1e3 * n * float(least[i]), n, names[i - 1]) for i, n in path.items() if i), reverse=True)
    shown = ", ".join(f"{_times(n)}{name} {part:.3g} ms" for part, n, name in parts[:MOST_NAMED])
    rest = f" and {len(parts) - MOST_NAMED} more" if len(parts) > MOST_NAMED else ""
    over = 1e3 * (value - one.bound_s)
    reason = f"{bound_text(one)}: at their least load its services take {1e3 * value:.4g} ms by {question.compose}"
    if before is not None:
        reason += f"; {_simulated(question, before)}"
    least_bound = math.ceil(1e3 * max(value, one.bound_s) * 1.05 / min(factors))
    status = Status(
        outcome="infeasible",
        reason=reason,
        conflicts=(
            f"base latencies along the path: {shown}{rest}",
            f"together {1e3 * value:.4g} ms against {1e3 * one.bound_s:.4g} ms: {max(over, 0.0):.4g} ms too much",
        ),
        smallest_change=_looser(question, value / one.bound_s)
        + f"--slo {one.name}={one.level}:{least_bound}ms, or a faster {parts[0][2]}",
        solver=solver(started),
    )
    return SloPlan(metadata=metadata(question), status=status)


def _times(count: float) -> str:
    return "" if count == 1.0 else f"{count:.3g} × "


def _looser(question: Question, over: float) -> str:
    """Another composition, where it could help: sums of percentiles are at most about three times theirs."""
    if question.compose == "convolve" or over > 3.0:
        return ""
    return "--compose convolve, where services are independent; or "


def unconfirmed(question: Question, found: Confirmation, attempts: int, started: float) -> SloPlan:
    """Say that the simulation still exceeds a bound after the bounds were tightened ``attempts`` times."""
    status = Status(
        outcome="infeasible",
        reason=f"after {attempts} tightened splits the simulation still exceeds a bound: {_simulated(question, found)}",
        conflicts=tuple(bound_text(one) for one, ok in zip(question.entrances, found.holds, strict=True) if not ok),
        smallest_change="a looser SLO, or curves measured at lower load per replica",
        solver=solver(started),
    )
    return SloPlan(metadata=metadata(question), status=status)


def _simulated(question: Question, found: Confirmation) -> str:
    worst = int(np.argmax(found.simulated_s / np.array([one.bound_s for one in question.entrances])))
    one = question.entrances[worst]
    return (
        f"simulated {one.name} {one.level} {1e3 * found.simulated_s[worst]:.4g} ± "
        f"{1e3 * found.standard_error_s[worst]:.2g} ms against {1e3 * one.bound_s:.4g} ms"
    )

from __future__ import annotations

from pathlib import Path

from planners.serving import plan
from planners.serving.bounds import demand
from planners.serving.candidates import usd_per_hour
from planners.serving.opening import Tally
from planners.serving.planning import every_layout
from planners.serving.question import read_question
from planners.serving.roles import cheapest_roles
from planners.serving.search import cheapest_mixed
from planners.serving.serve import Workbench
from specs.deployment import Roles
from tests.planners.serving.documents import cluster, pool, workload

TIGHT_TPOT = "{ttft_s: {p99: 1.0}, tpot_s: {p99: 0.042}}"


def test_separate_roles_are_chosen_where_prefill_would_stretch_every_gap(tmp_path: Path) -> None:
    path = workload(tmp_path, arrivals="{rate_per_s: 40, cv: 1.5, duration_s: 30}", slo=TIGHT_TPOT)
    where = cluster(tmp_path, pool("l40s", "l40s", 0.9, nodes=24, gpus=1))
    question = read_question(
        path, where, objective="cost", confidence=0.8, survive=None, require=None, profiles=(), seed=0
    )
    bench, tally = Workbench(question), Tally()
    mixed = cheapest_mixed(bench, demand(question), every_layout(question), tally, lambda *_: None)
    apart = cheapest_roles(bench, demand(question), every_layout(question), mixed, tally, lambda *_: None)
    assert apart is not None
    assert apart.holds
    assert {part.role for part in apart.decision} == {"prefill", "decode"}
    if mixed is not None:
        assert (usd_per_hour(apart.decision) or 0) < (usd_per_hour(mixed.decision) or 0)


def test_the_plan_states_both_roles_and_their_transfer(tmp_path: Path) -> None:
    path = workload(tmp_path, arrivals="{rate_per_s: 40, cv: 1.5, duration_s: 30}", slo=TIGHT_TPOT)
    made = plan(path, cluster(tmp_path, pool("l40s", "l40s", 0.9, nodes=24, gpus=1)))
    assert made.decision is not None
    roles = made.decision.deployments[0].roles
    assert isinstance(roles, Roles)
    assert roles.transfer_gb_per_s == 100 / 8
    assert made.decision.gpus == roles.prefill.replicas + roles.decode.replicas

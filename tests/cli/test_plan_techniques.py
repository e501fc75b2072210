"""`tonnage plan techniques` prints one table that fits, and its explanation."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from typer.testing import Result

from renderers.techniques import techniques_table
from specs.reading import read_document
from specs.techniques import TechniquesPlan
from tests.cli.test_bad_input import one_message
from tests.planners.brownout.documents import deployment, experts, workload

Tonnage = Callable[..., Result]
PLAN = ("plan", "techniques", "workload.yaml", "--deployment", "deployment.yaml", "--experts", "experts.yaml")


def test_the_table_fits_and_is_explained(tonnage: Tonnage, folder: Path) -> None:
    workload(folder, arrivals="{rate_per_s: 5, duration_s: 40}")
    deployment(folder)
    experts(folder)
    shown = tonnage(*PLAN, "-o", "table", "-w", "plan.yaml")
    assert shown.exit_code == 0
    assert "at equal SLO" in shown.stdout
    plan = read_document(Path("plan.yaml"), TechniquesPlan)
    for width in (100, 80):
        assert max(map(len, techniques_table(plan, width).splitlines())) <= width
    told = tonnage("explain", "plan.yaml", "--plot").stdout
    assert "placement does not apply" in " ".join(told.split())
    assert "largest load" in told


def test_another_model_in_the_deployment_is_told(tonnage: Tonnage, folder: Path) -> None:
    workload(folder)
    deployment(folder, model="nonesuch")
    one_message(tonnage(*PLAN[:5]), "nonesuch")

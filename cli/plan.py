"""`tonnage plan`: the cheapest decision that keeps the SLO; each plan has a file beside this one."""

from __future__ import annotations

import typer

from cli.plan_application import application
from cli.plan_autoscaling import autoscaling
from cli.plan_batching import batching
from cli.plan_brownout import brownout
from cli.plan_colocation import colocation
from cli.plan_modules import modules
from cli.plan_placement import placement
from cli.plan_rightsizing import rightsizing
from cli.plan_serving import serving
from cli.plan_slo import slo
from cli.plan_techniques import techniques

app = typer.Typer(rich_markup_mode=None, add_completion=False, no_args_is_help=True)


@app.callback()
def plan() -> None:
    """Choose the cheapest decision that keeps the SLO: GPUs, batch limits, services, nodes."""


for command in (
    serving,
    batching,
    rightsizing,
    autoscaling,
    placement,
    modules,
    brownout,
    techniques,
    slo,
    colocation,
    application,
):
    app.command()(command)

"""`tonnage plan`: the cheapest decision that keeps the SLO; each plan has a file beside this one."""

from __future__ import annotations

import typer

from cli.plan_application import application
from cli.plan_batching import batching
from cli.plan_brownout import brownout
from cli.plan_modules import modules
from cli.plan_placement import placement
from cli.plan_rightsizing import rightsizing
from cli.plan_serving import serving
from cli.plan_slo import slo
from cli.plan_techniques import techniques

app = typer.Typer(rich_markup_mode=None, add_completion=False, no_args_is_help=True)


@app.callback()
def plan() -> None:
    """Choose the cheapest deployment that keeps the SLO."""


for command in (
    serving,
    batching,
    rightsizing,
    placement,
    modules,
    brownout,
    techniques,
    slo,
    application,
):
    app.command()(command)

"""`tonnage plan`: the cheapest decision that keeps the SLO; each plan has a file beside this one."""

from __future__ import annotations

import typer

from cli.plan_autoscaling import autoscaling
from cli.plan_serving import serving

app = typer.Typer(rich_markup_mode=None, add_completion=False, no_args_is_help=True)


@app.callback()
def plan() -> None:
    """Choose the cheapest deployment that keeps the SLO."""


for command in (serving, autoscaling):
    app.command()(command)

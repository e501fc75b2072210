"""`tonnage predict`: what would happen; each prediction that takes room has a file beside this one."""

from __future__ import annotations

import typer

from cli.predict_application import application
from cli.predict_interference import interference
from cli.predict_load import load
from cli.predict_serving import memory, serving

app = typer.Typer(rich_markup_mode=None, add_completion=False, no_args_is_help=True)


@app.callback()
def predict() -> None:
    """Say what a given deployment would do: memory, latency, throughput."""


for command in (
    application,
    interference,
    memory,
    serving,
    load,
):
    app.command()(command)

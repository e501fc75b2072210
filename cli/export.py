"""`tonnage export`: a plan as what other programs read; each group of forms has a file beside this one."""

from __future__ import annotations

import typer

from cli.export_html import html
from cli.export_kubernetes import keda, kubernetes, llm_d, prometheus, vpa
from cli.export_placement import device_map
from cli.export_serving import benchmark, vllm

app = typer.Typer(rich_markup_mode=None, add_completion=False, no_args_is_help=True)


@app.callback()
def export() -> None:
    """Turn a plan into what other programs read: engine commands, manifests, rules, a page, or a refuting benchmark."""


for command in (
    vllm,
    benchmark,
    device_map,
    kubernetes,
    vpa,
    keda,
    llm_d,
    prometheus,
    html,
):
    app.command()(command)

"""`tonnage catalog`: the devices, models and methods that are known."""

from __future__ import annotations

from typing import Annotated

import typer

from cli.options import Output

app = typer.Typer(rich_markup_mode=None, add_completion=False, no_args_is_help=True)
Name = Annotated[str | None, typer.Argument(help="One entry in full; without it, the list.")]


@app.callback()
def catalog() -> None:
    """Show the devices, models and methods that are known, each figure with its source."""


@app.command()
def devices(name: Name = None, output: Output = None) -> None:
    """List the devices, or show one with the source and date of every figure.

    Example: tonnage catalog devices h100-sxm
    """
    from cli.output import emit_data
    from renderers.catalog import device_list, one_device
    from specs.base import plain
    from specs.catalog import device_names, find_device

    if name is not None:
        device = find_device(name)
        emit_data(plain(device), lambda: one_device(device), output=output)
    else:
        found = [find_device(known) for known in device_names()]
        emit_data([plain(device) for device in found], lambda: device_list(found), output=output)


@app.command()
def models(name: Name = None, output: Output = None) -> None:
    """List the models, or show one: a catalogue name, a published id, or a local config.json.

    Example: tonnage catalog models llama-3.1-8b
    """
    from cli.output import emit_data
    from renderers.catalog import model_list, one_model
    from specs.base import plain
    from specs.catalog import find_model, model_names

    if name is not None:
        model = find_model(name)
        emit_data(plain(model), lambda: one_model(model), output=output)
    else:
        found = [find_model(known) for known in model_names()]
        emit_data([plain(model) for model in found], lambda: model_list(found), output=output)


@app.command()
def methods(
    infrastructure: Annotated[
        str | None, typer.Option(help="Only these: vm, container, serverless, gpu-shared.")
    ] = None,
    architecture: Annotated[
        str | None, typer.Option(help="Only these: monolith, microservice, llm-pipeline, moe.")
    ] = None,
    objective: Annotated[str | None, typer.Option(help="Only objectives that hold this word: cost, slo, …")] = None,
    output: Output = None,
) -> None:
    """Show the decision table: for an infrastructure, architecture and objective, which method, command and paper.

    Example: tonnage catalog methods --architecture microservice --objective cost
    """
    from cli.output import emit_data
    from cli.plan import app as plans
    from renderers.methods import method_list
    from specs.base import plain
    from specs.methods import method_table

    commands = {command.callback.__name__ for command in plans.registered_commands if command.callback}
    asked = {"infrastructure": infrastructure, "architecture": architecture, "objective": objective}
    rows = [
        row
        for row in method_table()
        if row.command.split()[2] in commands
        and all(word is None or word.lower() in getattr(row, axis).lower() for axis, word in asked.items())
    ]
    emit_data([plain(row) for row in rows], lambda: method_list(rows), output=output)

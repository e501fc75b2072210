"""`tonnage catalog`: the devices and models that are known."""

from __future__ import annotations

from typing import Annotated

import typer

from cli.options import Output

app = typer.Typer(rich_markup_mode=None, add_completion=False, no_args_is_help=True)
Name = Annotated[str | None, typer.Argument(help="One entry in full; without it, the list.")]


@app.callback()
def catalog() -> None:
    """Show the devices and models that are known, each figure with its source."""


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

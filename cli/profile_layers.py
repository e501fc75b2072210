"""`tonnage profile layers`: one layer of a model, measured."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from cli.options import Force, Output, Quiet, Store, Write


def layers(
    model: Annotated[str, typer.Argument(help="Catalogue name, or path of a config.json; nothing is downloaded.")],
    device: Annotated[Literal["cuda", "cpu"], typer.Option(help="Where the layer runs.")] = "cuda",
    tp: Annotated[int, typer.Option(min=1, help="Measure one shard of so many.")] = 1,
    budget: Annotated[str, typer.Option(metavar="TIME", help="No block is begun afterwards.")] = "120s",
    store: Store = None,
    output: Output = None,
    write: Write = None,
    force: Force = False,
    quiet: Quiet = False,
) -> None:
    """Measure one layer of a model, its embedding, head and norm, with random weights on this device, by torch.

    A Deployment takes the profile by its `profile:`. With -w a run that was killed goes on where it was.

    Example: tonnage profile layers llama-3.1-8b --device cuda --tp 2 --budget 10m -w layers.yaml
    """
    from cli.output import emit, progress, refuse_overwrite
    from profilers.devices import refuse_absent
    from specs.catalog import find_model
    from specs.durations import seconds

    refuse_overwrite(write, force)
    budget_s, spec = seconds(budget, "--budget"), find_model(model)
    refuse_absent(device)  # before what takes long to import
    from cli.keeping import keeper
    from profilers.layers import profile_layers
    from renderers.layers import layers_table

    keep = keeper(store, quiet=quiet)
    with progress(quiet=quiet) as on_progress:
        found = profile_layers(
            spec, device=device, tp=tp, budget_s=budget_s, write=write, on_progress=on_progress,
            named=model, command=f"tonnage profile layers {model} --device {device} --tp {tp} --budget {budget}",
        )  # fmt: skip
    emit(found, lambda: layers_table(found), output=output, write=write, force=force, quiet=quiet)
    keep(found)

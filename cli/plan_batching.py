"""`tonnage plan batching`: bucket requests, order them, or leave them to continuous batching."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from cli.options import Force, Output, Quiet, Seed, Store, Write
from cli.outcomes import OUTCOME_CODES


def batching(
    workload: Annotated[Path, typer.Argument(help="A Workload document: model, arrivals, lengths, SLO.")],
    deployment: Annotated[
        Path, typer.Option("--deployment", envvar="TONNAGE_DEPLOYMENT", help="A Deployment document: what serves it.")
    ],
    method: Annotated[
        Literal["bucket", "slo-odbs", "fcfs", "all"], typer.Option(help="Which ways of batching are compared.")
    ] = "all",
    back_end: Annotated[
        Literal["ragged", "padded"],
        typer.Option(help="Whether a prefill pads its batch to the longest; vLLM, SGLang and TensorRT-LLM do not."),
    ] = "ragged",
    boundaries: Annotated[
        str,
        typer.Option(help="all, midpoint, quantile, optimal, online (algorithm 1), or upper bounds: 256,1024,4096."),
    ] = "all",
    buckets: Annotated[int, typer.Option(min=1, max=64, help="The most buckets that are tried.")] = 8,
    order: Annotated[
        Literal["fcfs", "sjf", "ljf", "edf"] | None,
        typer.Option(help="Order inside a bucket: first come, shortest, longest, earliest deadline; else all."),
    ] = None,
    kv: Annotated[
        Literal["paged", "smax"],
        typer.Option("--kv", help="KV of a batch: its blocks, or its size times the bucket's longest request."),
    ] = "paged",
    quantile: Annotated[
        float, typer.Option(min=0.5, max=0.999, help="Quantile of the predicted output for which memory is set aside.")
    ] = 0.9,
    margin: Annotated[int, typer.Option(min=0, help="Tokens set aside beyond that quantile.")] = 0,
    output: Output = None,
    write: Write = None,
    force: Force = False,
    quiet: Quiet = False,
    seed: Seed = 0,
    store: Store = None,
) -> None:
    """Say whether buckets, or an order by deadline and output, serve more than continuous batching.

    Example: tonnage plan batching workload.yaml --deployment deployment.yaml --back-end padded
    """
    from cli.output import emit, progress, refuse_overwrite
    from planners.batching import plan as plan_batching
    from planners.batching.question import Asked
    from renderers.batching import batching_table

    refuse_overwrite(write, force)
    asked = Asked(
        method=method, back_end=back_end, boundaries=boundaries, buckets=buckets, order=order, kv_form=kv,
        quantile=quantile, margin_tokens=margin, seed=seed,
    )  # fmt: skip
    with progress(quiet=quiet) as on_progress:
        decided = plan_batching(workload, deployment, asked=asked, store=store, on_progress=on_progress)
    emit(decided, lambda: batching_table(decided), output=output, write=write, force=force, quiet=quiet)
    raise typer.Exit(OUTCOME_CODES[decided.status.outcome])

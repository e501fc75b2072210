"""`tonnage profile engine`: a running engine, probed or known by what others measured of it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli.options import Force, Output, Quiet, Seed, Store, Write


def engine(
    url: Annotated[
        str | None, typer.Argument(help="Root of an OpenAI-compatible server, such as http://localhost:8000.")
    ] = None,
    results: Annotated[
        list[Path] | None,
        typer.Option(help="Fit a file of requests, of a benchmark tool, or of logged steps instead of probing."),
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="The model as Deployments name it; else as the server does.")
    ] = None,
    device: Annotated[str | None, typer.Option(help="The device as Deployments name it.")] = None,
    engine_name: Annotated[str | None, typer.Option("--engine", help="vllm, sglang, trtllm; else as it says.")] = None,
    engine_version: Annotated[str | None, typer.Option(help="Version of the engine; else as it says.")] = None,
    tp: Annotated[int, typer.Option(min=1, help="Tensor parallelism of the engine.")] = 1,
    pp: Annotated[int, typer.Option(min=1, help="Pipeline parallelism of the engine.")] = 1,
    max_num_batched_tokens: Annotated[
        int | None, typer.Option(min=1, help="The engine's token budget of a step, which it does not tell.")
    ] = None,
    kv_cache_tokens: Annotated[
        int | None, typer.Option(min=1, help="Tokens in the KV cache: turns logged use into context.")
    ] = None,
    served_model: Annotated[str | None, typer.Option(help="Which of several served models to ask.")] = None,
    prompt_tokens: Annotated[int, typer.Option(min=1, help="Mean prompt of the concurrency steps.")] = 256,
    output_tokens: Annotated[int, typer.Option(min=2, help="Mean output of the concurrency steps.")] = 64,
    longest_prompt: Annotated[int, typer.Option(min=32, help="Longest prompt of the single streams.")] = 2048,
    max_requests: Annotated[int, typer.Option(min=12, help="The most requests that are sent.")] = 400,
    max_seconds: Annotated[float, typer.Option(min=1, help="Time after which none is begun or waited for.")] = 300,
    store: Store = None,
    output: Output = None,
    write: Write = None,
    force: Force = False,
    quiet: Quiet = False,
    seed: Seed = 0,
) -> None:
    """Probe a running engine and fit the length of its steps, so that `predict` and `check` can rest on it.

    Single streams, then ever more requests in flight up to the knee. A key goes into TONNAGE_API_KEY; it is neither
    shown nor stored. The profile goes into the store.

    Example: tonnage profile engine http://localhost:8000 --model llama-3.1-8b --device h100-sxm -w engine.yaml
    """
    import os

    from cli.keeping import keeper
    from cli.output import emit, progress, refuse_overwrite
    from profilers.engine import Asked, Labels, profile_endpoint, profile_results, reach_endpoint
    from renderers.engine import engine_table
    from specs.deployment import Parallel
    from specs.errors import InputError

    refuse_overwrite(write, force)
    if (url is None) == (not results):
        raise InputError("profile engine takes a URL or --results, one of them", cure="Give one.")
    key = os.environ.get("TONNAGE_API_KEY") or None
    if url is not None:
        reach_endpoint(url, key=key, served=served_model)  # before the store is opened, which takes longer
    keep = keeper(store, quiet=quiet)
    labels = Labels(
        model=model, device=device, engine=engine_name, engine_version=engine_version, parallel=Parallel(tp=tp, pp=pp),
        max_num_batched_tokens=max_num_batched_tokens, kv_cache_tokens=kv_cache_tokens,
    )  # fmt: skip
    asked = Asked(
        max_requests=max_requests, max_seconds=max_seconds, prompt_tokens=prompt_tokens, output_tokens=output_tokens,
        longest_prompt=longest_prompt, seed=seed,
    )  # fmt: skip
    with progress(quiet=quiet) as on_progress:
        if url is not None:
            found = profile_endpoint(url, asked, labels, key=key, served=served_model, on_progress=on_progress)
        else:
            found = profile_results(results or [], labels, on_progress)
    emit(found, lambda: engine_table(found), output=output, write=write, force=force, quiet=quiet)
    keep(found)

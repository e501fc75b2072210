"""What a workload asks: its statistics, and the requests that the simulator serves."""

from __future__ import annotations

from typing import Any

import numpy as np

from predictors.serving import ClosedLoop, Requests
from predictors.serving.arrivals import (
    MOST_REQUESTS,
    Sampler,
    constant_lengths,
    gamma_arrivals,
    histogram_lengths,
    lognormal_lengths,
    series_arrivals,
    synthesize,
    uniform_lengths,
)
from specs.errors import InputError
from specs.trace import Client, FloatArray, Histogram, IntArray, Load, Trace
from specs.workload import (
    ClientArrivals,
    ClosedArrivals,
    DrawnLengths,
    HitRatio,
    Lengths,
    RateArrivals,
    RequestClass,
    SeriesArrivals,
    TraceArrivals,
    TraceLengths,
    TracePrefixes,
    WorkloadSpec,
)

WINDOW_S = 60.0
"""Window of the peak-to-mean ratio and of the index of dispersion; a tenth of the trace where that is shorter."""
SESSION_BLOCK_TOKENS = 64
"""Prefix block used where sessions are known and hashes are not; a session's prompts extend one another."""
Drawn = tuple[FloatArray, IntArray, IntArray]


def requests_of(
    workload: WorkloadSpec,
    load: Load,
    *,
    seed: int = 0,
    load_scale: float = 1.0,
    prompt_scale: float = 1.0,
    output_scale: float = 1.0,
) -> Requests:
    """Return the requests of ``workload`` (its files already read into ``load``), in order of arrival.

    ``load_scale`` k divides every time between arrivals by k, so bursts keep their shape. ``prompt_scale`` and
    ``output_scale`` multiply lengths, rounded, at least one token. ``class_index`` numbers ``workload.classes``;
    requests of no class get ``len(workload.classes)``. Same arguments, same requests. Raises `InputError`.
    """
    arrival_s, prompt, output = _drawn(workload, load, seed, load_scale)
    lengths = workload.lengths
    if isinstance(lengths, TraceLengths):
        prompt_scale, output_scale = prompt_scale * lengths.prompt_scale, output_scale * lengths.output_scale
    prompt, output = _scaled(prompt, prompt_scale), _scaled(output, output_scale)
    return Requests(
        arrival_s=arrival_s, prompt_tokens=prompt, output_tokens=output,
        class_index=_classes(workload, load.trace, prompt, seed),
        **_prefixes(workload, load.trace, prompt, prompt_scale),
    )  # fmt: skip


def closed_loop_of(workload: WorkloadSpec) -> ClosedLoop | None:
    """Return the fixed concurrency of ``workload``, or None where its arrivals are open."""
    arrivals = workload.arrivals
    if not isinstance(arrivals, ClosedArrivals):
        return None
    return ClosedLoop(
        concurrency=arrivals.concurrency,
        start_spread_s=arrivals.start_spread_s,
        client_delay_s=arrivals.client_delay_s,
    )


def check_lengths(requests: Requests, limit_tokens: int, *, limit: str) -> None:
    """Raise `InputError` naming the first request that is longer than ``limit_tokens``; ``limit`` says whose it is."""
    total = requests.prompt_tokens + requests.output_tokens
    long = total > limit_tokens
    if not long.any():
        return
    row = int(np.argmax(long))
    raise InputError(
        f"request {row + 1} has {requests.prompt_tokens[row]} prompt and {requests.output_tokens[row]} output tokens, "
        f"together more than {limit} of {limit_tokens}; {int(long.sum())} of {len(total)} requests are too long",
        cure="Remove them from the trace, scale lengths down, or choose a model with a longer context.",
    )


def statistics(requests: Trace | Requests) -> dict[str, float]:
    """Return rate, burstiness, length quantiles and prefix sharing of requests.

    `peak_to_mean` and `index_of_dispersion` (variance over mean of counts; 1 for Poisson) use windows of `window_s`.
    `interarrival_cv` is 1 for Poisson. `prefix_hit_ratio` is the share of prompt tokens that an unlimited cache would
    have held; absent where nothing is known of prefixes. Times in seconds, rates per second, lengths in tokens. [std]
    """
    gaps = np.diff(requests.arrival_s)
    span_s = float(requests.arrival_s[-1] - requests.arrival_s[0])
    figures: dict[str, float] = {"requests": float(len(requests)), "duration_s": span_s}
    if span_s > 0:
        figures["rate_per_s"] = float(len(gaps) / span_s)
        figures["interarrival_cv"] = float(gaps.std() / gaps.mean())
        figures |= _burstiness(requests.arrival_s, span_s)
    figures |= _quantiles("prompt_tokens", requests.prompt_tokens) | _quantiles("output_tokens", requests.output_tokens)
    hits = hit_tokens(requests)
    if hits is not None:
        figures["prefix_hit_ratio"] = float(hits.sum() / requests.prompt_tokens.sum())
    return figures


def hit_tokens(requests: Trace | Requests) -> IntArray | None:
    """Prompt tokens of each request that earlier requests had in their leading blocks; None without hashes. [std]"""
    starts, ids, block = _csr(requests)
    if starts is None or ids is None:
        return None
    lengths = np.diff(starts)
    row = np.repeat(np.arange(len(lengths)), lengths)
    _, first, inverse = np.unique(ids, return_index=True, return_inverse=True)
    unseen = row[first][inverse] >= row
    position = np.arange(len(ids)) - np.repeat(starts[:-1], lengths)
    leading = lengths.copy()
    np.minimum.at(leading, row[unseen], position[unseen])
    hits: IntArray = np.minimum(leading * block, requests.prompt_tokens)
    return hits


def _csr(requests: Trace | Requests) -> tuple[IntArray | None, IntArray | None, int]:
    if isinstance(requests, Trace):
        return requests.hash_offsets, requests.hash_ids, requests.block_tokens or 1
    return requests.prefix_start, requests.prefix_id, requests.prefix_block_tokens


def _burstiness(arrival_s: FloatArray, span_s: float) -> dict[str, float]:
    window_s = min(WINDOW_S, span_s / 10)
    windows = int(span_s / window_s + 1e-9)
    counts = np.bincount(((arrival_s - arrival_s[0]) / window_s).astype(np.int64), minlength=windows)[:windows]
    return {
        "window_s": window_s,
        "peak_to_mean": float(counts.max() / counts.mean()),
        "index_of_dispersion": float(counts.var() / counts.mean()),
    }


def _quantiles(name: str, values: IntArray) -> dict[str, float]:
    found = np.quantile(values, (0.5, 0.9, 0.99))
    figures = {f"{name}_mean": float(values.mean())}
    return figures | {f"{name}_p{q}": float(v) for q, v in zip((50, 90, 99), found, strict=True)}


def _drawn(workload: WorkloadSpec, load: Load, seed: int, load_scale: float) -> Drawn:
    arrivals = workload.arrivals
    if isinstance(arrivals, ClientArrivals):
        return _from_clients(arrivals, load, seed, load_scale)
    root = _seed(seed, 0 if isinstance(arrivals, TraceArrivals) else arrivals.seed)
    times = _times(arrivals, load, root, load_scale)
    lengths = workload.lengths
    if isinstance(lengths, DrawnLengths):
        samplers = (_sampler(lengths.prompt_tokens, load.prompt), _sampler(lengths.output_tokens, load.output))
        drawn = synthesize(times, *samplers, seed=root)
        return times, drawn.prompt_tokens, drawn.output_tokens
    assert load.trace is not None, "lengths from a trace are only valid with a trace"
    return times, load.trace.prompt_tokens, load.trace.output_tokens


def _seed(*parts: int) -> int:
    return int(np.random.SeedSequence(parts).generate_state(1)[0])


def _times(
    arrivals: TraceArrivals | RateArrivals | SeriesArrivals | ClosedArrivals, load: Load, seed: int, scale: float
) -> FloatArray:
    if isinstance(arrivals, ClosedArrivals):
        if arrivals.prompts > MOST_REQUESTS:
            raise InputError(f"{arrivals.prompts:,} prompts are more than {MOST_REQUESTS:,}", cure="Ask for fewer.")
        return np.zeros(arrivals.prompts)
    if isinstance(arrivals, TraceArrivals):
        assert load.trace is not None, "the load was read from another workload"
        return load.trace.arrival_s / (arrivals.scale * scale)
    if isinstance(arrivals, RateArrivals):
        rate = arrivals.rate_per_s
        times = gamma_arrivals(rate, cv=arrivals.cv, duration_s=arrivals.duration_s, seed=seed)
    else:
        assert load.series is not None, "the load was read from another workload"
        series = load.series
        times = series_arrivals(series.t_s, series.rate_per_s * arrivals.scale, cv=arrivals.cv, seed=seed)
    if len(times) == 0:
        raise InputError("the arrivals hold no request", cure="Raise duration_s or the rate.")
    return times / scale


def _from_clients(arrivals: ClientArrivals, load: Load, seed: int, load_scale: float) -> Drawn:
    parts = [
        _from_client(client, arrivals.scale, _seed(seed, arrivals.seed, n)) for n, client in enumerate(load.clients)
    ]
    times, prompt, output = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    if len(times) == 0:
        raise InputError("the clients send no request in this span", cure="Choose another start_s, or raise scale.")
    order = np.argsort(times, kind="stable")
    return (times[order] - times[order[0]]) / load_scale, prompt[order], output[order]


def _from_client(client: Client, scale: float, seed: int) -> Drawn:
    rate = client.rate_per_s * scale
    if rate == 0:
        return np.empty(0), np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64)
    times = gamma_arrivals(rate, cv=client.cv, duration_s=client.duration_s, seed=seed)
    samplers = (histogram_lengths(part.tokens, part.weight) for part in (client.prompt, client.output))
    drawn = synthesize(times, *samplers, seed=seed)
    return client.start_s + times, drawn.prompt_tokens, drawn.output_tokens


def _sampler(lengths: Lengths, histogram: Histogram | None) -> Sampler:
    if lengths.constant is not None:
        return constant_lengths(lengths.constant)
    if lengths.uniform is not None:
        return uniform_lengths(*lengths.uniform)
    if lengths.lognormal is not None:
        return lognormal_lengths(lengths.lognormal.mean, lengths.lognormal.p99)
    assert histogram is not None, "a histogram is read with the load"
    return histogram_lengths(histogram.tokens, histogram.weight)


def _scaled(tokens: IntArray, scale: float) -> IntArray:
    return tokens if scale == 1.0 else np.maximum(np.rint(tokens * scale), 1).astype(np.int64)


def _classes(workload: WorkloadSpec, trace: Trace | None, prompt: IntArray, seed: int) -> IntArray | None:
    if not workload.classes:
        return None
    if trace is not None and trace.class_index is not None:
        return _named_classes(workload.classes, trace)
    index = np.full(len(prompt), len(workload.classes), dtype=np.int64)
    free = np.random.default_rng([seed, 1]).random(len(prompt))
    upto = np.cumsum([known.share or 0.0 for known in workload.classes])
    for number in reversed(range(len(workload.classes))):
        known = workload.classes[number]
        chosen = prompt >= known.prompt_tokens_at_least
        if known.prompt_tokens_below is not None:
            chosen &= prompt < known.prompt_tokens_below
        if known.share is not None:
            chosen &= (free < upto[number]) & (free >= upto[number] - known.share)
        index[chosen] = number
    return index


def _named_classes(classes: tuple[RequestClass, ...], trace: Trace) -> IntArray:
    assert trace.class_index is not None, "called for traces with a class column"
    names = [known.name for known in classes]
    number = [names.index(name) if name in names else len(names) for name in trace.class_names]
    if all(n == len(names) for n in number):
        raise InputError(
            f"{trace.name}: its classes are {', '.join(trace.class_names)}, the workload's {', '.join(names)}",
            cure="Name the workload's classes as the trace does.",
        )
    return np.asarray(number, dtype=np.int64)[trace.class_index]


def _prefixes(workload: WorkloadSpec, trace: Trace | None, prompt: IntArray, scale: float) -> dict[str, Any]:
    sharing = workload.prefix_sharing
    if isinstance(sharing, HitRatio):
        return {"hit_tokens": np.minimum((prompt * sharing.hit_ratio).astype(np.int64), prompt - 1)}
    if not isinstance(sharing, TracePrefixes):
        return {}
    if trace is not None and trace.hash_ids is not None and trace.hash_offsets is not None:
        _, ids = np.unique(trace.hash_ids, return_inverse=True)
        block = max(1, round((trace.block_tokens or 1) * scale))
        return {"prefix_start": trace.hash_offsets, "prefix_id": ids, "prefix_block_tokens": block}
    if trace is not None and trace.session is not None:
        return _session_blocks(trace.session, prompt)
    raise InputError(
        "prefix_sharing: {from: trace} needs a trace with hash_ids or session",
        cure="Add such a column, or write `prefix_sharing: none` or `{hit_ratio: 0.4}`.",
    )


def _session_blocks(session: IntArray, prompt: IntArray) -> dict[str, Any]:
    lengths = prompt // SESSION_BLOCK_TOKENS
    starts = np.concatenate([[0], np.cumsum(lengths)])
    position = np.arange(starts[-1]) - np.repeat(starts[:-1], lengths)
    longest = np.zeros(int(session.max()) + 1, dtype=np.int64)
    np.maximum.at(longest, session, lengths)
    first = np.concatenate([[0], np.cumsum(longest)[:-1]])
    ids = np.repeat(first[session], lengths) + position
    return {"prefix_start": starts, "prefix_id": ids, "prefix_block_tokens": SESSION_BLOCK_TOKENS}

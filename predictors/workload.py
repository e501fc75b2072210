"""What a workload asks: its statistics, and the requests that the simulator serves."""

from __future__ import annotations

from typing import Any

import numpy as np

from predictors.serving.engine import ClosedLoop, Requests
from solvers.arrivals import gamma_times, rate_times
from specs.errors import InputError
from specs.trace import FloatArray, Histogram, IntArray, Load, Trace
from specs.workload import (
    ClientArrivals,
    ClosedArrivals,
    DrawnLengths,
    HitRatio,
    Lengths,
    LogNormal,
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
NORMAL_P99 = 2.3263478740408408  # quantile of the standard normal [std]
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
    rng = np.random.default_rng([seed, 0 if isinstance(arrivals, TraceArrivals) else arrivals.seed])
    times = _times(arrivals, load, rng, load_scale)
    if isinstance(workload.lengths, DrawnLengths):
        prompt = _lengths(workload.lengths.prompt_tokens, load.prompt, len(times), rng)
        return times, prompt, _lengths(workload.lengths.output_tokens, load.output, len(times), rng)
    assert load.trace is not None, "lengths from a trace are only valid with a trace"
    return times, load.trace.prompt_tokens, load.trace.output_tokens


def _times(
    arrivals: TraceArrivals | RateArrivals | SeriesArrivals | ClosedArrivals,
    load: Load,
    rng: np.random.Generator,
    scale: float,
) -> FloatArray:
    if isinstance(arrivals, ClosedArrivals):
        return np.zeros(arrivals.prompts)
    if isinstance(arrivals, TraceArrivals):
        assert load.trace is not None, "the load was read from another workload"
        return load.trace.arrival_s / (arrivals.scale * scale)
    if isinstance(arrivals, RateArrivals):
        times = gamma_times(arrivals.rate_per_s * arrivals.duration_s, arrivals.cv, rng) / arrivals.rate_per_s
    else:
        assert load.series is not None, "the load was read from another workload"
        rate = load.series.rate_per_s * arrivals.scale
        times = rate_times(load.series.t_s, rate, arrivals.cv, rng)
    if len(times) == 0:
        raise InputError("the arrivals hold no request", cure="Raise duration_s or the rate.")
    return times / scale


def _from_clients(arrivals: ClientArrivals, load: Load, seed: int, load_scale: float) -> Drawn:
    rng = np.random.default_rng([seed, arrivals.seed])
    parts: list[Drawn] = []
    for client in load.clients:
        rate = client.rate_per_s * arrivals.scale
        times = gamma_times(rate * client.duration_s, client.cv, rng) / rate if rate > 0 else np.empty(0)
        lengths = (_pick(client.prompt, len(times), rng), _pick(client.output, len(times), rng))
        parts.append((client.start_s + times, *lengths))
    times, prompt, output = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    if len(times) == 0:
        raise InputError("the clients send no request in this span", cure="Choose another start_s, or raise scale.")
    order = np.argsort(times, kind="stable")
    return (times[order] - times[order[0]]) / load_scale, prompt[order], output[order]


def _lengths(lengths: Lengths, histogram: Histogram | None, count: int, rng: np.random.Generator) -> IntArray:
    if lengths.constant is not None:
        return np.full(count, lengths.constant, dtype=np.int64)
    if lengths.uniform is not None:
        return rng.integers(lengths.uniform[0], lengths.uniform[1], count, endpoint=True)
    if lengths.lognormal is not None:
        mu, sigma = lognormal_parameters(lengths.lognormal)
        return _scaled(np.asarray(rng.lognormal(mu, sigma, count)), 1.0)
    assert histogram is not None, "a histogram is read with the load"
    return _pick(histogram, count, rng)


def lognormal_parameters(lengths: LogNormal) -> tuple[float, float]:
    """Return (mu, sigma) of the log-normal with this mean and 99th percentile. [std]

    ln(p99 / mean) = z·sigma − sigma²/2, of which the smaller root is taken; `InputError` where there is none.
    """
    ratio = float(np.log(lengths.p99 / lengths.mean))
    if not 0 < ratio <= NORMAL_P99**2 / 2:
        raise InputError(
            f"lognormal: p99 {lengths.p99:g} is {lengths.p99 / lengths.mean:.3g} times the mean; between 1 and "
            f"{np.exp(NORMAL_P99**2 / 2):.4g} times is possible",
            cure="Give the lengths as a histogram.",
        )
    sigma = NORMAL_P99 - float(np.sqrt(NORMAL_P99**2 - 2 * ratio))
    return float(np.log(lengths.mean) - sigma**2 / 2), sigma


def _pick(histogram: Histogram, count: int, rng: np.random.Generator) -> IntArray:
    shares = np.cumsum(histogram.weight)
    picked: IntArray = histogram.tokens[np.searchsorted(shares, rng.random(count) * shares[-1], side="right")]
    return picked


def _scaled(tokens: FloatArray | IntArray, scale: float) -> IntArray:
    if scale == 1.0 and tokens.dtype == np.int64:
        return tokens.astype(np.int64, copy=False)
    return np.maximum(np.rint(tokens * scale), 1).astype(np.int64)


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

"""The peer of `engine-speed`: continuous batching as one bare loop, with nothing that a planner needs beyond it."""

from __future__ import annotations

import numba
import numpy as np

from predictors.serving import StepSurface


@numba.njit(error_model="numpy")
def grid_value(rows, columns, table, x, y):  # type: ignore[no-untyped-def]
    """Bilinear value of a table on ascending grids."""
    i = max(0, min(len(rows) - 2, np.searchsorted(rows, x, side="right") - 1))
    j = max(0, min(len(columns) - 2, np.searchsorted(columns, y, side="right") - 1))
    u = (x - rows[i]) / (rows[i + 1] - rows[i])
    v = (y - columns[j]) / (columns[j + 1] - columns[j])
    low = table[i, j] + v * (table[i, j + 1] - table[i, j])
    return low + u * (table[i + 1, j] + v * (table[i + 1, j + 1] - table[i + 1, j]) - low)


@numba.njit(error_model="numpy")
def bare_loop(arrival, prompt, output, surface: StepSurface, max_seqs, max_tokens, blocks, block):  # type: ignore[no-untyped-def]
    """First-come first-served, chunked prefill, KV in blocks, preemption of the youngest; (TTFT, end-to-end) times."""
    n = len(arrival)
    first, finish = np.zeros(n), np.zeros(n)
    computed, emitted, target = np.zeros(n, np.int64), np.zeros(n, np.int64), prompt.copy()
    running, stack, chunks = np.empty(max_seqs, np.int64), np.empty(n, np.int64), np.zeros(max_seqs, np.int64)
    count, head, stacked, free, now, done = 0, 0, 0, blocks, 0.0, 0
    while done < n:
        if count == 0 and stacked == 0 and arrival[head] > now:
            now = arrival[head]
        tokens, decodes, context, emitting, attention = 0, 0, 0, 0, 0.0
        k = 0
        while k < count:
            s = running[k]
            new = 1 if computed[s] >= target[s] else min(target[s] - computed[s], max_tokens - tokens)
            more = (computed[s] + new + block - 1) // block - (computed[s] + block - 1) // block
            while more > free and count > k:
                count -= 1
                victim = running[count]
                free += (computed[victim] + block - 1) // block
                computed[victim], target[victim] = 0, prompt[victim] + emitted[victim]
                stack[stacked] = victim
                stacked += 1
            if k >= count:
                break
            free -= more
            chunks[k] = new
            tokens += new
            if computed[s] >= target[s]:
                decodes += 1
                context += computed[s] + 1
            k += 1
        while count < max_seqs and tokens < max_tokens and (stacked > 0 or (head < n and arrival[head] <= now)):
            s = stack[stacked - 1] if stacked > 0 else head
            new = min(target[s], max_tokens - tokens)
            if (new + block - 1) // block > free:
                break
            if stacked > 0:
                stacked -= 1
            else:
                head += 1
            free -= (new + block - 1) // block
            running[count], chunks[count] = s, new
            count += 1
            tokens += new
        for k in range(count):
            s = running[k]
            if computed[s] < target[s]:
                attention += grid_value(surface.prefill_chunk_grid, surface.prefill_context_grid,
                                        surface.prefill_attention_s, chunks[k], computed[s])  # fmt: skip
                emitting += computed[s] + chunks[k] == target[s]
        if decodes > 0:
            attention += grid_value(surface.decode_batch_grid, surface.decode_context_grid,
                                    surface.decode_attention_s, decodes, context / decodes)  # fmt: skip
        gpu = attention + surface.tokens_s[tokens] + surface.sequences_s[decodes + emitting]
        now += gpu + surface.host_s[count]
        kept = 0
        for k in range(count):
            s = running[k]
            computed[s] += chunks[k]
            if computed[s] >= target[s]:
                emitted[s] += 1
                if emitted[s] == 1:
                    first[s] = now - arrival[s]
                if emitted[s] == output[s]:
                    finish[s] = now - arrival[s]
                    free += (computed[s] + block - 1) // block
                    done += 1
                    continue
            running[kept] = s
            kept += 1
        count = kept
    return first, finish

"""KV blocks of a replica: taking and giving them, and the prefix cache with its eviction order."""

from __future__ import annotations

from predictors.serving.compiled import inner
from predictors.serving.state import NONE, World


@inner
def blocks_for(w: World, role: int, tokens: int) -> int:
    """Blocks that hold so many tokens and the draft tokens to come."""
    limits = w.limits[role]
    return (tokens + limits.draft + limits.block - 1) // limits.block


@inner
def take_blocks(w: World, r: int, count: int) -> None:
    """Take free blocks, evicting the oldest unused prefix blocks where needed; the caller knows that they suffice."""
    rep = w.replicas[r]
    while rep.free < count:
        _evict_oldest(w, r)
    rep.free -= count
    used = rep.total - rep.free - rep.evictable
    if used > rep.kv_max:
        rep.kv_max = used


@inner
def release(w: World, s: int, tokens: int) -> None:
    """Give back all blocks of request s, which holds so many tokens; its prefix blocks stay cached.

    The last prefix block becomes the first to be evicted, as in vLLM: the start of a prompt is shared most.
    """
    seq = w.sequences[s]
    rep = w.replicas[seq.replica]
    hash_blocks = w.limits[rep.role].hash_blocks
    rep.free += blocks_for(w, rep.role, tokens) - seq.shared * hash_blocks
    while seq.shared > 0:
        seq.shared -= 1
        _let_go(w, seq.replica, w.hash_id[w.hash_start[s] + seq.shared])


@inner
def matching_prefix(w: World, r: int, s: int) -> int:
    """How many leading prefix blocks of request s are held by replica r; never the whole prompt."""
    seq = w.sequences[s]
    most = min(full_prefix_blocks(w, s), (seq.prompt - 1) // w.limits[w.replicas[r].role].hash_tokens)
    base, start, count = r * distinct(w), w.hash_start[s], 0
    while count < most and w.cached[base + w.hash_id[start + count]].resident == 1:
        count += 1
    return count


@inner
def distinct(w: World) -> int:
    """Number of distinct prefix blocks in the trace."""
    return len(w.cached) // len(w.replicas)


@inner
def full_prefix_blocks(w: World, s: int) -> int:
    """Prefix blocks of request s that its prompt fills."""
    seq = w.sequences[s]
    role = w.replicas[seq.replica].role if seq.replica >= 0 else 0
    return min(w.hash_start[s + 1] - w.hash_start[s], seq.prompt // w.limits[role].hash_tokens)


@inner
def unused_among(w: World, r: int, s: int, count: int) -> int:
    """How many of the first ``count`` prefix blocks of request s wait for eviction on replica r."""
    base, start, unused = r * distinct(w), w.hash_start[s], 0
    for j in range(count):
        if w.cached[base + w.hash_id[start + j]].users == 0:
            unused += 1
    return unused


@inner
def share_prefix(w: World, r: int, s: int, count: int) -> None:
    """Let request s use the first ``count`` prefix blocks, all held by replica r."""
    for j in range(count):
        _hold(w, r, w.hash_id[w.hash_start[s] + j])
    w.sequences[s].shared = count


@inner
def publish_prefix(w: World, s: int) -> None:
    """Make the prefix blocks that request s has computed available to others.

    A block that another request published meanwhile is used in place of the own copy.
    """
    seq = w.sequences[s]
    r = seq.replica
    rep = w.replicas[r]
    limits = w.limits[rep.role]
    full = full_prefix_blocks(w, s)
    while seq.shared < full and (seq.shared + 1) * limits.hash_tokens <= seq.computed:
        h = w.hash_id[w.hash_start[s] + seq.shared]
        block = w.cached[r * distinct(w) + h]
        if block.resident == 1:
            _hold(w, r, h)
            rep.free += limits.hash_blocks
        else:
            block.resident, block.users = 1, 1
        seq.shared += 1


@inner
def _hold(w: World, r: int, h: int) -> None:
    base = r * distinct(w)
    block = w.cached[base + h]
    if block.users == 0:
        _unlink(w, r, h)
        rep = w.replicas[r]
        rep.evictable -= w.limits[rep.role].hash_blocks
    block.users += 1


@inner
def _let_go(w: World, r: int, h: int) -> None:
    rep = w.replicas[r]
    base = r * distinct(w)
    block = w.cached[base + h]
    block.users -= 1
    if block.users > 0:
        return
    block.prev, block.next = rep.lru_tail, NONE
    if rep.lru_tail == NONE:
        rep.lru_head = h
    else:
        w.cached[base + rep.lru_tail].next = h
    rep.lru_tail = h
    rep.evictable += w.limits[rep.role].hash_blocks


@inner
def _unlink(w: World, r: int, h: int) -> None:
    rep = w.replicas[r]
    base = r * distinct(w)
    block = w.cached[base + h]
    if block.prev == NONE:
        rep.lru_head = block.next
    else:
        w.cached[base + block.prev].next = block.next
    if block.next == NONE:
        rep.lru_tail = block.prev
    else:
        w.cached[base + block.next].prev = block.prev


@inner
def _evict_oldest(w: World, r: int) -> None:
    rep = w.replicas[r]
    h = rep.lru_head
    hash_blocks = w.limits[rep.role].hash_blocks
    _unlink(w, r, h)
    w.cached[r * distinct(w) + h].resident = 0
    rep.evictable -= hash_blocks
    rep.free += hash_blocks
    rep.evictions += 1

"""KV blocks of a replica: taking and giving them, and the prefix cache with its eviction order."""

from __future__ import annotations

from predictors.serving.compiled import inner
from predictors.serving.state import NONE, IntArray, Record, Records


@inner
def blocks_for(rep: Record, tokens: int) -> int:
    """Blocks that hold so many tokens and the draft tokens to come."""
    return int((tokens + rep.draft + rep.block - 1) // rep.block)


@inner
def take_blocks(cached: Records, rep: Record, count: int) -> None:
    """Take free blocks, evicting the oldest unused prefix blocks where needed; the caller knows that they suffice."""
    while rep.free < count:
        _evict_oldest(cached, rep)
    rep.free -= count
    rep.kv_max = max(rep.kv_max, rep.total - rep.free - rep.evictable)


@inner
def release(cached: Records, numbers: IntArray, rep: Record, seq: Record, tokens: int) -> None:
    """Give back all blocks of a request that holds so many tokens; its prefix blocks stay cached.

    The last prefix block becomes the first to be evicted, as in vLLM: the start of a prompt is shared most.
    """
    rep.free += blocks_for(rep, tokens) - seq.shared * rep.hash_blocks
    while seq.shared > 0:
        seq.shared -= 1
        _let_go(cached, rep, numbers[seq.hash_at + seq.shared])


@inner
def matching_prefix(cached: Records, numbers: IntArray, rep: Record, seq: Record) -> int:
    """How many leading prefix blocks of a request the replica holds; never the whole prompt."""
    most = min(seq.hash_count, (seq.prompt - 1) // rep.hash_tokens)
    count = 0
    while count < most and cached[rep.cached_at + numbers[seq.hash_at + count]].resident == 1:
        count += 1
    return count


@inner
def unused_among(cached: Records, numbers: IntArray, rep: Record, seq: Record, count: int) -> int:
    """How many of the first ``count`` prefix blocks of a request wait for eviction on the replica."""
    unused = 0
    for j in range(count):
        if cached[rep.cached_at + numbers[seq.hash_at + j]].users == 0:
            unused += 1
    return unused


@inner
def share_prefix(cached: Records, numbers: IntArray, rep: Record, seq: Record, count: int) -> None:
    """Let a request use its first ``count`` prefix blocks, all held by the replica."""
    for j in range(count):
        _hold(cached, rep, numbers[seq.hash_at + j])
    seq.shared = count


@inner
def publish_prefix(cached: Records, numbers: IntArray, rep: Record, seq: Record) -> None:
    """Make the full prefix blocks that a request has computed available to others.

    A block that another request published meanwhile is used in place of the own copy.
    """
    full = min(seq.hash_count, min(seq.prompt, seq.computed) // rep.hash_tokens)
    while seq.shared < full:
        h = numbers[seq.hash_at + seq.shared]
        block = cached[rep.cached_at + h]
        if block.resident == 1:
            _hold(cached, rep, h)
            rep.free += rep.hash_blocks
        else:
            block.resident, block.users = 1, 1
        seq.shared += 1


@inner
def _hold(cached: Records, rep: Record, h: int) -> None:
    block = cached[rep.cached_at + h]
    if block.users == 0:
        _unlink(cached, rep, h)
        rep.evictable -= rep.hash_blocks
    block.users += 1


@inner
def _let_go(cached: Records, rep: Record, h: int) -> None:
    block = cached[rep.cached_at + h]
    block.users -= 1
    if block.users > 0:
        return
    block.prev, block.next = rep.lru_tail, NONE
    if rep.lru_tail == NONE:
        rep.lru_head = h
    else:
        cached[rep.cached_at + rep.lru_tail].next = h
    rep.lru_tail = h
    rep.evictable += rep.hash_blocks


@inner
def _unlink(cached: Records, rep: Record, h: int) -> None:
    block = cached[rep.cached_at + h]
    if block.prev == NONE:
        rep.lru_head = block.next
    else:
        cached[rep.cached_at + block.prev].next = block.next
    if block.next == NONE:
        rep.lru_tail = block.prev
    else:
        cached[rep.cached_at + block.next].prev = block.prev


@inner
def _evict_oldest(cached: Records, rep: Record) -> None:
    h = rep.lru_head
    _unlink(cached, rep, h)
    cached[rep.cached_at + h].resident = 0
    rep.evictable -= rep.hash_blocks
    rep.free += rep.hash_blocks
    rep.evictions += 1

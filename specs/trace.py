"""A trace: when each request arrived and how long it was, as flat arrays."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Trace:
    """Requests in order of arrival; every array has one entry per request unless said otherwise.

    ``arrival_s`` counts from the first request. ``session`` and ``class_index`` number the distinct values of their
    columns from 0 (``class_names`` lists the classes). ``hash_ids[hash_offsets[i]:hash_offsets[i + 1]]`` are the
    prefix blocks of request i, each of ``block_tokens`` prompt tokens; two requests share a prefix as far as their
    blocks agree. ``form`` says which columns were recognised, ``notes`` what the reader changed.
    """

    name: str
    sha256: str
    form: str
    arrival_s: FloatArray
    prompt_tokens: IntArray
    output_tokens: IntArray
    session: IntArray | None = None
    class_index: IntArray | None = None
    class_names: tuple[str, ...] = ()
    hash_offsets: IntArray | None = None
    hash_ids: IntArray | None = None
    block_tokens: int | None = None
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        """Number of requests."""
        return len(self.arrival_s)

"""Measured contention in memory: one row per container and window, as it comes from tables or CPI profiles."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt

from specs.trace import FloatArray, IntArray

SlowdownQuantity = Literal["cpi", "slowdown", "latency_s", "cpu_delay", "cpu_stall"]
INTENSITIES = ("cpu_cores", "llc_misses_per_s", "memory_gb_per_s")
"""What a container puts on the machine; of its neighbours' sum the column is called `other_…`."""
TextArray = npt.NDArray[np.str_]


@dataclass(frozen=True, kw_only=True)
class ContentionRows:
    """N rows in order of time; every array has N entries.

    ``value`` is the ``quantity`` that interference raises: cycles per instruction; a slowdown (1 alone); a latency in
    seconds; and where no counters exist `cpu_delay`, (CPU time + time waiting for a CPU) / CPU time, or `cpu_stall`,
    1 / (1 - PSI). ``own`` are the intensities of the container itself, ``others`` the sums over its neighbours, each
    keyed by INTENSITIES; ``load`` its own load, ``node_figures`` numbers of the node. ``node`` and ``window`` number
    machines and windows, −1 where unknown. ``signs`` are what tells the resource: `llc_mpki`, `stalled_share`,
    `throttled_share`, `steal_share`, `cpu_pressure`; NaN where a row has none. ``beside``: the CPU of the neighbours on
    the same CPUs by their application, where it is not that of all other rows of the node and window.
    """

    quantity: SlowdownQuantity
    app: TextArray
    node_type: TextArray
    value: FloatArray
    own: dict[str, FloatArray]
    others: dict[str, FloatArray]
    beside: dict[str, FloatArray] | None = None
    load: FloatArray | None = None
    node_figures: dict[str, FloatArray] = field(default_factory=dict)
    node: IntArray
    window: IntArray
    node_names: tuple[str, ...] = ()
    window_names: tuple[str, ...] = ()
    qos: TextArray | None = None
    signs: dict[str, FloatArray] = field(default_factory=dict)
    inputs: dict[str, str] = field(default_factory=dict)  # name → sha256 or id
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        """Number of rows."""
        return len(self.value)

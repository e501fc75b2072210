"""What else used the CPUs while something was measured: other processes, and the hypervisor's other guests."""

from __future__ import annotations

import time
from pathlib import Path
from typing import NamedTuple

from profilers.host.files import text
from specs.host import Disturbance

# Columns of the first line of /proc/stat, in clock ticks: user nice system idle iowait irq softirq steal. proc(5)
_IDLE, _IOWAIT, _STEAL = 3, 4, 7


class Moment(NamedTuple):
    """CPU time of the whole machine and of this process until now."""

    wall_s: float
    own_s: float
    ticks: tuple[int, ...]


def moment(root: Path = Path("/")) -> Moment:
    """Return the counters at this moment; ``ticks`` is empty where /proc/stat is not there."""
    first = (text(root / "proc/stat") or "").partition("\n")[0].split()[1:9]
    return Moment(time.monotonic(), time.process_time(), tuple(int(one) for one in first))


def disturbance(before: Moment, after: Moment, ticks_per_s: float) -> Disturbance:
    """Return the shares of all CPU time between two moments that went to others, and that was stolen."""
    seconds = max(0.0, after.wall_s - before.wall_s)
    spent = [late - early for early, late in zip(before.ticks, after.ticks, strict=False)]
    total = sum(spent)
    if len(spent) <= _STEAL or total <= 0:
        return Disturbance(seconds=round(seconds, 2))
    busy = total - spent[_IDLE] - spent[_IOWAIT] - spent[_STEAL]
    others = busy - (after.own_s - before.own_s) * ticks_per_s
    return Disturbance(
        seconds=round(seconds, 2),
        others_share=round(max(0.0, others / total), 3),
        steal_share=round(max(0.0, spent[_STEAL] / total), 3),
    )

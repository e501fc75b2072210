"""Events as perf names them, brought under our names: aliases, modifiers, units and several PMUs."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from profilers.cpi.counts import Counts

# Spellings of each count, the one that means most exactly what we mean first. [std: perf-list(1); Intel event names]
SPELLINGS: dict[str, tuple[str, ...]] = {
    "cycles": ("cycles", "cpu-cycles", "cpu_clk_unhalted.thread"),
    "instructions": ("instructions", "inst_retired.any"),
    "llc_misses": ("cache-misses", "longest_lat_cache.miss", "llc-misses", "llc-load-misses"),
    "stalled_cycles": ("stalled-cycles-backend", "idle-cycles-backend", "cycle_activity.stalls_total"),
    "task_clock_s": ("task-clock", "cpu-clock"),
    "context_switches": ("context-switches", "cs"),
}
OUR_NAME = {spelling: (name, rank) for name, all_ in SPELLINGS.items() for rank, spelling in enumerate(all_)}
TIME_UNITS = {"msec": 1e-3, "ns": 1e-9, "sec": 1.0, "": 1e-9}  # of the clocks; CSV of old perf has none and means ns
PMU_EVENT = re.compile(r"^(?P<pmu>[\w.-]+)/(?P<base>[^/]+)/(?P<modes>\w*)$")
MODED_EVENT = re.compile(r"^(?P<base>.+?)(?::(?P<modes>[ukhGHIpPSDeWb]+))?$")
NO_VALUE = ("<not supported>", "<not counted>")


@dataclass(frozen=True)
class Row:
    """One line of a perf stat output; ``value`` None where perf has none, for the reason in ``why``."""

    event: str
    value: float | None
    unit: str = ""
    counted_share: float | None = None
    at_s: float | None = None  # end of the interval
    cgroup: str = ""
    cpu: str = ""
    why: str = ""


@dataclass(frozen=True)
class Gathered:
    """What one interval of one cgroup counted; ``refused``: our name → perf's reason."""

    counts: Counts
    refused: dict[str, str]


@dataclass(frozen=True)
class _Known:
    name: str
    rank: int
    key: tuple[str, str, str]  # PMU, mode, CPU
    row: Row


def number(text: str, unit: str = "") -> float | None:
    """Return a number as perf prints it in any locale, None for `<not counted>` and `<not supported>`.

    Raises `ValueError` for anything else.
    """
    if text in NO_VALUE:
        return None
    digits = re.sub(r"[\s\u202f\u00a0']", "", text)
    if re.fullmatch(r"\d{1,3}(\.\d{3})+", digits) and (not unit or digits.count(".") > 1):
        digits = digits.replace(".", "")  # thousands, as a count has no fraction
    elif re.fullmatch(r"[\d.]*\d,\d{1,2}", digits):
        digits = digits.replace(".", "").replace(",", ".")
    return float(digits.replace(",", ""))


def spelled(event: str) -> tuple[str, int, str, str] | None:
    """Return our name of ``event``, its rank among the spellings, its PMU and its mode; None where we do not use it."""
    match = PMU_EVENT.match(event) or MODED_EVENT.match(event)
    if match is None:
        return None
    found = OUR_NAME.get(match["base"].lower())
    modes = "".join(sorted(set(match["modes"] or "") & set("uk")))
    return (*found, match.groupdict().get("pmu") or "", "" if modes == "ku" else modes) if found else None


def gather(rows: Iterable[Row]) -> Gathered:
    """Bring the rows of one interval and cgroup under our names.

    Of several spellings the most exact counts; PMUs and CPUs add up; user and kernel mode add up where the whole was
    not counted; a repeated event counts once.
    """
    known = [_Known(name, rank, (pmu, mode, row.cpu), row) for row in rows for name, rank, pmu, mode in _spelled(row)]
    values: dict[str, float] = {}
    shares: list[float] = []
    refused: dict[str, str] = {}
    user_only = False
    for name in SPELLINGS:
        chosen = _chosen([one for one in known if one.name == name and one.row.value is not None])
        values |= {name: sum(_in_our_unit(one) for one in chosen)} if chosen else {}
        if name in ("cycles", "instructions"):
            shares += [one.row.counted_share for one in chosen if one.row.counted_share is not None]
            user_only |= bool(chosen) and all(one.key[1] == "u" for one in chosen)
        if not chosen:
            refused.update((name, one.row.why) for one in known if one.name == name)
    return Gathered(Counts(values, min(shares, default=None), user_only), refused)


def _spelled(row: Row) -> list[tuple[str, int, str, str]]:
    found = spelled(row.event)
    return [found] if found else []


def _chosen(known: Sequence[_Known]) -> list[_Known]:
    best = [one for one in known if one.rank == min(other.rank for other in known)]
    whole = [one for one in best if not one.key[1]]
    return list({one.key: one for one in reversed(whole or best)}.values())


def _in_our_unit(known: _Known) -> float:
    value = known.row.value or 0.0
    return value * TIME_UNITS.get(known.row.unit, 1e-9) if known.name == "task_clock_s" else value

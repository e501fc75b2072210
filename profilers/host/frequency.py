"""The clocks of a host: who governs them, their range, and what they do under load."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from pathlib import Path

from profilers.host.files import fields, number, text
from specs.host import Frequency, Unknown

KHZ_IN_MHZ = 1000.0
NO_DRIVER = "no cpufreq driver, as in most virtual machines"


def read_frequency(root: Path, unknown: Unknown) -> Frequency:
    """Return the governor, range and boost of the clocks; notes in ``unknown`` what the kernel does not tell."""
    policy = root / "sys/devices/system/cpu/cpu0/cpufreq"
    driver = text(policy / "scaling_driver")
    boost = _boost(root)
    if driver is None:
        for name in ("driver", "governor", "min_mhz", "max_mhz"):
            unknown[f"frequency.{name}"] = NO_DRIVER
    if boost is None:
        unknown["frequency.boost"] = "neither cpufreq/boost nor intel_pstate/no_turbo is there"
    return Frequency(
        driver=driver,
        governor=text(policy / "scaling_governor"),
        boost=boost,
        nominal_mhz=_mhz(policy / "base_frequency") or (None if driver else _stated_mhz(root)),
        min_mhz=_mhz(policy / "cpuinfo_min_freq"),
        max_mhz=_mhz(policy / "cpuinfo_max_freq"),
    )


def clock_mhz(root: Path, cpus: Sequence[int]) -> float | None:
    """Return the mean clock of ``cpus`` at this moment, or None where there is no cpufreq driver.

    /proc/cpuinfo is no substitute: in a virtual machine it gives the rate of the time-stamp counter, which never moves.
    """
    folder = root / "sys/devices/system/cpu"
    found = [_mhz(folder / f"cpu{cpu}/cpufreq/scaling_cur_freq") for cpu in cpus]
    known = [one for one in found if one is not None]
    return round(statistics.fmean(known), 1) if known else None


def _boost(root: Path) -> bool | None:
    stated = number(root / "sys/devices/system/cpu/cpufreq/boost")
    if stated is not None:
        return stated > 0
    no_turbo = number(root / "sys/devices/system/cpu/intel_pstate/no_turbo")
    return None if no_turbo is None else no_turbo == 0


def _mhz(path: Path) -> float | None:
    khz = number(path)
    return khz / KHZ_IN_MHZ if khz else None


def _stated_mhz(root: Path) -> float | None:
    """Without a driver, /proc/cpuinfo gives the rate of the time-stamp counter: the nominal clock, not the one now."""
    stated = fields(root / "proc/cpuinfo").get("cpu MHz", "")
    return round(float(stated), 1) if stated.replace(".", "", 1).isdigit() else None

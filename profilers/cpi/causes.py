"""Why a figure could not be measured: from the kernel's errno to the cause and the cure, in the operator's words."""

from __future__ import annotations

import errno
from pathlib import Path

from profilers.cgroup import PROC
from profilers.cpi.perf_event import Refusal
from specs.cpi import MissingFigure

SYS = Path("/sys")
INSTEAD = "task clock, context switches, CPU use, throttling, pressure, steal and run-queue delay"
NO_PMU_CURE = (
    "Use a bare-metal or metal-sized instance, or turn on the virtual PMU (KVM: `-cpu host,pmu=on`; VMware: "
    "vpmc.enable); until then plan by pressure and throttling."
)
NOT_PSI = "Boot with psi=1 and a kernel of 4.20 or later (CONFIG_PSI); on cgroup 1 the kernel has none by group."
TWO_KINDS = 0  # in the place of an errno: a CPU with two kinds of cores was not asked
OTHER_FIGURES: dict[str, tuple[str, str]] = {
    "cpu_pressure": ("the kernel keeps no pressure stalls for it", NOT_PSI),
    "memory_pressure": ("the kernel keeps no pressure stalls for it", NOT_PSI),
    "io_pressure": ("the kernel keeps no pressure stalls for it", NOT_PSI),
    "throttled_share": (
        "no cpu controller keeps periods of a quota for it",
        "Delegate the cpu controller to its cgroup, or set a CPU limit; without a quota nothing is throttled.",
    ),
    "run_delay_s": (
        "its threads have no schedstat, are more than 512, or are the whole machine's",
        "Measure fewer processes at once; the kernel needs CONFIG_SCHED_INFO. The pressure of the CPU says the same.",
    ),
    "cpu_cores": ("neither cpu.stat nor cpuacct.usage is there for it", "Mount cgroup 2, or cpuacct of version 1."),
    "steal_share": ("/proc/stat has no steal column", "Use a kernel of 2.6.11 or later."),
}


def has_pmu(sys: Path = SYS) -> bool:
    """Whether the kernel lists a PMU of the CPU; its absence is the sign of a virtual machine without one."""
    devices = sys / "bus/event_source/devices"
    return any(devices.glob("cpu*")) or any(devices.glob("armv*"))


def is_hybrid(sys: Path = SYS) -> bool:
    """Whether the CPU has two kinds of cores, whose generic counters the plain call does not add up."""
    return (sys / "bus/event_source/devices/cpu_atom").exists()


def paranoid_level(proc: Path = PROC) -> str:
    """Return kernel.perf_event_paranoid, or what is known instead."""
    try:
        return (proc / "sys/kernel/perf_event_paranoid").read_text().strip()
    except OSError:
        return "unknown (the kernel has no perf events)"


def refused(refusal: Refusal, *, proc: Path = PROC, sys: Path = SYS) -> MissingFigure:
    """Say why the kernel refused a counter and what cures it."""
    cause, cure = cause_and_cure(refusal.code, proc=proc, sys=sys)
    name = errno.errorcode.get(refusal.code, str(refusal.code)) if refusal.code != TWO_KINDS else None
    return MissingFigure(quantity=refusal.event.name, cause=cause, cure=cure, error=name)


def cause_and_cure(code: int, *, proc: Path = PROC, sys: Path = SYS) -> tuple[str, str]:
    """Return cause and cure of an errno of perf_event_open. [std: perf_event_open(2); ours: the wording]"""
    if code in (errno.ENOENT, errno.EOPNOTSUPP, errno.ENODEV, errno.ENXIO):
        if not has_pmu(sys):
            return "the kernel has no PMU: this is a virtual machine without hardware counters", NO_PMU_CURE
        return "this CPU has no such counter", "Nothing cures it on this CPU; the other counters stand."
    if code in (errno.EACCES, errno.EPERM):
        return (
            f"not permitted: kernel.perf_event_paranoid is {paranoid_level(proc)} and the process has no CAP_PERFMON, "
            "or seccomp forbids the call",
            "Run as root or with CAP_PERFMON (for cgroups kernel.perf_event_paranoid ≤ 0 does as well); in a container "
            "add CAP_PERFMON and a seccomp profile that allows perf_event_open.",
        )
    causes = {
        TWO_KINDS: (
            "the CPU has two kinds of cores, whose counters one call does not add up",
            "Install `perf`, which counts on both and is then used.",
        ),
        errno.EBADF: (
            "its folder is no cgroup of the perf_event hierarchy",
            "Mount cgroup 2, or perf_event of version 1: `mount -t cgroup -o perf_event none DIR`.",
        ),
        errno.EINVAL: (
            "the kernel or the CPU does not count it in a group with the others",
            "Update the kernel; the other counters stand.",
        ),
        errno.EBUSY: (
            "another user holds the counters alone",
            "Stop the other profiler, or free the counter of the NMI watchdog: `sysctl kernel.nmi_watchdog=0`.",
        ),
        errno.ENOSYS: (
            "the kernel has no perf_event_open, or its number on this machine is not known",
            "Use a kernel with CONFIG_PERF_EVENTS, or install `perf`, which is then used.",
        ),
        errno.EMFILE: ("too many open files", "Raise `ulimit -n`, or measure fewer targets at once."),
        errno.ENFILE: ("too many open files on the machine", "Raise `sysctl fs.file-max`."),
        errno.ESRCH: ("the process is gone", "Measure one that stays."),
    }
    return causes.get(code, ("the kernel refused it", "See perf_event_open(2) for this code."))

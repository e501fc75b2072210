"""The table of `tonnage profile host`: what the machine is, what it can do, and what could not be told."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from renderers.unknown import not_told, or_cannot_tell
from specs.host import (
    BandwidthAnchor,
    Cache,
    ComputeAnchor,
    Disturbance,
    Frequency,
    HostProfile,
    HostProfileSpec,
    Noise,
)

QUIET_SHARE = 0.05  # of the CPUs: what others may use before the rates are called disturbed
GIGA_BELOW_TFLOPS = 1.0  # rates below one TFLOP/s are shown in GFLOP/s


def host_table(profile: HostProfile) -> Group:
    """Return the machine, its anchors with their spread, what disturbed them, and what cannot be told."""
    spec = profile.spec
    facts = Table(box=None, pad_edge=False, show_header=False, padding=(0, 3, 0, 0))
    facts.add_column(style="dim")
    facts.add_column(overflow="fold")
    for name, value in _facts(spec):
        facts.add_row(name, value)
    parts: list[RenderableType] = [Text(f"{profile.metadata.name}  {spec.fingerprint}", style="bold"), Text(), facts]
    if spec.bandwidth or spec.compute:
        parts += [Text(), _anchors(spec.bandwidth, spec.compute, "threads")]
    for gpu in spec.gpus:
        parts += [Text(), Text(f"GPU {gpu.index}: {gpu.name}"), _anchors(gpu.bandwidth, gpu.compute, "")]
    return Group(*parts, *_remarks(spec.disturbance), *not_told(spec.unknown))


def _facts(spec: HostProfileSpec) -> Iterator[tuple[str, str]]:
    cpu, memory, limits, system = spec.cpu, spec.memory, spec.limits, spec.system
    smt = {True: "SMT", False: "no SMT", None: "SMT: cannot tell"}[cpu.smt]
    cores = f"sockets {or_cannot_tell(cpu.sockets)}, cores {or_cannot_tell(cpu.cores)}, threads {cpu.threads}, {smt}"
    yield "cpu", f"{or_cannot_tell(cpu.model)} ({cpu.architecture})"
    yield "", cores
    yield "features", " ".join(cpu.features) or "-"
    yield "caches", "  ".join(map(_cache, cpu.caches)) or or_cannot_tell(None)
    yield "memory", f"{memory.total_gib:.1f} GiB, {memory.available_gib:.1f} free, swap {memory.swap_gib or 0:g} GiB"
    yield "huge pages", or_cannot_tell(memory.transparent_huge_pages)
    for node in spec.numa:
        yield f"numa {node.node}", f"CPUs {node.cpus}, {or_cannot_tell(node.memory_gib, 'GiB')}"
    yield "limits", _limits(limits.cgroup, limits.cpus, limits.cpu_cores, limits.memory_gib)
    yield "clocks", _clocks(spec.frequency)
    yield "kernel", f"{or_cannot_tell(system.kernel)}, {or_cannot_tell(system.distribution)}"
    yield "virtual", f"hypervisor {or_cannot_tell(system.virtualisation)}, container {system.container or 'none'}"


def _cache(cache: Cache) -> str:
    size = f"{cache.size_kib / 1024:g} MiB" if cache.size_kib >= 1024 else f"{cache.size_kib:g} KiB"
    return f"L{cache.level}{cache.kind[0] if cache.kind != 'unified' else ''} {cache.instances} × {size}"


def _limits(cgroup: str, cpus: str, cores: float | None, gib: float | None) -> str:
    quota = f"{cores:g} cores" if cores else "no quota"
    return f"cgroup {cgroup}: CPUs {cpus}, {quota}, memory {f'{gib:g} GiB' if gib else 'unlimited'}"


def _clocks(one: Frequency) -> str:
    boost = {True: "boost on", False: "boost off", None: "boost: cannot tell"}[one.boost]
    span = (
        f"{one.min_mhz:.0f}–{one.max_mhz:.0f} MHz" if one.min_mhz and one.max_mhz else f"range: {or_cannot_tell(None)}"
    )
    load = [f"{name} {or_cannot_tell(mhz, 'MHz')}" for name, mhz in (
        ("idle", one.idle_mhz), ("one core", one.one_core_mhz), ("all cores", one.all_cores_mhz),
    ) if mhz]  # fmt: skip
    governor = f"governor {or_cannot_tell(one.governor)}"
    return ", ".join([f"nominal {or_cannot_tell(one.nominal_mhz, 'MHz')}", span, governor, boost, *load])


def _anchors(bandwidth: tuple[BandwidthAnchor, ...], compute: tuple[ComputeAnchor, ...], threads: str) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0), header_style="dim")
    for column in ("measured", threads, "median", "5–95 %", "best", "unit", "spread", "blocks"):
        table.add_column(column, justify="left" if column in ("measured", "unit") else "right")
    for one in bandwidth:
        speeds = (one.gb_per_s, one.low_gb_per_s, one.high_gb_per_s, one.best_gb_per_s)
        table.add_row(f"memory {one.operation}", *_row(one.threads, speeds, "GB/s", one.noise))
    for product in compute:
        tflops = (product.tflops, product.low_tflops, product.high_tflops, product.best_tflops)
        small = product.tflops < GIGA_BELOW_TFLOPS
        rates = tuple(1000 * rate for rate in tflops) if small else tflops
        unit = "GFLOP/s" if small else "TFLOP/s"
        table.add_row(f"matrices {product.precision}", *_row(product.threads, rates, unit, product.noise))
    return table


def _row(threads: int | None, rates: tuple[float, ...], unit: str, noise: Noise) -> tuple[str, ...]:
    median, low, high, best = (f"{rate:.3g}" if rate < 100 else f"{rate:.0f}" for rate in rates)
    spreads = (f"{100 * noise.spread:.0f} %", f"{100 * noise.block_spread:.0f} %")
    return str(threads or ""), median, f"{low}–{high}", best, unit, *spreads


def _remarks(disturbance: Disturbance | None) -> Iterator[RenderableType]:
    yield Text()
    yield Text("spread: interquartile range of the repeats; blocks: range of the block medians; both of the median")
    if disturbance is None:
        return
    others, steal = disturbance.others_share, disturbance.steal_share
    for share, who in ((others, "other processes"), (steal, "the hypervisor's other guests")):
        if share is not None and share > QUIET_SHARE:
            text = f"disturbed: {who} took {100 * share:.0f} % of the CPUs; `best` is nearer to what the machine can do"
            yield Text(text, style="yellow")

"""The table of `tonnage profile gpu`: one block per GPU, what a watch saw, and what could not be told."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from renderers.unknown import not_told, or_cannot_tell
from specs.gpu import GpuMemoryReading, GpuProcess, GpuProfile, GpuReading, GpuWatch, NvlinkPeer
from specs.host import CANNOT_TELL

UNITS = {"memory_used_gib": "GiB", "power_w": "W", "sm_mhz": "MHz", "temperature_c": "°C", "busy_share": ""}


def gpu_table(profile: GpuProfile) -> Group:
    """Return every GPU with its figures, then the watch, then what cannot be told."""
    spec = profile.spec
    driver = f"driver {or_cannot_tell(spec.machine.driver)}, CUDA up to {or_cannot_tell(spec.cuda)}"
    head = f"{len(spec.gpus)} GPU{'s' * (len(spec.gpus) != 1)}, {driver}"
    parts: list[RenderableType] = [Text(head, style="bold")]
    for gpu in spec.gpus:
        parts += [Text(), *_gpu(gpu)]
    if spec.watch:
        parts += [Text(), _watches(spec.watch), *_failures(spec.watch)]
    return Group(*parts, *not_told(spec.unknown))


def _gpu(gpu: GpuReading) -> Iterator[RenderableType]:
    if lost := gpu.unknown.get("gpu"):
        yield Text(f"GPU {gpu.index}: {CANNOT_TELL}: {lost}", style="red")
        return
    yield Text(f"GPU {gpu.index}: {or_cannot_tell(gpu.name)}  {or_cannot_tell(gpu.uuid)}")
    facts = Table(box=None, pad_edge=False, show_header=False, padding=(0, 3, 0, 2))
    facts.add_column(style="dim")
    facts.add_column(overflow="fold")
    for name, value in _facts(gpu):
        facts.add_row(name, value)
    yield facts
    yield from not_told(gpu.unknown)


def _facts(gpu: GpuReading) -> Iterator[tuple[str, str]]:
    clocks, power, pcie = gpu.clocks, gpu.power, gpu.pcie
    yield "memory", _memory(gpu.memory)
    yield "busy", f"{_share(gpu.busy_share)}, memory {_share(gpu.memory_busy_share)}"
    yield (
        "clocks",
        f"SM {_of(clocks.sm_mhz, clocks.max_sm_mhz)}, memory {_of(clocks.memory_mhz, clocks.max_memory_mhz)} MHz",
    )
    yield "held down by", _reasons(gpu)
    yield "power", f"{_of(power.draw_w, power.limit_w)} W, {or_cannot_tell(power.temperature_c, '°C')}"
    yield (
        "PCIe",
        (
            f"generation {_of(pcie.generation, pcie.max_generation)}, width {_of(pcie.width, pcie.max_width)}, "
            f"{or_cannot_tell(pcie.bus_id)}"
        ),
    )
    for peer in gpu.nvlink:
        yield "NVLink", _peer(peer)
    if gpu.mig:
        yield "MIG", gpu.mig
    for instance in gpu.mig_instances:
        size = f"{or_cannot_tell(instance.multiprocessors)} SMs, {_memory(instance.memory)}"
        yield f"  {instance.index}", f"{or_cannot_tell(instance.uuid)}: {size}"
    for process in gpu.processes:
        yield "process", _process(process)


def _memory(memory: GpuMemoryReading | None) -> str:
    if memory is None:
        return CANNOT_TELL
    reserved = f", reserved {memory.reserved_gib:.2f}" if memory.reserved_gib is not None else ""
    return f"{memory.used_gib:.2f} of {memory.total_gib:.2f} GiB used{reserved}"


def _reasons(gpu: GpuReading) -> str:
    if "throttle_reasons" in gpu.unknown:
        return CANNOT_TELL
    return ", ".join(gpu.throttle_reasons) or "nothing"


def _share(share: float | None) -> str:
    return CANNOT_TELL if share is None else f"{100 * share:.0f} %"


def _of(now: float | None, most: float | None) -> str:
    return f"{or_cannot_tell(now)} of {or_cannot_tell(most)}"


def _peer(peer: NvlinkPeer) -> str:
    end = f"GPU {peer.gpu}" if peer.gpu is not None else peer.kind
    version = f"version {peer.version}, " if peer.version else ""
    return f"{peer.links} links to {end} ({version}{or_cannot_tell(peer.bus_id)})"


def _process(process: GpuProcess) -> str:
    where = f", instance {process.gpu_instance}" if process.gpu_instance is not None else ""
    name = or_cannot_tell(process.name)
    return f"{process.pid} {name} ({process.kind}{where}): {or_cannot_tell(process.memory_gib, 'GiB')}"


def _watches(watches: tuple[GpuWatch, ...]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0), header_style="dim")
    for column in ("GPU", "seconds", "samples", "figure", "mean", "p50", "p95", "lowest", "highest", ""):
        table.add_column(column, justify="left" if column in ("figure", "") else "right")
    for watch in watches:
        where = (str(watch.index), f"{watch.seconds:g}", str(watch.samples))
        for name, one in watch.figures.items():
            figures = (f"{value:.4g}" for value in (one.mean, one.p50, one.p95, one.low, one.high))
            table.add_row(*where, name.removesuffix(f"_{UNITS[name].lower()}"), *figures, UNITS[name])
            where = ("", "", "")
    return table


def _failures(watches: tuple[GpuWatch, ...]) -> Iterator[Text]:
    for watch in watches:
        held = [f"{reason} {100 * share:.0f} %" for reason, share in watch.throttled_share.items()]
        if held:
            yield Text(f"GPU {watch.index} held down by: {', '.join(held)} of the samples")
        if watch.failed:
            yield Text(f"GPU {watch.index}: {watch.failed} readings failed: {watch.failure}", style="red")

"""The memory ledger of a deployment as a table: what each part takes, and what the KV cache then holds."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from specs.estimate import GpuMemory, MemoryEstimate, MemoryFigure

SMALL_GIB = 0.005  # parts of the weights below this are left out of the table


def memory_table(estimate: MemoryEstimate) -> Group:
    """Return the ledger of each role, the verdict first, then the evidence."""
    parts: list[RenderableType] = []
    for gpu in estimate.gpus:
        parts += [_head(estimate, gpu), Text(), _ledger(gpu), Text(), *_capacity(gpu), Text()]
    for entry in estimate.evidence:
        error = f", ± {100 * entry.error:.1f} %" if entry.error is not None else ""
        note = f"; {entry.note}" if entry.note else ""
        parts.append(Text(f"evidence     {entry.basis}: {entry.source}{error}{note}"))
    return Group(*parts)


def _head(estimate: MemoryEstimate, gpu: GpuMemory) -> Text:
    cut = "  ".join(f"{name} {degree}" for name, degree in _degrees(gpu))
    role = "" if gpu.role == "mixed" else f"  {gpu.role}"
    verdict = "fits" if gpu.fits else f"does not fit: {gpu.reason}"
    line = Text(f"{estimate.model} on {estimate.device}  {cut}{role}, one GPU: ", style="bold")
    return line.append(verdict, style="bold green" if gpu.fits else "bold red")


def _degrees(gpu: GpuMemory) -> Iterator[tuple[str, int]]:
    for name in ("tp", "pp", "ep", "dp"):
        degree = getattr(gpu.parallel, name)
        if degree > 1 or name == "tp":
            yield name, degree


def _ledger(gpu: GpuMemory) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("")
    table.add_column("GiB", justify="right")
    table.add_column("90 % interval", justify="right")
    table.add_column("basis")
    for item in gpu.items:
        table.add_row(*_row(item))
        if item.name == "weights":
            for part, size in gpu.weights_gib.items():
                if size >= SMALL_GIB:
                    table.add_row(f"  {part}", f"{size:.2f}", "", "", style="dim")
    table.add_row("used", f"{gpu.used_gib:.2f}", f"of {gpu.total_gib:.2f}", f"budget {gpu.budget_gib:.2f}")
    return table


def _row(item: MemoryFigure) -> tuple[str, str, str, str]:
    return item.name, f"{item.gib:.2f}", f"{item.low_gib:.2f} – {item.high_gib:.2f}", item.basis


def _capacity(gpu: GpuMemory) -> Iterator[Text]:
    blocks = f"{gpu.kv_blocks:,} blocks of {gpu.kv_bytes_per_block / 2**20:.3g} MiB"
    yield Text(f"KV cache     {gpu.kv_tokens:,} tokens, {blocks}")
    yield Text(f"concurrency  {gpu.max_concurrency:.2f} requests of {gpu.max_model_len:,} tokens")
    if gpu.largest_model_len:
        yield Text(f"longest      a request of up to {gpu.largest_model_len:,} tokens fits")
    if not gpu.fits:
        yield Text(f"missing      {gpu.shortfall_gib:.2f} GiB", style="red")

"""Memory of a device by phase of measuring: what was held at the end of each, and the most held meanwhile."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import psutil

from profilers.layers.clocks import Torch
from specs.profile import PhaseMemory

GIB = 2**30


@dataclass
class PhaseRecorder:
    """Follows the memory of ``device``: torch's allocator on CUDA, resident memory of this process on a CPU."""

    torch: Torch
    device: str
    phases: dict[str, PhaseMemory] = field(default_factory=dict)

    def note(self, phase: str) -> None:
        """Add what is held now, and the peak since the last note, to ``phase``."""
        held, peak = self._bytes()
        before = self.phases.get(phase)
        most = max(peak / GIB, before.peak_gib if before else 0.0)
        self.phases[phase] = PhaseMemory(phase=phase, held_gib=round(held / GIB, 3), peak_gib=round(most, 3))

    def context(self) -> None:
        """On CUDA: what the device holds beside the allocator, as the driver counts it (CUDA context, others)."""
        if self._cuda:
            free, total = self.torch.cuda.mem_get_info(self.device)
            other = max(0, total - free - self.torch.cuda.memory_reserved(self.device))
            gib = round(other / GIB, 3)
            self.phases["beside torch"] = PhaseMemory(phase="beside torch", held_gib=gib, peak_gib=gib)

    @property
    def _cuda(self) -> bool:
        return self.device.startswith("cuda")

    def _bytes(self) -> tuple[float, float]:
        if not self._cuda:
            resident = float(psutil.Process().memory_info().rss)
            return resident, resident
        cuda: Any = self.torch.cuda
        found = float(cuda.memory_allocated(self.device)), float(cuda.max_memory_allocated(self.device))
        cuda.reset_peak_memory_stats(self.device)
        return found


def free_bytes(torch: Torch, device: str) -> float:
    """Return the free memory of a CUDA device, or what the machine can give to this process."""
    if device.startswith("cuda"):
        return float(torch.cuda.mem_get_info(device)[0])
    return float(psutil.virtual_memory().available)

"""NVIDIA GPUs as their management library (NVML) sees them: one reading, or a watch with bounded memory."""

from __future__ import annotations

from profilers.gpu.profile import profile_gpus
from profilers.gpu.sampling import watch_seconds

__all__ = ["profile_gpus", "watch_seconds"]

"""Scales a deployment by modules: copies of layers, layer services, or whole instances, on the same GPUs."""

from planners.modules.planning import plan

__all__ = ["plan"]

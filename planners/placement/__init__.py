"""Places the layers of one model, or many whole models, on the GPUs of a cluster."""

from planners.placement.planning import plan

__all__ = ["plan"]

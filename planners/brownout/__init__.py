"""The plan of `tonnage plan brownout`: united experts and thresholds that carry a burst without more GPUs."""

from planners.brownout.planning import plan

__all__ = ["plan"]

"""Plans batching: whether requests are bucketed or ordered before they are served, and what that gains."""

from planners.batching.planning import plan

__all__ = ["plan"]

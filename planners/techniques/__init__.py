"""The plan of `tonnage plan techniques`: every technique that applies, side by side at equal SLO."""

from planners.techniques.planning import plan

__all__ = ["plan"]

"""Chooses the cheapest deployment that keeps a serving SLO over a trace."""

from planners.serving.planning import plan

__all__ = ["plan"]

"""`plan rightsizing`: CPU and memory of every container, from what it used."""

from planners.rightsizing.planning import plan

__all__ = ["plan"]

"""Which pods go on which nodes, by predicted interference: answers `tonnage plan colocation`."""

from planners.colocation.planning import plan

__all__ = ["plan"]

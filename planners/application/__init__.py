"""Plans a whole application: SLO split, replicas, caches, nodes and GPUs, confirmed together by simulation."""

from planners.application.planning import plan

__all__ = ["plan"]

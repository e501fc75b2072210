"""Plans autoscaling: policies tried on the operator's own load, and one recommended for every service."""

from __future__ import annotations

from planners.autoscaling.planning import plan

__all__ = ["plan"]

"""Splits an application's SLO into budgets of its services and sizes them so that they cost least."""

from planners.slo.planning import plan

__all__ = ["plan"]

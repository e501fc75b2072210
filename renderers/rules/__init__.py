"""Prometheus rules of a plan: how fast the budget of its SLO burns, and whether what it rests on still holds."""

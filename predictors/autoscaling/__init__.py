"""Autoscaling: what a policy would do to a cluster under a given load, simulated."""

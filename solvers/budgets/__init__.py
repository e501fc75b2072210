"""Splits an end-to-end latency bound over services that call each other: exact, by descent, by units and by rules."""

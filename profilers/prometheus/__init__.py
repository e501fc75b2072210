"""Prometheus and what speaks its HTTP API: history of workloads in few, batched questions within a server's limits."""

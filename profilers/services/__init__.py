"""Services as they run: the graph of their calls, their load, usage and latency, and latency against load."""

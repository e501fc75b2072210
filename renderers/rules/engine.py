"""What rules of language models measure: vLLM's histograms, with the edges of their buckets."""

from __future__ import annotations

from renderers.rules.burning import Bound

TTFT_EDGES_S = (
    0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 20.0, 40.0, 80.0, 160.0,
    640.0, 2560.0,
)  # fmt: skip
TOKEN_EDGES_S = (
    0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 20.0, 40.0, 80.0,
)  # fmt: skip
REQUEST_EDGES_S = (
    0.3, 0.5, 0.8, 1.0, 1.5, 2.0, 2.5, 5.0, 10.0, 15.0, 20.0, 30.0, 40.0, 50.0, 60.0, 120.0, 240.0, 480.0, 960.0,
    1920.0, 7680.0,
)  # fmt: skip
HISTOGRAMS = {
    "ttft_s": ("vllm:time_to_first_token_seconds", TTFT_EDGES_S),
    "tpot_s": ("vllm:request_time_per_output_token_seconds", TOKEN_EDGES_S),
    "itl_s": ("vllm:inter_token_latency_seconds", TOKEN_EDGES_S),
    "e2e_s": ("vllm:e2e_request_latency_seconds", REQUEST_EDGES_S),
}
"""Histogram and bucket edges of each latency that an SLO bounds. [vLLM 0.19, its metrics endpoint]"""


def latency(name: str, quantity: str, matchers: str, bound_s: float, late_share: float) -> Bound:
    """Return a bound on one of the engine's latencies."""
    histogram, edges = HISTOGRAMS[quantity]
    return Bound(
        name=name, histogram=histogram, matchers=matchers, bound_s=bound_s, late_share=late_share, edges=edges
    )  # fmt: skip

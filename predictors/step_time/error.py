"""How wrong a step time may be: half-widths of 90 % intervals, found out of fold, by tier and by version mismatch."""

from __future__ import annotations

from statistics import NormalDist

from specs.profile import LayerProfileSpec

Z90 = NormalDist().inv_cdf(0.95)
"""Half-widths are of 90 % intervals."""

# Half-widths as ratios, of what `python -m benchmarks coverage` found out of fold (2026-11-23): 488 points from kernel
# tables (TPOT 13.8 %), 182 layer sums and 491 points from the roofline (22.6, 20.3 %). No measured profile but one has
# a run beside it (replayed within 3.3 %), so its 6 % is assumed: the spread of vLLM's points on bf16 tables is 7 %.
# A device of a kind that no fit has seen: 1.5 times and a half of the calibrated one [assumed].
TIER_ERROR = {"measured": 0.06, "database": 0.14, "calibrated": 0.22, "datasheet": 0.40}
VERSION_ERROR = (
    0.05  # added in quadrature: host time moved by so much of a step between vLLM 0.12 and 0.18 at 32 sequences
)
# Mean TTFT and TPOT of closed-loop points, same source: TTFT carries what the harness hides.
POINT_ERROR = {"measured": (0.49, 0.14), "database": (0.49, 0.14), "calibrated": (0.43, 0.20), "datasheet": (1.0, 0.50)}
QUEUED_TTFT, QUEUED_TPOT = 6.0, 1.5  # how much wider near the KV limit: 39 points, 90 % within a factor of 8.6 and 23 %


def upper_end(relative_error: float, confidence: float) -> float:
    """What a step time is multiplied with so that it holds with this (one-sided) confidence [std: normal errors]."""
    return 1.0 + NormalDist().inv_cdf(confidence) / Z90 * relative_error


def roofline_error(tier: str) -> float:
    """Half-width for a surface that rests on the roofline alone."""
    return TIER_ERROR[tier]


def profile_error(profile: LayerProfileSpec, engine: str, version: str) -> float:
    """Half-width for a surface from ``profile``, wider where engine or minor version differ from the deployment's."""
    own = profile.error if profile.error is not None else TIER_ERROR.get(profile.basis, TIER_ERROR["database"])
    same = profile.engine == engine and profile.engine_version.split(".")[:2] == version.split(".")[:2]
    return own if same else float((own**2 + VERSION_ERROR**2) ** 0.5)


def point_error(tier: str, *, near_limit: bool) -> tuple[float, float]:
    """Half-widths (as ratios) of the 90 % intervals of a point's mean TTFT and TPOT; a queue widens them."""
    ttft, tpot = POINT_ERROR[tier]
    return (QUEUED_TTFT * ttft, QUEUED_TPOT * tpot) if near_limit else (ttft, tpot)

"""How wrong a step time may be: half-widths of 90 % intervals, found out of fold, by tier and by version mismatch."""

from __future__ import annotations

from specs.profile import LayerProfileSpec

# Placeholder half-widths until benchmarks/fit_host_time.py writes them.
TIER_ERROR = {"measured": 0.06, "database": 0.12, "calibrated": 0.20, "datasheet": 0.40}
VERSION_ERROR = 0.05
POINT_ERROR = {"measured": (0.3, 0.1), "database": (0.4, 0.12), "calibrated": (0.6, 0.25), "datasheet": (1.0, 0.5)}


def roofline_error(tier: str) -> float:
    """Half-width for a surface that rests on the roofline alone."""
    return TIER_ERROR[tier]


def profile_error(profile: LayerProfileSpec, engine: str, version: str) -> float:
    """Half-width for a surface from ``profile``, wider where engine or version differ from the deployment's."""
    own = profile.error if profile.error is not None else TIER_ERROR.get(profile.basis, 0.12)
    same = profile.engine == engine and profile.engine_version.split(".")[:2] == version.split(".")[:2]
    return own if same else float((own**2 + VERSION_ERROR**2) ** 0.5)


def point_error(tier: str, *, near_limit: bool) -> tuple[float, float]:
    """Half-widths (as ratios) of the 90 % intervals of a point's mean TTFT and TPOT."""
    ttft, tpot = POINT_ERROR[tier]
    return (3.0 * ttft, 1.5 * tpot) if near_limit else (ttft, tpot)

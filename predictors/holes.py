"""Refuses a measured profile that lacks what the deployment would rest on it for."""

from __future__ import annotations

from specs.deployment import Parallel
from specs.engine import StepEvidence
from specs.errors import InputError
from specs.model import ModelSpec
from specs.profile import LayerProfileSpec

# The norms, rotary embedding, activations, messages and head may come from other evidence; these carry the step.
ATTENTION = ("qkv_proj", "o_proj", "prefill_attention", "decode_attention")
LATENT_ATTENTION = ("o_proj", "prefill_attention", "decode_attention")  # MLA has no one QKV projection


def refuse_holes(profile: StepEvidence | None, model: ModelSpec, parallel: Parallel) -> None:
    """Raise `InputError` where a measured ``profile`` lacks an operator of ``model``'s layers at that TP.

    Tables of basis `database` may be partial: what they lack comes from the next best evidence, which says so.
    """
    if not isinstance(profile, LayerProfileSpec) or profile.basis != "measured":
        return
    whose = f"the profile of {profile.model} on {profile.device}"
    degrees = sorted({table.tp for table in profile.tables})
    if parallel.tp not in degrees:
        found = ", ".join(map(str, degrees))
        raise InputError(
            f"{whose} has no tables for tp {parallel.tp}, only for {found}",
            cure="Measure that degree, choose another, or leave `profile` out to use the next best evidence.",
        )
    present = {table.operator for table in profile.tables if table.tp == parallel.tp}
    missing = [operator for operator in _carrying(model) if operator not in present]
    if missing:
        raise InputError(
            f"{whose} has holes: no {', '.join(missing)} at tp {parallel.tp}",
            cure="Measure or import these operators too, or leave `profile` out to use the next best evidence.",
        )


def _carrying(model: ModelSpec) -> tuple[str, ...]:
    """Operators that make up most of a step of ``model``."""
    latent = all(kind.kind == "mla" for kind in model.attention)
    dense = ("gate_up_proj", "down_proj") if model.mlp and model.mlp.layers else ()
    return (*(LATENT_ATTENTION if latent else ATTENTION), *dense, *(("moe",) if model.moe else ()))

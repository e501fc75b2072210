"""Measures one decoder layer, embedding, head and norm of a model with random weights on one device."""

from profilers.layers.profile import profile_layers

__all__ = ["profile_layers"]

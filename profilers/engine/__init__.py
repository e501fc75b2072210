"""A running engine, measured through its endpoint or by what others measured of it: its steps, its knee, its limits."""

from profilers.engine.document import Labels
from profilers.engine.probing import Asked
from profilers.engine.profile import profile_endpoint, reach_endpoint
from profilers.engine.results import profile_results

__all__ = ["Asked", "Labels", "profile_endpoint", "profile_results", "reach_endpoint"]

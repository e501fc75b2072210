"""What a host is, read from /proc and /sys, and what it can do, measured."""

from __future__ import annotations

from profilers.host.profile import profile_host
from profilers.host.reading import this_machine

__all__ = ["profile_host", "this_machine"]

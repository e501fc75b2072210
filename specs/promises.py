"""What is promised of a scaled service: its bounds, its own part of them, and the share that may be late."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import model_validator

from specs.base import Positive, Share, Spec

Quantity = Literal["latency_s", "ttft_s", "tpot_s", "e2e_s", "itl_s"]
Level = Literal["p50", "p90", "p95", "p99"]


class Bound(Spec):
    """One bound in seconds: on an entry's latency (``of`` names it) or on one of an engine's.

    ``level``: the percentile that it is on; without one, all but the late share of single requests must keep it.
    """

    quantity: Quantity
    bound_s: Positive
    level: Level | None = None
    of: str | None = None

    @property
    def told(self) -> str:
        """Return for example ``gateway p99 ≤ 1.2 s`` or ``ttft_s ≤ 1 s``."""
        name = self.of if self.of and self.quantity == "latency_s" else self.quantity
        return f"{name}{f' {self.level}' if self.level else ''} ≤ {self.bound_s:g} s"


class Promise(Spec):
    """The promise to one service: every bound, its own part of the tightest, and the share of requests above that.

    ``words``: a plan of an earlier version said all of it in one sentence, and has nothing else.
    """

    bounds: tuple[Bound, ...] = ()
    part_s: Positive | None = None
    late_share: Share | None = None
    words: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _sentence(cls, value: Any) -> Any:
        return {"words": value} if isinstance(value, str) else value

    @property
    def told(self) -> str:
        """Return the promise in one phrase."""
        if self.words is not None or self.part_s is None or self.late_share is None:
            return self.words or "nothing"
        told = ", ".join(bound.told for bound in self.bounds)
        return f"{told}: its part {self.part_s:.3g} s, {self.late_share:.3%} late"

"""PromQL of each quantity, per workload, for all workloads at once or for some of them."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass

from profilers.prometheus.families import POD_SUFFIX, Family
from specs.history import HistoryQuantity

BUCKETS = 16  # series per workload that a histogram is expected to have


@dataclass(frozen=True, kw_only=True)
class Question:
    """One quantity of one family; ``by``: the label that names workloads; ``raw``: series it is computed from."""

    quantity: HistoryQuantity
    family: Family
    by: str
    matchers: str
    raw: int

    @property
    def series_per_workload(self) -> int:
        """Series of the answer per workload, as expected."""
        return BUCKETS if self.quantity == "latency_bucket_per_s" else 1

    @property
    def namespace(self) -> str:
        """The label that names the namespace."""
        return "destination_workload_namespace" if self.by == "destination_workload" else "namespace"

    def promql(self, rate_s: float, only: Collection[str] = (), without: Collection[str] = ()) -> str:
        """Return the query; ``rate_s`` is the window of rates. ``only`` and ``without`` name workloads."""
        family = self.family
        chosen = [m for m in (family.matchers, self.matchers, self._names("=~", only), self._names("!~", without)) if m]
        inside = f"{{{','.join(chosen)}}}"
        rate = f"[{max(round(rate_s), 1)}s]"
        groups = f"{self.namespace}, {self._group}"
        if self.quantity == "requests_per_s":
            return f"sum by ({groups}) ({self._named(f'rate({family.metric}_count{inside}{rate})')})"
        if self.quantity == "latency_sum_s_per_s":
            return f"sum by ({groups}) ({self._named(f'rate({family.metric}_sum{inside}{rate})')})"
        if self.quantity == "latency_bucket_per_s":
            return f"sum by ({groups}, le) ({self._named(f'rate({family.metric}_bucket{inside}{rate})')})"
        plain = f"{family.metric}{inside}"
        value = f"rate({plain}{rate})" if family.kind == "cpu" else plain
        replica = "pod" if self.by == "pod" else "instance"
        labels = dict.fromkeys((self.namespace, self.by, replica))
        per_replica = self._named(f"sum by ({', '.join(labels)}) ({value})")
        how = {"replicas": "count", "cpu_cores_largest": "max", "memory_bytes_largest": "max"}
        return f"{how.get(self.quantity, 'sum')} by ({groups}) ({per_replica})"

    @property
    def _group(self) -> str:
        return "workload" if self.by == "pod" else self.by

    def _named(self, expression: str) -> str:
        if self.by != "pod":
            return expression
        whole = f'label_replace({expression}, "workload", "$1", "pod", "(.+)")'
        return f'label_replace({whole}, "workload", "$1", "pod", "(.+?){POD_SUFFIX}")'

    def _names(self, operator: str, names: Collection[str]) -> str:
        if not names:
            return ""
        either = "|".join(re.escape(name).replace("\\-", "-") for name in sorted(names))
        suffix = f"({POD_SUFFIX})?" if self.by == "pod" else ""
        quoted = f"({either}){suffix}".replace("\\", "\\\\").replace('"', '\\"')
        return f'{self.by}{operator}"{quoted}"'


def questions(family: Family, by: str, matchers: str, raw: int) -> list[Question]:
    """Return what is asked of ``family``."""
    quantities: dict[str, tuple[HistoryQuantity, ...]] = {
        "cpu": ("cpu_cores", "cpu_cores_largest", "replicas"),
        "memory": ("memory_bytes", "memory_bytes_largest"),
        "histogram": ("requests_per_s", "latency_sum_s_per_s", "latency_bucket_per_s"),
    }
    return [
        Question(quantity=quantity, family=family, by=by, matchers=matchers, raw=raw)
        for quantity in quantities[family.kind]
    ]

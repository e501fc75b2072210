"""What a server has: its metrics that are known here, the workloads in them, and how often it scrapes."""

from __future__ import annotations

import fnmatch
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from profilers.prometheus.client import Endpoint, RefusedError, ask
from profilers.prometheus.families import BY_LABELS, FAMILIES, Family, workload_of
from profilers.prometheus.questions import Question, questions
from specs.errors import InputError, MissingHardwareError

SCRAPE_WINDOW_S, SCRAPE_STEP_S = 300, 5
USUAL_SCRAPE_S = 60.0  # Prometheus' default scrape_interval
_MATCHER = re.compile(r"([a-zA-Z_]\w*)(=~|!~|!=|=)(.*)", re.DOTALL)


@dataclass(frozen=True, kw_only=True)
class Selection:
    """Which workloads: in ``namespaces`` (none: all), with ``labels`` (`name=value`), whose names match no pattern."""

    namespaces: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()

    def matchers(self, namespace: str = "namespace") -> str:
        """Return the matchers of PromQL; raises `InputError` for a label that is not `name=value`."""
        found = []
        if self.namespaces:
            found.append(
                f"{namespace}=~{quoted('|'.join(re.escape(n).replace(chr(92) + '-', '-') for n in self.namespaces))}"
            )
        for text in self.labels:
            parts = _MATCHER.fullmatch(text)
            if not parts:
                raise InputError(f"--label {text!r}: expected NAME=VALUE", cure="!=, =~ and !~ work as in PromQL.")
            found.append(f"{parts[1]}{parts[2]}{quoted(parts[3])}")
        return ",".join(found)

    def wants(self, workload: str) -> bool:
        """Return whether ``workload`` matches none of the excluded patterns."""
        return not any(fnmatch.fnmatchcase(workload, pattern) for pattern in self.exclude)


@dataclass(frozen=True, kw_only=True)
class Discovered:
    """What can be asked of a server, the workloads of each question's family, and its scrape interval."""

    questions: tuple[Question, ...]
    workloads: dict[str, tuple[tuple[str | None, str], ...]]  # family's metric → (namespace, workload)
    scrape_s: float


def quoted(text: str) -> str:
    """Return ``text`` as a string of PromQL."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def discover(server: Endpoint, selection: Selection, at_s: float) -> Discovered:
    """Ask what there is at ``at_s`` (seconds since 1970); two questions.

    Raises `MissingHardwareError` where the server is not there, `InputError` where no known metric matches.
    """
    scrape_s = _scrape(server, at_s)
    rows = []
    for namespace in ("namespace", "destination_workload_namespace"):
        families = [f for f in FAMILIES if f.metric.startswith("istio") == (namespace != "namespace")]
        rows += _present(server, families, selection.matchers(namespace), namespace, at_s)
    chosen = [found for kind in ("cpu", "memory", "histogram") if (found := _best(rows, kind))]
    asked: list[Question] = []
    workloads = {}
    for family, by, mine in chosen:
        names = sorted({named for labels, _ in mine if (named := workload_of(_only(labels, by)))}, key=str)
        workloads[family.metric] = tuple(one for one in names if selection.wants(one[1]))
        raw = int(sum(count for _, count in mine))
        namespace = "destination_workload_namespace" if by == "destination_workload" else "namespace"
        asked += questions(family, by, selection.matchers(namespace), raw) if workloads[family.metric] else []
    if not asked:
        cure = f"Known metrics: {', '.join(family.metric for family in FAMILIES)}. Check --namespace and --label."
        raise InputError(f"{server.url}: has none of the metrics that are read, for the workloads asked for", cure=cure)
    return Discovered(questions=tuple(asked), workloads=workloads, scrape_s=scrape_s)


def _scrape(server: Endpoint, at_s: float) -> float:
    """The usual time between two samples of a target: from its first to its last, so that a young server counts too."""
    window = f"[{SCRAPE_WINDOW_S}s:{SCRAPE_STEP_S}s]"
    spread = f"max_over_time(timestamp(up){window}) - min_over_time(timestamp(up){window})"
    query = f"quantile(0.5, ({spread}) / (count_over_time(up[{SCRAPE_WINDOW_S}s]) - 1))"
    answer = ask(server, "query", {"query": query, "time": f"{at_s:.3f}"}, first=True)
    try:
        found = float(_rows(answer)[0][1])
    except (IndexError, ValueError):
        return USUAL_SCRAPE_S
    return found if 0.0 < found < SCRAPE_WINDOW_S else USUAL_SCRAPE_S


def _present(
    server: Endpoint, families: Sequence[Family], matchers: str, namespace: str, at_s: float
) -> list[tuple[dict[str, str], float]]:
    names = "|".join(family.sample for family in families)
    inside = ",".join(part for part in (f'__name__=~"{names}"', matchers) if part)
    query = f"count by (__name__, {namespace}, {', '.join(BY_LABELS)}) ({{{inside}}})"
    try:
        return _rows(ask(server, "query", {"query": query, "time": f"{at_s:.3f}"}))
    except RefusedError as error:
        raise MissingHardwareError(f"{server.url}: cannot say which workloads it has: {error.why}") from None


def _rows(answer: Any) -> list[tuple[dict[str, str], float]]:
    rows = answer.get("result") if isinstance(answer, dict) else None
    if not isinstance(rows, list):
        raise MissingHardwareError("the answer is not one of Prometheus' API", cure="Check the URL.")
    return [(dict(row["metric"]), float(row["value"][1])) for row in rows]


def _best(
    rows: Sequence[tuple[dict[str, str], float]], kind: str
) -> tuple[Family, str, list[tuple[dict[str, str], float]]] | None:
    """The first family of ``kind`` that is there, and the best label that most of its series have."""
    for family in (one for one in FAMILIES if one.kind == kind):
        mine = [(labels, count) for labels, count in rows if labels.get("__name__") == family.sample]
        having = Counter(name for labels, _ in mine for name in BY_LABELS if labels.get(name))
        by = next((name for name in BY_LABELS if having[name] * 2 > len(mine)), None)
        if mine and by:
            return family, by, mine
    return None


def _only(labels: dict[str, str], by: str) -> dict[str, str]:
    return {name: value for name, value in labels.items() if name == by or name not in BY_LABELS}

"""Reads the published H100 points into the neutral form, with the harness of each source."""

from __future__ import annotations

import csv
import gzip
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from benchmarks.reference import reference_path
from predictors.points import DEFAULT_HARNESS, Harness, Point, PoolShape
from specs.base import Precision
from specs.catalog import find_model

FILE = "serving_runs/aiconfigurator_silicon_h100.csv.gz"

# The harness by source class and engine, fitted on TTFT over whole sources, never per point (see `points`):
# gap-analysis rows hold lengths exactly; the budget equals their longest prompt; SGLang prefills first.
HARNESS = {
    ("nvidia_gap_analysis", "vllm"): Harness(prompts_per_concurrency=7, length_spread=(1.0, 1.0), token_budget=4096),
    ("nvidia_gap_analysis", "trtllm"): Harness(
        prompts_per_concurrency=10, length_spread=(1.0, 1.0), token_budget=4096, client_delay_s=0.005
    ),
    ("nvidia_gap_analysis", "sglang"): Harness(
        prompts_per_concurrency=10, length_spread=(1.0, 1.0), token_budget=8192, prefill_first=True
    ),
    **{("dated_csv", engine): harness for engine, harness in DEFAULT_HARNESS.items()},
}


@dataclass(frozen=True)
class Published:
    """One published point with its source."""

    point: Point
    source: str
    states_concurrency: bool = True

    @property
    def kind(self) -> str:
        """dense, moe or disaggregated."""
        if self.point.prefill:
            return "disaggregated"
        return "moe" if self.point.model.moe else "dense"

    @property
    def line(self) -> str:
        """Engine, version, model and precision: the unit that host time is fitted per."""
        point = self.point
        return f"{point.engine} {point.engine_version} {point.model.name} {point.precision}"

    @property
    def group(self) -> str:
        """What `choice` and the folds hold out: line, ISL and OSL."""
        return f"{self.line} {self.point.isl}x{self.point.osl}"

    @property
    def harness(self) -> Harness:
        """The harness of this source."""
        source = "dated_csv" if self.source == "inferencex_db_dump" else self.source
        found = HARNESS[(source, self.point.engine)]
        return replace(found, slots_short=1) if self.point.model.name == "llama-3.1-8b" else found


def published_points() -> list[Published]:
    """Every H100 point of the file; raises InputError where the reference data is absent."""
    with gzip.open(reference_path(FILE), "rt", encoding="utf-8") as file:
        return list(_read(csv.DictReader(file)))


def _read(rows: Iterator[dict[str, str]]) -> Iterator[Published]:
    for row in rows:
        yield Published(_point(row), row["source_class"], bool(row["concurrency"]))


def _point(row: dict[str, str]) -> Point:
    model = find_model(row["model_path"])
    precision: Precision = "fp8" if row["precision"] == "fp8" else "bf16"
    if row["model_path"].startswith("openai/gpt-oss"):
        precision = "mxfp4"
    split = row["mode"] == "disagg"
    concurrency = _int(row["concurrency"]) or _int(row["batch_size"]) or 1
    dp, ep = _groups(row)
    return Point(
        model=model, precision=precision, tp=_int(row["tp_size"]) or 1, pp=_int(row["pp_size"]) or 1,
        dp=dp, ep=ep, isl=_int(row["isl"]), osl=_int(row["osl"]), concurrency=concurrency, engine=row["backend"],  # type: ignore[arg-type]
        engine_version=row["backend_version"] or "0.11", prefill=_shape(row, "prefill") if split else None,
        decode=_shape(row, "decode") if split else None, measured_ttft_ms=float(row["silicon_ttft_ms"]),
        measured_tpot_ms=float(row["silicon_tpot_ms"]), label=row["id"],
    )  # fmt: skip


def _groups(row: dict[str, str]) -> tuple[int, int]:
    """Data-parallel ranks and EP degree.

    Fifteen MiniMax rows state 4 ranks and EP 16 where their id says TP 4, EP 4; they repeat the figures of the rows of
    one rank (TPOT within 1 % in the median), so the id holds.
    """
    named = re.search(r"_tp\d+_ep(\d+)_\d+$", row["id"])
    stated = max(_int(row["moe_ep_size"]), 1)
    if named and int(named[1]) != stated:
        return 1, int(named[1])
    return _int(row["attention_dp_size"]) or 1, stated


def _shape(row: dict[str, str], role: str) -> PoolShape:
    return PoolShape(
        workers=_int(row[f"{role}_num_workers"]) or 1, tp=_int(row[f"{role}_tp_size"]) or 1,
        ep=max(_int(row[f"{role}_moe_ep_size"]), 1), batch=_int(row[f"{role}_batch_size"]) or 1,
    )  # fmt: skip


def _int(text: str) -> int:
    return int(float(text)) if text else 0

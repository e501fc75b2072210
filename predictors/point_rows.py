"""What a row of a table of points asks: the deployment it describes and the harness that measured it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TypeVar, get_args

from predictors.points import DEFAULT_HARNESS, Harness, Point, PoolShape
from specs.base import Precision
from specs.catalog import find_model
from specs.deployment import EngineName
from specs.errors import InputError
from specs.points import PointRow, RolePoint
from specs.reading import nearest

T = TypeVar("T")
ENGINES: dict[str, EngineName] = {
    "vllm": "vllm", "sglang": "sglang", "trtllm": "trtllm", "tensorrt-llm": "trtllm", "tensorrtllm": "trtllm",
}  # fmt: skip


def asked_of(row: PointRow, base: Path = Path()) -> tuple[Point, Harness]:
    """Return the point and its harness: what the row states, else the engine's stated default.

    ``base`` is the folder that a model's path counts from. Raises `InputError` for an unknown model, engine or
    precision.
    """
    engine = _known(row, "engine", (row.engine or "vllm").lower(), ENGINES)
    precision = _known(row, "precision", row.precision.lower(), {name: name for name in get_args(Precision)})
    point = Point(
        model=find_model(row.model, base), precision=precision, tp=row.tp, pp=row.pp, dp=row.dp, ep=row.ep, isl=row.isl,
        osl=row.osl, concurrency=row.concurrency, engine=engine, prefill=_shape(row.prefill, row.ep),
        decode=_shape(row.decode, row.ep),
        label=f"{row.isl}x{row.osl} c{row.concurrency}",
    )  # fmt: skip
    if row.engine_version:
        point = replace(point, engine_version=row.engine_version)
    harness = DEFAULT_HARNESS[engine]
    if row.prompts_per_concurrency:
        harness = replace(harness, prompts_per_concurrency=max(1, round(row.prompts_per_concurrency)))
    if row.length_spread:
        harness = replace(harness, length_spread=row.length_spread)
    return point, harness


def _known(row: PointRow, name: str, value: str, known: Mapping[str, T]) -> T:
    if value not in known:
        raise InputError(
            f"row {row.row}, {name}: found {value!r}{nearest(value, list(known))}", cure=f"Known: {', '.join(known)}."
        )
    return known[value]


def _shape(role: RolePoint | None, ep: int) -> PoolShape | None:
    return PoolShape(workers=role.workers, tp=role.tp, ep=ep, batch=max(1, role.batch)) if role else None

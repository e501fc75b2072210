"""How two profiles differ: field by field, and operator tables point by point."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from specs.errors import InputError
from specs.stored import FieldChange, StoreDiff, TableChange, short_id

Data = dict[str, Any]
TableKey = tuple[str, int, int, int]
_NAMES = ("name", "operator", "id", "uuid")


def compare(before: tuple[str, Data], after: tuple[str, Data]) -> StoreDiff:
    """Return how the document ``after`` (id and data) differs from ``before``; raises `InputError` across kinds.

    Numbers come with after / before − 1. Operator tables are compared at the points that both have. Whether a change
    is more than noise is not judged here.
    """
    (first, old), (second, new) = before, after
    if old["kind"] != new["kind"]:
        cure = "Compare two documents of one kind."
        raise InputError(f"{short_id(first)} is a {old['kind']}, {short_id(second)} a {new['kind']}", cure=cure)
    tables = _table_changes(_tables(old), _tables(new))
    fields = _field_changes(dict(_leaves(_rest(old))), dict(_leaves(_rest(new))))
    return StoreDiff(before=first, after=second, kind=old["kind"], fields=tuple(fields), tables=tuple(tables))


def _tables(data: Data) -> dict[TableKey, Data]:
    spec = data.get("spec")
    if data["kind"] != "LayerProfile" or not isinstance(spec, dict):
        return {}
    return {
        (one["operator"], one.get("tp", 1), one.get("ep", 1), one.get("layer_kind", 0)): one for one in spec["tables"]
    }


def _rest(data: Data) -> Data:
    if data["kind"] != "LayerProfile":
        return data
    return data | {"spec": {name: value for name, value in data["spec"].items() if name != "tables"}}


def _leaves(value: Any, at: str = "") -> Iterator[tuple[str, Any]]:
    """Yield each scalar with its dotted path; items of a list go by their name where each has its own."""
    if isinstance(value, dict):
        for name, below in value.items():
            yield from _leaves(below, f"{at}.{name}" if at else str(name))
    elif isinstance(value, list | tuple):
        for name, below in zip(_labels(value), value, strict=True):
            yield from _leaves(below, f"{at}[{name}]")
    else:
        yield at, value


def _labels(values: list[Any] | tuple[Any, ...]) -> list[str]:
    for field in _NAMES:
        names = [str(value[field]) for value in values if isinstance(value, dict) and field in value]
        if len(set(names)) == len(values):
            return names
    return [str(number) for number in range(len(values))]


def _field_changes(old: Data, new: Data) -> Iterator[FieldChange]:
    for field in [*old, *(name for name in new if name not in old)]:
        before, after = old.get(field), new.get(field)
        if before != after or (field in old) != (field in new):
            yield FieldChange(field=field, before=before, after=after, relative=_relative(before, after))


def _relative(before: Any, after: Any) -> float | None:
    numbers = all(isinstance(value, int | float) and not isinstance(value, bool) for value in (before, after))
    return after / before - 1 if numbers and before else None


def _table_changes(old: dict[TableKey, Data], new: dict[TableKey, Data]) -> Iterator[TableChange]:
    for key in [*old, *(name for name in new if name not in old)]:
        before, after = _points(old.get(key)), _points(new.get(key))
        both = [point for point in before if point in after]
        change = TableChange(
            operator=key[0], tp=key[1], ep=key[2], layer_kind=key[3], points=len(both),
            only_before=len(before) - len(both), only_after=len(after) - len(both),
        )  # fmt: skip
        ratios = [after[point][0] / before[point][0] - 1 for point in both if before[point][0] > 0]
        if ratios:
            spread = max((_spread(side, both) for side in (before, after)), key=lambda value: value or 0.0)
            figures = {"median": float(np.median(ratios)), "low": min(ratios), "high": max(ratios), "spread": spread}
            change = change.model_copy(update=figures)
        if change.only_before or change.only_after or change.low or change.high:
            yield change


def _points(table: Data | None) -> dict[tuple[float, ...], tuple[float, float | None]]:
    """Return latency (µs) and relative spread of each point; of points given twice the last."""
    if table is None:
        return {}
    spreads = table.get("spread") or [None] * len(table["latency_us"])
    rows = zip(table["points"], table["latency_us"], spreads, strict=True)
    return {tuple(point): (latency_us, spread) for point, latency_us, spread in rows}


def _spread(side: dict[tuple[float, ...], tuple[float, float | None]], points: list[tuple[float, ...]]) -> float | None:
    found = [spread for spread in (side[point][1] for point in points) if spread is not None]
    return float(np.median(found)) if found else None

"""The page of evidence, from the results of the benchmarks."""

from __future__ import annotations

import json
from typing import Any

from benchmarks.__main__ import NAMES, RESULTS

HEAD = """# Evidence

What was measured against what, with the error. `python -m benchmarks NAME` measures one line again and prints its
figure last; `make bench` measures all and writes this page. Reference measurements were made by others; they are read
from the folder that `TONNAGE_REFERENCE_DATA` names and are not part of the project. Every fit is scored out of sample.
"""
ROWS_SHOWN = 100


def evidence_page() -> str:
    """Return the page: the table of all lines, then each line's rows and notes."""
    records = [_record(name) for name in NAMES]
    found = [record for record in records if record is not None]
    missing = [f"`{name}`" for name, record in zip(NAMES, records, strict=True) if record is None]
    told = [f"Not measured yet: {', '.join(missing)}.", ""] if missing else []
    return "\n".join([HEAD, *_summary(found), "", *told, *(line for record in found for line in _section(record))])


def _record(name: str) -> dict[str, Any] | None:
    path = RESULTS / f"{name}.json"
    return json.loads(path.read_text()) if path.exists() else None


def _summary(records: list[dict[str, Any]]) -> list[str]:
    rows = [
        f"| [`{r['name']}`](#{r['name']}) | {_cell(r['text'])} | {_cell(r['bar'])} | {_holds(r)} | {_cell(r['best'])} |"
        for r in records
    ]
    return ["| line | measured | bar | | best elsewhere |", "|---|---|---|---|---|", *rows]


def _holds(record: dict[str, Any]) -> str:
    return "holds" if record["holds"] else "**misses**"


def _section(record: dict[str, Any]) -> list[str]:
    head = [f"## {record['name']}", "", f"{record['what']}", "", f"Data: {record['data']}. Measured {record['date']}."]
    notes = [f"- {note}" for note in record["notes"]]
    return [*head, "", *notes, *([""] if notes else []), *_rows(record["detail"]), ""]


def _rows(detail: list[dict[str, Any]]) -> list[str]:
    """Return one table per run of rows that have the same columns."""
    lines: list[str] = []
    columns: list[str] = []
    for row in detail[:ROWS_SHOWN]:
        if list(row) != columns:
            columns = list(row)
            lines += ["", "| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
        lines.append("| " + " | ".join(_cell(value) for value in row.values()) + " |")
    more = len(detail) - ROWS_SHOWN
    return [*lines, "", f"… and {more} more rows."] if more > 0 else lines


def _cell(value: Any) -> str:
    text = f"{value:.4g}" if isinstance(value, float) else str(value)
    return text.replace("|", "\\|").replace("\n", " ")

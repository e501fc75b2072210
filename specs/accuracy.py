"""What brownout costs in accuracy: a table of losses by threshold and way, measured by somebody."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Literal

from pydantic import Field, model_validator

from specs.base import Document, Share, Spec
from specs.catalog import CATALOG
from specs.errors import InputError
from specs.model import ModelSpec
from specs.reading import read_document, read_documents

FULL = "full"
Percent = Annotated[float, Field(ge=0, le=100, allow_inf_nan=False)]


class AccuracyRow(Spec):
    """Losses at one threshold, by way: how many experts are united, or `full` where what is not served is dropped."""

    threshold: Share
    loss_pct: dict[str, Percent] = Field(min_length=1)  # such as {"2": 0.06, "4": 0.03, full: 0.4}


class AccuracyTableSpec(Spec):
    """Accuracy losses of one model under brownout, in percent of what is lost against full service."""

    model: str
    measure: str  # which benchmarks, how averaged
    source: str
    date: str
    rows: tuple[AccuracyRow, ...] = Field(min_length=2)

    @model_validator(mode="after")
    def _one_shape(self) -> AccuracyTableSpec:
        thresholds = [row.threshold for row in self.rows]
        if len(set(thresholds)) < len(thresholds):
            raise ValueError("rows: a threshold is given twice")
        if 1.0 not in thresholds:
            raise ValueError("rows: the row of threshold 1 (full service) is missing")
        ways = set(self.rows[0].loss_pct)
        for row in self.rows:
            if set(row.loss_pct) != ways:
                raise ValueError(f"rows: threshold {row.threshold:g} has other ways than the first row")
        wrong = [way for way in ways if way != FULL and (not way.isdigit() or int(way) < 2)]
        if wrong:
            raise ValueError(f"rows: way {wrong[0]!r} is neither a whole number of at least 2 nor full")
        return self

    @property
    def ways(self) -> tuple[int, ...]:
        """The ways of united experts that the table knows, ascending."""
        return tuple(sorted(int(way) for way in self.rows[0].loss_pct if way != FULL))

    def curve(self, way: int | None) -> tuple[tuple[float, float], ...]:
        """(threshold, loss) of one way, thresholds ascending; way None is full brownout."""
        name = FULL if way is None else str(way)
        return tuple(sorted((row.threshold, row.loss_pct[name]) for row in self.rows))

    def loss(self, way: int | None, threshold: float) -> float:
        """Loss at a threshold: straight between the rows, that of the nearest row beyond them."""
        known = self.curve(way)
        if threshold <= known[0][0]:
            return known[0][1]
        for (low, before), (high, after) in pairwise(known):
            if threshold <= high:
                return before + (after - before) * (threshold - low) / (high - low)
        return known[-1][1]

    def not_monotone(self) -> tuple[str, ...]:
        """Where less service loses less: `way 2: 3.3 % at 0.2, 3.96 % at 0.3`."""
        found = []
        for way in (*self.ways, *([None] if FULL in self.rows[0].loss_pct else [])):
            name = "full brownout" if way is None else f"way {way}"
            for (low, before), (high, after) in pairwise(self.curve(way)):
                if before < after:
                    found.append(f"{name}: {before:g} % at {low:g}, {after:g} % at {high:g}")
        return tuple(found)


class AccuracyTable(Document):
    """An accuracy table document."""

    kind: Literal["AccuracyTable"] = "AccuracyTable"
    spec: AccuracyTableSpec


def published_table(model: ModelSpec) -> AccuracyTable | None:
    """Return the catalogue's table of ``model``, or None."""
    path = CATALOG / "accuracy.yaml"
    names = {model.name.lower(), *(alias.lower() for alias in model.aliases)}
    for data, _ in read_documents(path):
        if str(data["spec"]["model"]).lower() in names:
            return read_document(path, AccuracyTable)
    return None


def refuse_other_model(table: AccuracyTable, model: ModelSpec, where: str) -> None:
    """Raise `InputError` for a table of another model: losses do not carry over."""
    names = {model.name.lower(), *(alias.lower() for alias in model.aliases)}
    if table.spec.model.lower() not in names:
        raise InputError(
            f"{where}: spec.model: the accuracy table is of {table.spec.model}, planned is {model.name}",
            cure="Give the table of this model: losses do not carry over from one model to another.",
        )

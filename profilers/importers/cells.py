"""The cells of a table on their way to arrays: every refusal names file, row, column, value and cure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

from profilers.importers.trace_files import TraceFile
from specs.errors import InputError
from specs.trace import FloatArray, IntArray

if TYPE_CHECKING:
    import polars as pl

Unit = Literal["s", "ms", "us", "ns", "datetime"]
PER_SECOND: dict[Unit, float] = {"s": 1.0, "ms": 1e3, "us": 1e6, "ns": 1e9}
MAX_TOKENS = 2**31 - 1


@dataclass(frozen=True, kw_only=True)
class Cells:
    """The columns of one file, checked on their way to arrays."""

    file: TraceFile
    frame: pl.DataFrame

    def times(self, column: str, unit: Unit) -> FloatArray:
        """Seconds in a column of numbers per ``unit`` or of dates (then from the earliest); zero or more."""
        values = self._seconds_of_dates(column) if unit == "datetime" else self.numbers(column) / PER_SECOND[unit]
        what = "a date and time" if unit == "datetime" else "a time of zero or more"
        self.refuse(~(np.isfinite(values) & (values >= 0)), column, what)
        return values

    def tokens(self, column: str) -> IntArray:
        """Whole numbers of tokens, 1 or more."""
        values = self.numbers(column)
        whole = np.isfinite(values) & (values >= 1) & (values <= MAX_TOKENS) & (values == np.floor(values))
        self.refuse(~whole, column, "a whole number of tokens, 1 or more")
        return values.astype(np.int64)

    def order(self, arrival_s: FloatArray, column: str, *, sort: bool) -> IntArray | None:
        """None where the times ascend; else their stable order, or `InputError` naming the first row out of order."""
        back = np.flatnonzero(np.diff(arrival_s) < 0)
        if back.size == 0:
            return None
        if not sort:
            row, cell = self._cell(int(back[0]) + 1, column)
            before = self._cell(int(back[0]), column)[1]
            cure = "Sort the rows (`sort: true` beside a workload's trace does), and keep one run per file."
            raise InputError(
                f"{self.file.path}: row {row}, {column}: {cell} is earlier than {before} above it", cure=cure
            )
        return np.argsort(arrival_s, kind="stable")

    def codes(self, column: str) -> tuple[IntArray, tuple[str, ...]]:
        """Numbers from 0 for the distinct values of a column, and those values sorted."""
        import polars as pl

        text = self.frame[column].cast(pl.String)
        self.refuse(text.is_null().to_numpy(), column, "a name")
        names, codes = np.unique(text.to_numpy().astype(str), return_inverse=True)
        return codes.astype(np.int64), tuple(str(name) for name in names)

    def blocks(self, column: str, prompt_tokens: IntArray, block_tokens: int) -> tuple[IntArray, IntArray]:
        """Offsets [n + 1] and numbers of each row's prefix blocks, from lists or text such as `[0, 1]` or `0 1`."""
        import polars as pl

        lists = self.frame[column]
        if not isinstance(lists.dtype, pl.List):
            text = lists.cast(pl.String).fill_null("")
            self.refuse(~text.str.contains(r"^\[?[\d\s,;|]*\]?$").to_numpy(), column, "whole numbers")
            lists = text.str.extract_all(r"\d+")
        lists = lists.fill_null([])
        lengths = lists.list.len().to_numpy().astype(np.int64)
        offsets = np.concatenate([[0], np.cumsum(lengths)])
        most = -(-prompt_tokens // block_tokens)
        self.refuse(lengths > most, column, f"no more blocks of {block_tokens} tokens than the prompt fills")
        ids = lists.filter(lists.list.len() > 0).explode().cast(pl.Int64, strict=False).fill_null(-1).to_numpy()
        self.refuse(np.add.reduceat(np.append(ids < 0, 0), offsets[:-1]) * (lengths > 0) > 0, column, "block numbers")
        return offsets, ids

    def numbers(self, column: str) -> FloatArray:
        """Numbers of a column; NaN where a cell is empty or is none."""
        import polars as pl

        series = self.frame[column]
        text = series.str.strip_chars() if series.dtype == pl.String else series
        return text.cast(pl.Float64, strict=False).fill_null(float("nan")).to_numpy()

    def _seconds_of_dates(self, column: str) -> FloatArray:
        import polars as pl

        series = self.frame[column]
        if series.dtype == pl.String:
            plain = series.str.strip_chars().str.replace("T", " ").str.replace(r"(Z|[+-]00:?00)$", "")
            series = plain.str.to_datetime("%Y-%m-%d %H:%M:%S%.f", time_unit="ns", strict=False)
        if not isinstance(series.dtype, pl.Datetime):
            return np.full(len(series), np.nan)
        ticks = series.cast(pl.Datetime("ns")).cast(pl.Int64)
        first = ticks.min() or 0  # subtracted as integers: nanoseconds since 1970 do not fit a double
        return (ticks - first).cast(pl.Float64).fill_null(float("nan")).to_numpy() / 1e9

    def _cell(self, index: int, column: str) -> tuple[int, object]:
        value = self.frame[column][index]
        return int(self.frame["row"][index]), value.to_list() if hasattr(value, "to_list") else value

    def refuse(self, bad: npt.NDArray[np.bool_], column: str, expected: str) -> None:
        """Raise `InputError` with the first row where ``bad`` is true, what it holds and what was expected."""
        if not bad.any():
            return
        row, value = self._cell(int(np.argmax(bad)), column)
        shown = "nothing" if value is None else repr(value)[:60]
        count = int(bad.sum())
        more = f" ({count:,} such rows)" if count > 1 else ""
        raise InputError(
            f"{self.file.path}: row {row}, {column}: found {shown}, expected {expected}{more}",
            cure="Correct the row or remove it from the file.",
        )

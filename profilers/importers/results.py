"""Reads what was measured of an endpoint: a CSV of requests, or the result file of a benchmark tool."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from profilers.importers import guidellm, inference_perf, vllm_bench
from profilers.importers.cells import Cells
from profilers.importers.listed import figures_of
from profilers.importers.trace_files import open_trace, read_columns
from profilers.importers.traces import recognise
from specs.errors import InputError
from specs.measured import Measured
from specs.reading import nearest, read_documents, read_text, sha256

TOOLS: dict[str, Any] = {"vllm bench serve": vllm_bench, "guidellm": guidellm, "inference-perf": inference_perf}
"""Each module has `recognises(data)` and `read(data, name=…, sha256=…, part=…, folder=…)`."""
LATENCIES = ("ttft_s", "tpot_s", "e2e_s")


def read_measured(path: str | Path) -> Measured:
    """Read one measured run; the form is told from what the file holds.

    A guidellm file with several benchmarks is read at its first, or at the one named by `FILE#2`. Raises
    `InputError` for a file that is no known result, breaks its form, or holds no completed request.
    """
    file, part = _part(Path(path))
    if file.suffix in (".json", ".yaml", ".yml"):
        data = _structured(file)
        for module in TOOLS.values():
            if module.recognises(data):
                run: Measured = module.read(data, name=file.name, sha256=sha256(file), part=part, folder=file.parent)
                return run
        keys = ", ".join(list(data)[:8]) if isinstance(data, dict) else type(data).__name__
        raise InputError(f"{file}: not a known result file (it holds {keys})", cure=f"Known: {', '.join(TOOLS)}.")
    if file.name.endswith(".csv") and guidellm.is_csv(file):
        return guidellm.read_csv(file, part)
    return _requests(file)


def _part(path: Path) -> tuple[Path, int]:
    name, mark, number = path.name.rpartition("#")
    return (path.with_name(name), int(number)) if mark and number.isdecimal() and int(number) > 0 else (path, 1)


def _structured(path: Path) -> Any:
    if path.suffix != ".json":
        return read_documents(path)[0][0]
    try:
        return json.loads(read_text(path))
    except json.JSONDecodeError as error:
        problem = f"not valid JSON: {error.msg}"
        raise InputError(f"{path}:{error.lineno}: {problem}", cure="Is the file whole? Copy it again.") from None
    except RecursionError:
        raise InputError(f"{path}: nested too deeply to be a result file") from None


def _requests(path: Path) -> Measured:
    """Read a CSV of `arrival_s,prompt_tokens,output_tokens,ttft_s,tpot_s` and, where given, `e2e_s`."""
    file = open_trace(path)
    form, _ = recognise(file, {})
    extra = [name for name in LATENCIES if name in file.names]
    for name in ("ttft_s", "tpot_s"):
        if name not in extra:
            found = f"{nearest(name, list(file.names))}; found {', '.join(file.names)}"
            raise InputError(f"{path}: missing column {name!r}{found}", cure="Add it, in seconds.")
    cells = Cells(file=file, frame=read_columns(file, [form.arrival, form.prompt, form.output, *extra]))
    arrival_s, prompt, output = (
        cells.times(form.arrival, form.unit), cells.tokens(form.prompt), cells.tokens(form.output)
    )  # fmt: skip
    cells.order(arrival_s, form.arrival, sort=False)
    ttft_s, tpot_s = cells.numbers("ttft_s"), cells.numbers("tpot_s")
    cells.refuse(~(np.isfinite(ttft_s) & (ttft_s > 0)), "ttft_s", "seconds above zero")
    cells.refuse(~(np.isfinite(tpot_s) & (tpot_s >= 0)) & (output > 1), "tpot_s", "seconds")
    tpot_s = np.where(output > 1, tpot_s, np.nan)
    e2e_s = ttft_s + np.nan_to_num(tpot_s) * (output - 1)
    if "e2e_s" in extra:
        e2e_s = cells.numbers("e2e_s")
        cells.refuse(~(np.isfinite(e2e_s) & (e2e_s > 0)), "e2e_s", "seconds above zero")
    return Measured(
        name=file.path.name, tool="requests", sha256=file.sha256, count=len(output),
        arrival_s=arrival_s - arrival_s[0], prompt_tokens=prompt, output_tokens=output, ttft_s=ttft_s, tpot_s=tpot_s,
        e2e_s=e2e_s, figures=figures_of(ttft_s, tpot_s, e2e_s),
    )  # fmt: skip

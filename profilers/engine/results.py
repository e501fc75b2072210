"""The profile of an engine that others measured: a benchmark's requests, or the steps that the engine logged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from profilers.engine.document import Extents, Labels, engine_document
from profilers.engine.fitting import fit_steps
from profilers.engine.probing import OnProgress
from profilers.engine.spans import request_windows
from profilers.engine.step_log import is_step_log, read_step_log
from profilers.engine.steps import Steps, joined
from profilers.importers.results import read_measured
from specs.engine import EngineProfile, ServerFacts
from specs.errors import InputError
from specs.reading import sha256
from specs.trace import FloatArray

BUDGET_TOKENS = 8192  # of a step, where nobody says: vLLM's default for serving on a large GPU [vLLM 0.19 docs]
BUDGET_NOTE = f"the token budget of a step is taken to be {BUDGET_TOKENS}: --max-num-batched-tokens says otherwise"
CONTEXT_NOTE = "without --kv-cache-tokens the log does not tell context: its cost lies in the other terms"


def profile_results(paths: Sequence[Path], labels: Labels, on_progress: OnProgress) -> EngineProfile:
    """Fit the steps of an engine to what others measured of it: requests, or logged steps; all of one kind.

    Requests are those that `read_measured` reads, whole and with arrival times. Raises `InputError`.
    """
    if labels.model is None:
        raise InputError("--results needs --model", cure="Name the model as Deployments do: --model llama-3.1-8b.")
    logs = [is_step_log(path) for path in paths]
    if any(logs) and not all(logs):
        raise InputError("logged steps and requests cannot be fitted together", cure="Give files of one kind.")
    parts: list[tuple[Steps, FloatArray, Extents]] = []
    for number, path in enumerate(paths):
        on_progress(number, len(paths), f"reading {path.name}")
        parts.append(_read(path, logs[number], labels))
    grid = max((grid for _, grid, _ in parts), key=len)
    most = [max(extents[axis] for _, _, extents in parts) for axis in range(3)]
    steps = joined([_widened(part, len(grid) - 1) for part, _, _ in parts])
    return engine_document(
        replace(labels, engine=labels.engine or "unknown"),
        fit_steps(steps, grid, "step log" if all(logs) else "requests"),
        (most[0], most[1], most[2]),
        f"fitted to {', '.join(path.name for path in paths)}",
        server=ServerFacts(kv_cache_tokens=labels.kv_cache_tokens),
        notes=_notes(labels, all(logs)),
        inputs={path.name: sha256(path) for path in paths},
    )


def _read(path: Path, logged: bool, labels: Labels) -> tuple[Steps, FloatArray, Extents]:
    if logged:
        return read_step_log(path, labels.kv_cache_tokens)
    return request_windows(read_measured(path), labels.max_num_batched_tokens or BUDGET_TOKENS)


def _widened(steps: Steps, width: int) -> Steps:
    """Add the intervals of the token grid that only others reach."""
    missing = width - steps.tokens.shape[1]
    return replace(steps, tokens=np.pad(steps.tokens, ((0, 0), (0, missing))))


def _notes(labels: Labels, logged: bool) -> list[str]:
    if logged:
        return [] if labels.kv_cache_tokens else [CONTEXT_NOTE]
    return [] if labels.max_num_batched_tokens else [BUDGET_NOTE]

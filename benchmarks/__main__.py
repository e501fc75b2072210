"""Runs one line of the benchmark table, or lists them."""

from __future__ import annotations

import importlib
import json
import sys
import time
from pathlib import Path

from benchmarks.line import Line, Result
from specs.errors import TonnageError

NAMES = (
    "replay",
    "points",
    "coverage",
    "choice",
    "unseen-device",
    "memory",
    "queueing",
    "engine-speed",
    "plan-speed",
    "start-up",
    "planner-speed",
    "drift",
    "layer-sum",
    "slo-cost",
    "lsram",
    "msars-split",
    "forecast",
    "brownout",
    "bucketserve",
    "uellm",
    "application-theory",
    "cilantro",
    "cocoserve",
    "layer-services",
    "manifests",
    "hpa",
    "week",
    "captain",
    "aibrix",
    "scalers",
    "interference",
    "corun",
    "engine-loop",
    "services",
    "history",
)
RESULTS = Path(__file__).parent / "results"


def load(name: str) -> tuple[Line, object]:
    """Return a benchmark's line and its module."""
    module = importlib.import_module(f"benchmarks.{name.replace('-', '_')}")
    return module.LINE, module


def run(name: str) -> Result:
    """Run one benchmark, write `results/NAME.json` and return what it found."""
    line, module = load(name)
    started = time.process_time()
    result: Result = module.run()  # type: ignore[attr-defined]
    record = {
        "name": line.name, "what": line.what, "bar": line.bar, "data": line.data, "best": line.best,
        "holds": result.holds, "text": result.text, "figures": result.figures, "detail": list(result.detail),
        "notes": list(result.notes), "cpu_s": round(time.process_time() - started, 1),
        "date": time.strftime("%Y-%m-%d"),
    }  # fmt: skip
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.json").write_text(json.dumps(record, indent=1, default=float) + "\n")
    return result


def main(arguments: list[str]) -> int:
    """`--list` lists the lines; names run them, the figure printed last; the exit code says whether the bars hold."""
    if arguments in ([], ["--list"]):
        for name in NAMES:
            line, _ = load(name)
            print(f"{name:14} bar: {line.bar}\n{'':14} {line.what} [{line.data}]")
        return 0
    unknown = [name for name in arguments if name not in NAMES and name != "all"]
    if unknown:
        print(f"unknown benchmark {unknown[0]!r}; known: {', '.join(NAMES)}", file=sys.stderr)
        return 2
    outcomes = [_attempt(name) for name in (NAMES if arguments == ["all"] else arguments)]
    return max(outcomes)


def _attempt(name: str) -> int:
    """Run one line and print it: 0 it holds, 1 it misses, or the exit code of what it needs and is not here."""
    try:
        result = run(name)
    except TonnageError as error:
        print(f"{name}: not run: {error}", file=sys.stderr)
        return error.exit_code
    for row in result.detail:
        print(
            "  ".join(
                f"{key}={value:.4g}" if isinstance(value, float) else f"{key}={value}" for key, value in row.items()
            )
        )
    for note in result.notes:
        print(f"note: {note}")
    print(f"{name}: {result.text}  [{'holds' if result.holds else 'MISSES'}: {load(name)[0].bar}]")
    return 0 if result.holds else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

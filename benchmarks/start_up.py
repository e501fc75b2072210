"""How long `tonnage --help` takes, and the first plan after an installation, compilation included."""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.line import Line, Result

LINE = Line(
    name="start-up",
    what="`tonnage --help`, median of nine runs; `tonnage plan serving` on the sample with an empty cache folder",
    bar="≤ 0.25 CPU-s / ≤ 15 s",
    data="sample_workloads",
    best="typer with 30 lazy commands 0.19 CPU-s; krr 5–7 s",
)
ROOT = Path(__file__).resolve().parent.parent
HELP_CPU_S = 0.25
PLAN_CPU_S = 15.0
REPEATS = 9


def run() -> Result:
    """Time both commands as processes of their own; CPU time holds the bar, because wall time depends on neighbours."""
    help_s = statistics.median(_seconds("--help")[0] for _ in range(REPEATS))
    samples = ROOT / "sample_workloads"
    arguments = ("plan", "serving", str(samples / "chat.yaml"), "--cluster", str(samples / "cluster.yaml"))
    with tempfile.TemporaryDirectory() as cache:
        first_s, first_wall_s = _seconds(*arguments, cache=cache)
        second_s, _ = _seconds(*arguments, cache=cache)
    return Result(
        holds=help_s <= HELP_CPU_S and first_s <= PLAN_CPU_S,
        text=f"{help_s:.2f} CPU-s / {first_s:.1f} CPU-s",
        figures={"help_cpu_s": help_s, "first_plan_cpu_s": first_s, "first_plan_wall_s": first_wall_s},
        detail=(
            {"command": "tonnage --help", "cpu_s": help_s},
            {"command": "tonnage plan serving, nothing cached", "cpu_s": first_s},
            {"command": "tonnage plan serving, again", "cpu_s": second_s},
        ),
    )


def _seconds(*arguments: str, cache: str | None = None) -> tuple[float, float]:
    """Return the CPU and wall seconds of one run of tonnage."""
    environment = os.environ | ({"XDG_CACHE_HOME": cache} if cache else {})
    environment.pop("NUMBA_CACHE_DIR", None)
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    command = (sys.executable, "-m", "tonnage", *arguments)
    subprocess.run(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return cpu_s, time.monotonic() - started

"""The loop closed on a real engine: slices of loads, each between two profiles of the engine, predicted and run."""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from subprocess import Popen
from typing import Any

import numpy as np

from benchmarks.engine_loop_report import FIGURES, SHARES, Figures, Load, Slice, result, typical_s
from benchmarks.limited import run_limited
from benchmarks.line import Line, Result
from benchmarks.vllm_cpu import LIMITS, NAME, Server, engine_python, generator, load, serving, two_cores
from profilers.engine.step_log import read_step_log
from profilers.importers.results import read_measured
from specs.engine import EngineProfile
from specs.errors import TonnageError
from specs.measured import Measured
from specs.reading import read_document
from specs.writing import data_to_yaml

ROOT = Path(__file__).resolve().parent.parent
SLICE_S, FEWEST, MOST = 20.0, 30, 200  # seconds of one slice, and bounds of its requests
LATEST_S = 22.5 * 60.0  # of the whole, after which no slice is begun
PROBE = ("--max-requests", "150", "--max-seconds", "60", "--longest-prompt", "1024")
LAYERS_S = 60
COMMAND_LIMIT_S = 300.0
FRESH_S = 30.0  # for so long the calibration after one slice is the one before the next
WARM_PER_S, WARM = 2.5, 75  # the load before anything is measured
SEED = 7

LINE = Line(
    name="engine-loop",
    what="vllm-cpu with a small random-weight Llama: slices of four loads below saturation and one above, each slice "
    "between two `profile engine`, `predict serving` of the arrivals that came, and the run by vLLM's own generator",
    bar="TTFT and TPOT mean within 12 %, p90 within 18 %, at four loads, of slices whose calibrations agree within "
    "10 %; above saturation throughput within 10 %",
    data="measured where it runs: vllm-cpu 0.32, one core for the engine, one for its clients",
    best="a linear step model: TTFT mean −5…+3 %, TPOT mean +5…+15 %, p90 up to 18 %",
)
DEVICE = """apiVersion: tonnage/v1
kind: Device
metadata: {name: this-cpu}
spec:
  {name: this-cpu, architecture: cpu, sm_count: 1, boost_clock_mhz: 3000, l2_cache_mib: 32, power_limit_w: 100,
   memory_gib: 16, memory_bandwidth_gb_per_s: 15, peak_tflops: {bf16: 0.2, fp16: 0.1, fp32: 0.1},
   links: {pcie_gb_per_s: 10}, accuracy_claim: false}
"""
DEPLOYMENT = """apiVersion: tonnage/v1
kind: Deployment
metadata: {{name: one-core}}
spec:
  model: {name}/config.json
  device: this-cpu.yaml
  profile: {profile}
  engine: {{version: "0.32", max_num_seqs: {max-num-seqs}, max_num_batched_tokens: {max-num-batched-tokens},
    max_model_len: {max-model-len}, block_size_tokens: 128, cuda_graphs: false, async_scheduling: false}}
"""
WORKLOAD = """apiVersion: tonnage/v1
kind: Workload
metadata: {{name: load}}
spec:
  model: {name}/config.json
  arrivals: {{trace: {trace}}}
  lengths: {{from: trace}}
  slo: {{attainment: 0.9, ttft_s: {{p99: 60}}}}
"""


@dataclass
class Loop:
    """One engine, its load generator, the folder of everything that was made, and the calibrations so far."""

    server: Server
    generator: Popen[str]
    folder: Path
    began_s: float  # on the steady clock, as `calibrated_s`
    calibrations: list[Path] = field(default_factory=list)
    calibrated_s: float = 0.0
    saturation_per_s: float = 0.0

    @property
    def spent_s(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self.began_s

    def calibrate(self) -> Path:
        """Profile the engine now; keep the lines that it logged meanwhile, for the linear model."""
        number = len(self.calibrations)
        profile, log = self.folder / f"engine{number}.yaml", self.folder / f"engine{number}.log"
        before = self.server.log.stat().st_size
        tonnage(
            self.server, "profile", "engine", self.server.url, "--model", NAME, "--device", "this-cpu", *PROBE,
            "--max-num-batched-tokens", str(LIMITS["max-num-batched-tokens"]), "--seed", str(number),
            "-w", str(profile),
        )  # fmt: skip
        log.write_bytes(self.server.log.read_bytes()[before:])
        self.calibrations.append(profile)
        self.calibrated_s = time.monotonic()
        return profile

    def run(self, rate_per_s: float) -> Measured:
        """Send one slice of a load by vLLM's own generator, each with requests of its own."""
        number = len(self.calibrations)
        count = int(np.clip(rate_per_s * SLICE_S, FEWEST, MOST))
        name = self.folder / f"run{number}.json"
        return read_measured(load(self.generator, self.server, rate_per_s, count, SEED + number, name))

    def just_before(self) -> Path:
        """Return the last calibration where it is fresh, else a new one."""
        fresh = self.calibrations and time.monotonic() - self.calibrated_s < FRESH_S
        return self.calibrations[-1] if fresh else self.calibrate()


def run() -> Result:
    """Make the engine, and measure all loads."""
    began_s = time.monotonic()
    python = engine_python()
    with (
        tempfile.TemporaryDirectory() as name,
        serving(python, Path(name)) as server,
        generator(server) as sending,
    ):
        folder = Path(name)
        (folder / "this-cpu.yaml").write_text(DEVICE)
        load(sending, server, WARM_PER_S, WARM, SEED - 1, folder / "warm.json")
        loop = Loop(server, sending, folder, began_s)
        made_s = loop.spent_s
        loads = measure(loop)
        layers = layers_alone(loop, [one.accepted[0].trace for one in loads if one.share < 1 and one.accepted])
    return result(loads, layers, made_s, loop.spent_s)


def measure(loop: Loop) -> list[Load]:
    """Run a slice of each load in turn until each has enough whose calibrations agree, or the time is spent."""
    loads = [Load(share=share) for share in SHARES]
    while short := [one for one in loads if one.lacking]:
        for one in short:
            if loop.spent_s > LATEST_S:
                return loads
            one.slices.append(measure_slice(loop, one.share))
            differ = one.slices[-1].disagreement
            print(f"engine-loop: a slice at {one.share:g}: calibrations differ by {differ:.1%}", file=sys.stderr)
    return loads


def measure_slice(loop: Loop, share: float) -> Slice:
    """Calibrate, run, calibrate; then predict the run by both calibrations and by the linear model."""
    before = loop.just_before()
    loop.saturation_per_s = loop.saturation_per_s or saturation(before)
    run = loop.run(share * loop.saturation_per_s)
    after = loop.calibrate()
    trace = write_trace(run, loop.folder / f"{before.stem}-trace.csv")
    linear = linear_profile(before, loop.folder / f"{before.stem}-linear.yaml")
    first, last, naive = (predict(loop, one, trace) for one in (before, after, linear))
    steps = [typical_s(read_document(one, EngineProfile).spec.steps) for one in (before, after)]
    return Slice(share=share, run=run, trace=trace, steps=(steps[0], steps[1]), before=first, after=last, linear=naive)


def saturation(profile: Path) -> float:
    """Requests per second at the most that any concurrency brought."""
    levels = _document(profile)["spec"]["levels"]
    return float(max(level["tokens_per_s"] / level["output_tokens"] for level in levels))


def write_trace(run: Measured, path: Path) -> Path:
    """Write what arrived when, and nothing of how it was served."""
    assert run.arrival_s is not None
    rows = zip(run.arrival_s, run.prompt_tokens, run.output_tokens, strict=True)
    lines = [f"{at:.6f},{prompt},{output}\n" for at, prompt, output in rows]
    path.write_text("arrival_s,prompt_tokens,output_tokens\n" + "".join(lines))
    return path


def predict(loop: Loop, profile: Path, trace: Path) -> Figures:
    """Return what `tonnage predict serving` says of ``trace`` by ``profile``."""
    deployment, workload = loop.folder / "deployment.yaml", loop.folder / "workload.yaml"
    deployment.write_text(DEPLOYMENT.format(name=NAME, profile=profile.name, **LIMITS))
    workload.write_text(WORKLOAD.format(name=NAME, trace=trace.name))
    told = json.loads(tonnage(loop.server, "predict", "serving", str(deployment), str(workload), "-o", "json"))
    expected = told["expected"]
    figures = {name: expected[f"{name[:4]}_s"][name[5:]]["value"] for name in FIGURES}
    return {**figures, "requests per s": expected["requests_per_s"]["value"]}


def linear_profile(profile: Path, path: Path) -> Path:
    """Write the naive model: least squares of logged steps over a constant, prompt tokens and decoding sequences."""
    steps, _, _ = read_step_log(profile.with_suffix(".log"), None)
    prompt = steps.tokens @ np.diff(_grid(steps.tokens.shape[1])) - (steps.sequences - steps.prompts)
    columns = np.column_stack([np.ones(len(steps)), prompt, steps.sequences - steps.prompts])
    (base, per_token, per_sequence), *_ = np.linalg.lstsq(columns, steps.seconds, rcond=None)
    most = LIMITS["max-num-batched-tokens"]
    document = _document(profile)
    document["spec"]["steps"] = {
        "base_s": max(0.0, float(base)), "tokens": [0, most], "tokens_s": [0.0, float(per_token) * most],
        "per_sequence_s": max(0.0, float(per_sequence - per_token)),
    }  # fmt: skip
    path.write_text(data_to_yaml(document))
    return path


def _grid(intervals: int) -> np.ndarray[Any, Any]:
    return np.concatenate([[0.0], 2.0 ** np.arange(intervals)])


def layers_alone(loop: Loop, traces: list[Path]) -> list[Figures | str]:
    """Predict each trace from `profile layers` alone, by the torch that the engine has; or say why it cannot be."""
    profile = loop.folder / "layers.yaml"
    arguments = ("profile", "layers", str(loop.server.model / "config.json"), "--device", "cpu")
    try:
        tonnage(loop.server, *arguments, "--budget", f"{LAYERS_S}s", "-w", str(profile), torch=True)
        text = profile.read_text().replace("device: cpu", "device: this-cpu")
        profile.write_text(text)
        return [predict(loop, profile, trace) for trace in traces]
    except TonnageError as error:
        return [str(error)]


def tonnage(server: Server, *arguments: str, torch: bool = False) -> str:
    """Run one command on the clients' core, or, with ``torch``, by the engine's python on the engine's core."""
    engine, client = two_cores()
    python: Path | str = server.python if torch else sys.executable
    here = os.pathsep.join([str(ROOT), *(path for path in sys.path if path.endswith("site-packages") and torch)])
    environment = os.environ | {"PYTHONPATH": here, "TONNAGE_STORE": str(server.log.with_name("store.db"))}
    if torch:
        environment |= {"OMP_NUM_THREADS": "1"}
    command = ["taskset", "-c", str(engine if torch else client), str(python), "-m", "tonnage", *arguments]
    done = run_limited(command, COMMAND_LIMIT_S, env=environment, cwd=ROOT)
    if done.returncode:
        raise TonnageError(f"tonnage {' '.join(arguments[:2])}: {done.stderr[-600:]}")
    return done.stdout


def _document(path: Path) -> dict[str, Any]:
    import yaml

    document: dict[str, Any] = yaml.safe_load(path.read_text())
    return document

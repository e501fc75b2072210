"""Runs under the engine's python: imports vLLM's load generator once, and forks for each load that a line names."""

import contextlib
import json
import os
import sys

import vllm.benchmarks.serve  # type: ignore[import-not-found]  # noqa: F401  # else each load imports it anew
from vllm.entrypoints.cli.main import main  # type: ignore[import-not-found]

if __name__ == "__main__":
    print("ready", flush=True)
    for line in sys.stdin:
        if not (child := os.fork()):
            sys.argv = ["vllm", *json.loads(line)]
            with contextlib.redirect_stdout(sys.stderr):
                main()
            os._exit(0)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)

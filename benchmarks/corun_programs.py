"""Four real programs that share cores, compiled here: streamer, cache walker, arithmetic, small server."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from specs.errors import MissingHardwareError

PROGRAMS = ("stream", "cache", "compute", "server")
SOURCE = r"""
#define _GNU_SOURCE
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
static double now(void) { struct timespec t; clock_gettime(CLOCK_MONOTONIC, &t); return t.tv_sec + 1e-9 * t.tv_nsec; }
static double cpu(void) {
  struct timespec t; clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t); return t.tv_sec + 1e-9 * t.tv_nsec; }
static volatile uint64_t sink;
static uint64_t *array; static size_t length; static uint64_t at;
static void stream(size_t from, size_t count) {           /* reads lines one after the other */
  uint64_t sum = 0; for (size_t i = 0; i < count; i++) sum += array[((from + i) * 8) % length]; sink += sum; }
static void walk(size_t count) {                          /* each line names the next one */
  uint64_t i = at; for (size_t n = 0; n < count; n++) i = array[i]; at = i; }
static void compute(size_t count) {
  double x = 1.0, y = 0.5; for (size_t i = 0; i < count; i++) { x = x * 0.999999 + y; y = y * 1.000001 - x * 1e-9; }
  sink += (uint64_t)x; }
static void ring(size_t lines) {                          /* one random cycle through all lines (Sattolo) */
  size_t *order = malloc(lines * sizeof *order); uint64_t s = 88172645463325252ull;
  for (size_t i = 0; i < lines; i++) order[i] = i;
  for (size_t i = lines - 1; i > 0; i--) {
    s ^= s << 13; s ^= s >> 7; s ^= s << 17; size_t j = s % i, k = order[i]; order[i] = order[j]; order[j] = k; }
  for (size_t i = 0; i < lines; i++) array[order[i] * 8] = order[(i + 1) % lines] * 8;
  free(order); }
int main(int argc, char **argv) {
  if (argc != 5) return 2;
  const char *mode = argv[1]; double begin = atof(argv[3]), end = atof(argv[4]);
  cpu_set_t set; CPU_ZERO(&set); CPU_SET(atoi(argv[2]), &set); if (sched_setaffinity(0, sizeof set, &set)) return 3;
  size_t bytes = !strcmp(mode, "stream") ? 64u << 20 : !strcmp(mode, "cache") ? 6u << 20 : 512u << 10;
  length = bytes / 8; array = aligned_alloc(64, bytes); memset(array, 1, bytes);
  if (!strcmp(mode, "cache") || !strcmp(mode, "server")) ring(bytes / 64);
  size_t from = 0; uint64_t units = 0; double busy = 0, used = 0, started = 0;
  while (1) {
    double a = now(); if (a >= end) break;
    if (started == 0 && a >= begin) { started = a; used = cpu(); units = 0; busy = 0; }
    if (!strcmp(mode, "stream")) { stream(from, 4096); from += 4096; }
    else if (!strcmp(mode, "cache")) walk(4096);
    else if (!strcmp(mode, "compute")) compute(40000);
    else { walk(8192); compute(60000); }
    busy += now() - a; units++;
    if (!strcmp(mode, "server")) { struct timespec nap = {0, 700000}; nanosleep(&nap, 0); }
  }
  printf("%.9g %.9g\n", busy / (units ? units : 1), (cpu() - used) / (now() - started));
  return 0; }
"""
BYTES_PER_UNIT = {"stream": 4096 * 64, "cache": 4096 * 64, "compute": 0, "server": 8192 * 64}
BEYOND_L2 = {"stream": 1.0, "cache": 1.0, "compute": 0.0, "server": 0.0}
"""Whether the lines it touches lie beyond a private cache of 1 MiB: 64 MiB, 6 MiB, nothing, 0.5 MiB."""
WARM_S, WINDOW_S = 0.2, 0.45
ATTEMPTS = 4
LEAST_SHARE = 0.95
"""A mix runs again where a program did no work in the window, or where others had more of a busy core than the rest."""


@dataclass(frozen=True)
class Run:
    """One program of a mix: seconds per unit of its work by the clock, and the share of its core that it used."""

    unit_s: float
    cpu_share: float


def build(folder: Path) -> Path:
    """Compile the programs; raises `MissingHardwareError` without a C compiler."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        raise MissingHardwareError("there is no C compiler", cure="Install gcc.")
    source, binary = folder / "corun.c", folder / "corun"
    source.write_text(SOURCE)
    subprocess.run([compiler, "-O2", "-o", str(binary), str(source)], check=True)
    return binary


@contextmanager
def ahead() -> Iterator[None]:
    """Let what is started meanwhile go before other work on the machine, all of it alike, where that is allowed."""
    group = Path("/proc/self/autogroup")
    try:
        before = group.read_text().split()[-1]
        group.write_text("-20")
    except (OSError, IndexError):
        yield
        return
    try:
        yield
    finally:
        group.write_text(before)


def run_mix(binary: Path, mix: Sequence[tuple[str, int]]) -> list[Run]:
    """Run programs at the same time, each pinned to its CPU, and return what each did in the shared window.

    Raises `MissingHardwareError` where one of them never gets to work in it.
    """
    for _ in range(ATTEMPTS):
        found = _once(binary, mix)
        if all(one.unit_s > 0 for one in found) and _undisturbed(mix, found):
            return found
    if all(one.unit_s > 0 for one in found):
        return found
    raise MissingHardwareError("the machine is too busy to run the programs together", cure="Run it alone.")


def _undisturbed(mix: Sequence[tuple[str, int]], found: Sequence[Run]) -> bool:
    """Whether the programs had each core to themselves on which one of them is always ready."""
    busy = {cpu for name, cpu in mix if name != "server"}
    shares = [sum(run.cpu_share for (_, at), run in zip(mix, found, strict=True) if at == cpu) for cpu in busy]
    return all(share >= LEAST_SHARE for share in shares)


def _once(binary: Path, mix: Sequence[tuple[str, int]]) -> list[Run]:
    begin = time.clock_gettime(time.CLOCK_MONOTONIC) + WARM_S
    arguments = [[str(binary), name, str(cpu), f"{begin:.6f}", f"{begin + WINDOW_S:.6f}"] for name, cpu in mix]
    started = [subprocess.Popen(one, stdout=subprocess.PIPE, text=True) for one in arguments]
    found = []
    for one in started:
        text, _ = one.communicate()
        unit_s, share = map(float, text.split())
        found.append(Run(unit_s, share))
    return found

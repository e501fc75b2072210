"""Small rows of contention whose law is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from profilers.importers.contention import neighbours
from specs.contention import ContentionRows

APPS = ("web", "cache", "batch", "search")
SENSITIVE = {"web": 0.05, "cache": 0.30, "batch": 0.02, "search": 0.15}
ALONE = {"web": 1.0, "cache": 1.5, "batch": 0.8, "search": 1.2}
MISSES_PER_S = {"web": 1.0e6, "cache": 1.5e6, "batch": 1.2e6, "search": 0.8e6}
CORES = {"web": 1.0, "cache": 0.5, "batch": 4.0, "search": 2.0}


def rows(seed: int = 0, *, windows: int = 60, noise: float = 0.02, kinds: int = 2) -> ContentionRows:
    """Four applications on machines of two types; log CPI rises by their own slope with the neighbours' cores / 8."""
    rng = np.random.default_rng(seed)
    app, node, window = [], [], []
    for w in range(windows):
        for n in range(kinds):
            for name in rng.choice(APPS, size=int(rng.integers(1, 5)), replace=False):
                app.append(str(name))
                node.append(n)
                window.append(w)
    cores = np.array([CORES[name] for name in app]) * rng.uniform(0.8, 1.2, len(app))
    at, when = np.array(node), np.array(window)
    others = neighbours(cores, at, when)
    law = np.array([SENSITIVE[name] for name in app]) * others / 8 * 4
    alone = np.array([ALONE[name] for name in app]) * np.where(at == 0, 1.0, 1.1)
    return ContentionRows(
        quantity="cpi", app=np.array(app), node_type=np.where(at == 0, "old", "new"),
        value=alone * np.exp(law + rng.normal(0, noise, len(app))), own={"cpu_cores": cores},
        others={"cpu_cores": others}, node=at, window=when, node_names=("n0", "n1")[:kinds],
        window_names=tuple(f"w{w:02d}" for w in range(windows)),
        qos=np.where(np.array(app) == "batch", "BE", "LS"), inputs={"rows": "made up"},
    )  # fmt: skip


def time_sharing(seed: int, *, others: tuple[int, ...], windows: int = 80) -> ContentionRows:
    """Programs that are always ready on one CPU: each is slowed to 1 + Σ of what a turn of each neighbour costs it."""
    rng = np.random.default_rng(seed)
    own = {"cpu": (1.0, 0.0), "walk": (1.0, 0.5), "stream": (1.0, 2.0)}  # CPUs, GB/s
    refill = {"cpu": 0.0, "walk": 2.0, "stream": 0.1}
    names = tuple(own)
    mixes = [rng.choice(names, size=1 + int(rng.choice(others))) for _ in range(windows)]
    app = np.concatenate(mixes)
    window = np.repeat(np.arange(windows), [len(mix) for mix in mixes])
    node = np.zeros(len(app), dtype=np.int64)
    cores, gb = (np.array([own[str(name)][k] for name in app]) for k in (0, 1))
    around = {
        "cpu_cores": neighbours(cores, node, window), "memory_gb_per_s": neighbours(gb, node, window)
    }  # fmt: skip
    slow = 1 + around["cpu_cores"] + np.array([refill[str(name)] for name in app]) * around["memory_gb_per_s"]
    return ContentionRows(
        quantity="slowdown", app=app, node_type=np.full(len(app), "one"),
        value=slow * np.exp(rng.normal(0, 0.02, len(app))), own={"cpu_cores": cores, "memory_gb_per_s": gb},
        others=around, node_figures={"node_cores": np.ones(len(app))}, node=node, window=window,
        inputs={"rows": "made up"},
    )  # fmt: skip


def hidden_force(seed: int, force: dict[str, float], *, windows: int = 300, noise: float = 0.02) -> ContentionRows:
    """As `rows`, but log CPI rises with the neighbours' misses times a factor of each that no counter shows."""
    one = rows(seed, windows=windows, noise=noise, kinds=1)
    misses = np.array([MISSES_PER_S[name] for name in one.app])
    factor = np.array([force[name] for name in one.app])
    pressed = neighbours(misses * factor, one.node, one.window)
    slope = np.array([SENSITIVE[name] for name in one.app])
    alone = np.array([ALONE[name] for name in one.app])
    drawn = np.random.default_rng(seed).normal(0, noise, len(one))
    return replace(
        one, value=alone * np.exp(slope * pressed / 2e6 + drawn), own=one.own | {"llc_misses_per_s": misses},
        others=one.others | {"llc_misses_per_s": neighbours(misses, one.node, one.window)},
    )  # fmt: skip

"""Small rows of contention whose law is known."""

from __future__ import annotations

import numpy as np

from profilers.importers.contention import neighbours
from specs.contention import ContentionRows

APPS = ("web", "cache", "batch", "search")
SENSITIVE = {"web": 0.05, "cache": 0.30, "batch": 0.02, "search": 0.15}
ALONE = {"web": 1.0, "cache": 1.5, "batch": 0.8, "search": 1.2}
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

"""A synthetic world of interference: node types, applications and a hidden nonlinear law of CPI. Nothing is measured.

`papers`' setting of the C-Koordinator comparison: 20 applications, 3 node types, a law that the planner never sees.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from specs.contention import ContentionRows

Array = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
NODE_TYPES = ("small", "medium", "large")
CORES = np.array([16.0, 32.0, 64.0])
MEMORY_GIB = np.array([64.0, 128.0, 256.0])
LLC_MIB = np.array([24.0, 40.0, 128.0])
GB_PER_S = np.array([45.0, 90.0, 200.0])
SPEED = np.array([1.15, 1.0, 0.9])  # factor on the CPI alone


@dataclass(frozen=True, kw_only=True)
class World:
    """A applications; every array [A] unless said otherwise. ``noise``: sd of log CPI from window to window."""

    cpi: Array
    cores: Array  # used by one pod at load 1
    memory_gib: Array
    working_set_mib: Array
    gb_per_s: Array  # at load 1
    cache: Array  # sensitivities
    bandwidth: Array
    sharing: Array
    misses_per_s: Array  # at load 1
    noise: float

    @property
    def apps(self) -> tuple[str, ...]:
        """Names."""
        return tuple(f"app-{number:02d}" for number in range(len(self.cpi)))


def draw(seed: int, *, apps: int = 20, noise: float = 0.05) -> World:
    """Draw a world."""
    rng = np.random.default_rng(seed)
    cores = rng.uniform(0.4, 4.0, apps)
    gb_per_s = cores * rng.gamma(1.2, 1.3, apps)
    return World(
        cpi=rng.lognormal(0.0, 0.35, apps), cores=cores, memory_gib=rng.uniform(0.5, 12.0, apps),
        working_set_mib=rng.gamma(1.5, 3.0, apps), gb_per_s=gb_per_s,
        cache=rng.gamma(1.5, 0.12, apps), bandwidth=rng.gamma(1.5, 0.08, apps), sharing=rng.gamma(2.0, 0.05, apps),
        misses_per_s=gb_per_s / 64e-9 * rng.uniform(0.5, 0.9, apps), noise=noise,
    )  # fmt: skip


def log_slowdown(world: World, app: IntArray, node_type: IntArray, own_load: Array, pressure: Array) -> Array:
    """Return the hidden law: log of CPI over CPI alone. ``pressure`` [n, 3]: neighbours' cores, MiB wanted, GB/s.

    A sigmoid in the cache that is wanted, a queue in the bandwidth, a cube in the cores, a product of the first two.
    """
    a, t = app, node_type

    def law(cores: Array, mib: Array, gb: Array) -> Array:
        wanted = (mib + world.working_set_mib[a]) / LLC_MIB[t]
        spilt = 1.0 / (1.0 + np.exp(-(wanted - 0.9) / 0.18))
        used = np.minimum((gb + world.gb_per_s[a] * own_load) / GB_PER_S[t], 0.92)
        queue = used**2 / (1.0 - used)
        shared = np.minimum((cores + world.cores[a] * own_load) / CORES[t], 1.3) ** 3
        return np.asarray(
            world.cache[a] * spilt + world.bandwidth[a] * queue * (1.0 + spilt) + world.sharing[a] * shared
        )

    return law(*pressure.T) - law(*np.zeros_like(pressure).T)


def log_alone(world: World, app: IntArray, node_type: IntArray, own_load: Array) -> Array:
    """Return log CPI without neighbours: by application, node type and a little by load."""
    return np.asarray(np.log(world.cpi[app] * SPEED[node_type]) + 0.06 * own_load**2)


def rows(world: World, seed: int, *, windows: int) -> tuple[ContentionRows, Array]:
    """Return what `profile cpi` would measure in so many windows of random mixes, and the true log CPI of each row.

    Load varies between 0.3 and 1.2; the measured misses and bandwidth of a row carry 10 % noise of their own.
    """
    rng = np.random.default_rng(seed)
    app, kind, window, load = _mixes(world, rng, windows)
    own = np.column_stack(
        [
            world.cores[app] * load,
            world.working_set_mib[app],
            world.gb_per_s[app] * load,
            world.misses_per_s[app] * load,
        ]
    )
    total = np.zeros((windows, own.shape[1]))
    np.add.at(total, window, own)
    hidden = (total[window] - own)[:, :3]
    truth = log_alone(world, app, kind, load) + log_slowdown(world, app, kind, load, hidden)
    seen = own * rng.lognormal(0.0, [0.02, 0.0, 0.1, 0.1], own.shape)
    seen_total = np.zeros_like(total)
    np.add.at(seen_total, window, seen)
    others = np.maximum(seen_total[window] - seen, 0.0)
    names = {"cpu_cores": 0, "llc_misses_per_s": 3, "memory_gb_per_s": 2}
    value = np.exp(truth + rng.normal(0.0, world.noise, len(truth)))
    return ContentionRows(
        quantity="cpi", app=np.array(world.apps)[app], node_type=np.array(NODE_TYPES)[kind], value=value, load=load,
        own={name: seen[:, at] for name, at in names.items()},
        others={name: others[:, at] for name, at in names.items()},
        node_figures={"node_cores": CORES[kind], "node_llc_mib": LLC_MIB[kind], "node_gb_per_s": GB_PER_S[kind]},
        node=window, window=np.zeros(len(window), dtype=np.int64), node_names=tuple(map(str, range(windows))),
        window_names=("0",), inputs={"synthetic": f"seed {seed}"},
    ), truth  # fmt: skip


def _mixes(
    world: World, rng: np.random.Generator, windows: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int64], Array]:
    """Fill each window's node with random pods up to a random share of its cores."""
    app, kind, window = [], [], []
    for number in range(windows):
        t = int(rng.integers(3))
        room = CORES[t] * rng.uniform(0.1, 1.1)
        while True:
            a = int(rng.integers(len(world.cpi)))
            room -= world.cores[a]
            app.append(a)
            kind.append(t)
            window.append(number)
            if room < 0:
                break
    load = rng.uniform(0.3, 1.2, len(app))
    return np.array(app), np.array(kind), np.array(window), load

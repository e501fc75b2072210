"""TD3 on the simulated cluster: an actor of one hidden layer that the simulator itself runs, compiled.

After MSARS (arXiv 2409.14953: state, reward and baselines are not public): the scaling MDP is ours, TD3 is
stable-baselines3's [std; Fujimoto et al. 2018]. Needs the extra `torch`.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np

from planners.autoscaling.scoring import Stretch, failure
from predictors.autoscaling import state
from predictors.autoscaling.kernel import advance
from predictors.autoscaling.looking import scaled
from predictors.autoscaling.simulation import world_of
from predictors.autoscaling.state import FloatArray, World
from specs.errors import MissingHardwareError
from specs.policies import PolicySpec
from specs.writing import write_atomically

EPISODE_S = 86400.0
CRITIC = (32, 32)
LEARNING_RATE, BATCH, WARM_STEPS, BUFFER, NOISE, DISCOUNT = 1e-3, 64, 200, 50_000, 0.2, 0.98
STEPS_PER_UPDATE = 2
LATE_WEIGHT = 1.0
"""A tick that is late as often as allowed costs as much as the mean number of replicas does in it."""


def available() -> bool:
    """Whether the extra is installed."""
    return all(importlib.util.find_spec(name) for name in ("torch", "stable_baselines3", "gymnasium"))


def require() -> None:
    """Raise `MissingHardwareError` where the extra is not installed."""
    if not available():
        cure = "pip install 'tonnage[torch]', or choose a policy that needs no training."
        raise MissingHardwareError("training a policy needs torch and stable-baselines3", cure=cure)


class Episode:
    """One stretch of the load, driven decision by decision: what Gymnasium's environment wraps."""

    def __init__(self, stretch: Stretch, policy: PolicySpec) -> None:
        self.stretch, self.policy = stretch, policy
        self.sync = max(round(policy.sync_s / stretch.view.tick_s), 1)
        rates = stretch.view.rate_per_s[stretch.first : stretch.last]
        self.mean_replicas = max(float(rates.mean()) / (0.6 * stretch.load.capacity.per_s), 1.0)
        self.inputs = np.zeros(state.INPUTS)
        self.world: World | None = None

    def begin(self, rng: np.random.Generator) -> FloatArray:
        """Start at a random time of the stretch, with the replicas that its load needs then."""
        length = min(round(EPISODE_S / self.stretch.view.tick_s), self.stretch.last - self.stretch.first)
        first = self.stretch.first + int(rng.integers(0, self.stretch.last - self.stretch.first - length + 1))
        lost, zones = failure(self.stretch.scaling)
        one = scaled(
            self.policy, self.stretch.load.capacity, self.stretch.view, first=first, last=first + length, lost=lost,
            zones=zones,
        )  # fmt: skip
        self.world, self.tick, self.ticks = world_of((one,), self.stretch.scaling), 0, length
        self.world.policies[0]["mode"] = state.GIVEN
        self.world.state[0]["given"] = self.world.state[0]["ready"]
        advance(self.world, 0, 0, self.sync, self.inputs)
        self.tick = self.sync
        return self.inputs.astype(np.float32)

    def act(self, action: float) -> tuple[FloatArray, float, bool]:
        """Change the replicas, run until the next decision; return what is seen, the reward, and whether it is over.

        Reward: minus replicas over their mean, minus lateness over what is allowed (ours, after MSARS's cost and SLO).
        """
        assert self.world is not None
        now, policy = self.world.state[0], self.world.policies[0]
        current = int(now["ready"] + now["starting"])
        now["given"] = min(max(current + round(action * int(policy["max_step"])), int(policy["least"])),
                           int(policy["most"]))  # fmt: skip
        before = (float(now["replica_s"]), float(now["violated"]), float(now["violated_after"]), float(now["requests"]))
        last = min(self.tick + self.sync, self.ticks)
        advance(self.world, 0, self.tick, last, self.inputs)
        seconds = (last - self.tick) * self.stretch.view.tick_s
        paid = (float(now["replica_s"]) - before[0]) / seconds / self.mean_replicas
        requests = max(float(now["requests"]) - before[3], 1e-9)
        violated = max(float(now["violated"]) - before[1], float(now["violated_after"]) - before[2])
        late = min(violated / requests / self.stretch.load.late_share, 10.0)
        self.tick = last
        return self.inputs.astype(np.float32), -paid - LATE_WEIGHT * late, last >= self.ticks


def environment(stretch: Stretch, policy: PolicySpec) -> Any:
    """The Gymnasium environment of an `Episode`."""
    import gymnasium

    base: Any = gymnasium.Env

    class Cluster(base):  # type: ignore[misc]
        observation_space = gymnasium.spaces.Box(-1.0, 20.0, (state.INPUTS,), np.float32)
        action_space = gymnasium.spaces.Box(-1.0, 1.0, (1,), np.float32)

        def __init__(self) -> None:
            self.episode, self.draws = Episode(stretch, policy), np.random.default_rng(0)

        def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, Any]:
            return self.episode.begin(self.draws), {}

        def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
            seen, reward, over = self.episode.act(float(action[0]))
            return seen, reward, False, over, {}

    return Cluster()


class Learner:
    """TD3 in segments: each depends only on what was saved and its own number, so an interrupted training goes on."""

    def __init__(self, stretch: Stretch, policy: PolicySpec, seed: int, folder: Path | None = None) -> None:
        require()
        import torch
        from stable_baselines3 import TD3
        from stable_baselines3.common.noise import NormalActionNoise

        torch.set_num_threads(1)
        torch.manual_seed(seed)
        self.seed, self.folder, self.segment = seed, folder, 0
        self.env = environment(stretch, policy)
        if folder is not None and (folder / "segment.txt").exists():
            self.segment = int((folder / "segment.txt").read_text())
            self.model = TD3.load(folder / "td3.zip", env=self.env)
            self.model.load_replay_buffer(folder / "buffer.pkl")
        else:
            self.model = TD3(
                "MlpPolicy", self.env, learning_rate=LEARNING_RATE, batch_size=BATCH, learning_starts=WARM_STEPS,
                buffer_size=BUFFER, gamma=DISCOUNT, seed=seed,
                train_freq=STEPS_PER_UPDATE, gradient_steps=1,
                action_noise=NormalActionNoise(np.zeros(1), NOISE * np.ones(1)),
                policy_kwargs={"net_arch": {"pi": [state.HIDDEN], "qf": list(CRITIC)}, "activation_fn": torch.nn.Tanh},
            )  # fmt: skip

    def learn(self, steps: int) -> FloatArray:
        """One segment more; return the actor's weights as the simulator takes them, and keep everything."""
        import torch

        key = 1000 * self.seed + self.segment
        np.random.seed(key)
        torch.manual_seed(key)
        self.env.draws = np.random.default_rng(key)
        self.model._last_obs = None
        self.model.learn(steps, reset_num_timesteps=False)
        self.segment += 1
        if self.folder is not None:
            self._keep(self.folder)
        return self.weights()

    def _keep(self, folder: Path) -> None:
        """Each file whole or not at all, the number of the segment last."""
        folder.mkdir(parents=True, exist_ok=True)
        self.model.save(folder / "new-td3.zip")
        self.model.save_replay_buffer(folder / "new-buffer.pkl")
        for name in ("td3.zip", "buffer.pkl"):
            (folder / f"new-{name}").replace(folder / name)
        write_atomically(folder / "segment.txt", str(self.segment), force=True)

    def weights(self) -> FloatArray:
        """The actor's weights in one row [WEIGHTS]."""
        parts = _parts(self.model.actor)
        return np.concatenate([part.detach().numpy().astype(np.float64).ravel() for part in parts])

    def begin_with(self, weights: FloatArray) -> None:
        """Give the actor (and its target) these weights."""
        import torch

        for actor in (self.model.actor, self.model.actor_target):
            at = 0
            for part in _parts(actor):
                size = part.numel()
                with torch.no_grad():
                    part.copy_(torch.as_tensor(weights[at : at + size]).reshape(part.shape))
                at += size


def _parts(actor: Any) -> list[Any]:
    """Weights and biases of the actor's layers, in order."""
    return [part for layer in actor.mu if hasattr(layer, "weight") for part in (layer.weight, layer.bias)]

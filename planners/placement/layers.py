"""The layers of one model on heterogeneous GPUs: the chain that is partitioned, and the choice among its splits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import numpy.typing as npt

from planners.placement.question import GpuClass, Question, Served
from predictors.layered import NO_HOP, Hop, Stretch, chained, hop_between, stretch_surface
from predictors.memory.layers import free_for_layers, kv_by_layer, layer_memory
from predictors.serving import StepSurface
from predictors.step_time.slices import Slices, decode_s, prefill_s, slices
from solvers.chain_partition import (
    Chain,
    Front,
    Pipelined,
    Split,
    best_splits,
    most_devices,
    pipelined_splits,
)
from specs.deployment import DeploymentSpec

FloatArray = npt.NDArray[np.float64]
SLACK = 0.10
"""HELR takes the fewest GPUs whose time is within this of the least. [ours: the paper gives no figure]"""
TOLERANCE = 0.005
"""Pipelines are found to within this of the least, which takes seconds instead of minutes on large clusters."""
WORTH = 0.005
"""More GPUs are told of where they save this share of the time."""


@dataclass(frozen=True, kw_only=True)
class Choice:
    """One multiset of GPUs with the seconds that its best split is judged by; the split is traced when asked for."""

    front: Front | Pipelined
    state: int
    gpus: int
    usd_per_hour: float | None
    value_s: float

    @cached_property
    def split(self) -> Split:
        """Which layers on which GPU."""
        return self.front.split(self.state)


@dataclass(frozen=True)
class Bench:
    """One model on the classes of a cluster, at one batch."""

    question: Question
    served: Served
    batch: int
    timed: dict[int, tuple[Slices, ...]] = field(default_factory=dict)  # by max_num_seqs; shared between batches

    @cached_property
    def classes(self) -> tuple[GpuClass, ...]:
        """Pools that have a free GPU."""
        return tuple(one for one in self.question.classes if one.gpus)

    @cached_property
    def cuts(self) -> tuple[Slices, ...]:
        """The model's parts timed on each class."""
        engines = [self.question.deployment(self.served, one.device, self.batch) for one in self.classes]
        limit = engines[0].engine.max_num_seqs
        if limit not in self.timed:
            self.timed[limit] = tuple(
                slices(self.served.model, one.device, engine) for one, engine in zip(self.classes, engines, strict=True)
            )
        return self.timed[limit]

    @cached_property
    def weights(self) -> FloatArray:
        """Bytes of each layer with what stands around the layers; [L]."""
        return layer_memory(self.served.model, self._any).weights

    @cached_property
    def kv(self) -> FloatArray:
        """Bytes of KV that the batch needs in each layer at its requests' full length; [L]."""
        full = self.served.prompt_tokens + self.served.output_tokens
        return self.batch * kv_by_layer(self.served.model, self._any, full)

    @cached_property
    def capacity(self) -> FloatArray:
        """Bytes of one GPU of each class for layers and KV; [C]."""
        rotary = layer_memory(self.served.model, self._any).everywhere
        return np.array(
            [
                free_for_layers(
                    self.served.model, one.device, self.question.deployment(self.served, one.device, self.batch)
                )
                - rotary
                for one in self.classes
            ]
        )

    @property
    def _any(self) -> DeploymentSpec:
        """One engine of the model: what layers weigh does not depend on the device."""
        return self.question.deployment(self.served, self.classes[0].device, self.batch)

    @property
    def micro_batch(self) -> float:
        """Sequences of one batch in flight: all, or a share of them where batches follow each other."""
        return (
            self.batch if self.question.objective == "latency" else max(1.0, self.batch / self.question.micro_batches)
        )

    @property
    def context(self) -> float:
        """Mean context of a decoding sequence."""
        return self.served.prompt_tokens + self.served.output_tokens / 2

    def seconds(self, surface: StepSurface) -> tuple[float, float]:
        """Prefill of one (micro-)batch and one decode step of it."""
        return (
            prefill_s(surface, self.served.prompt_tokens, self.micro_batch),
            decode_s(surface, self.micro_batch, self.context),
        )

    def hop_s(self, hop: Hop) -> float:
        """All crossings of one batch over one link: its prompts once, then every decode step."""
        prompts = self.micro_batch * self.served.prompt_tokens
        return hop.seconds(prompts) + self.served.output_tokens * hop.seconds(self.micro_batch)

    def hop(self, before: tuple[int, int] | None, after: tuple[int, int]) -> Hop:
        """The hop between two GPUs, each as (class, order of use); none before the first."""
        if before is None:
            return NO_HOP
        device, software_s = self.classes[after[0]].device, self.question.crossing_ms / 1e3
        same = before[0] == after[0]
        if same and self.classes[before[0]].gpus[before[1]][0] == self.classes[after[0]].gpus[after[1]][0]:
            return hop_between(self.served.model, device, software_s=software_s)
        gbps = self.question.cluster.network_gbps
        if gbps <= 0:
            return Hop(start_s=np.inf, s_per_token=0.0)
        return hop_between(self.served.model, device, network_gbps=gbps, software_s=software_s)

    @cached_property
    def layer_s(self) -> FloatArray:
        """Seconds of each layer on each class for one batch, prefill and all decode steps; [C, L]."""
        layers = self.served.model.layers
        rows = []
        for cut in self.cuts:
            known: dict[tuple[int, bool], float] = {}
            row = []
            for layer, kind in enumerate(cut.kind):
                key = (kind, layer == layers - 1)
                if key not in known:
                    one = Stretch(slices=cut, start=layer, stop=layer + 1)
                    prefill, decode = self.seconds(stretch_surface(one, layers, self.served.prompt_tokens))
                    known[key] = prefill + self.served.output_tokens * decode
                row.append(known[key])
            rows.append(row)
        return np.array(rows)

    @cached_property
    def chain(self) -> Chain:
        """The partition problem of these layers on these classes."""
        count = len(self.classes)
        available = np.array([len(one.gpus) for one in self.classes])
        most = most_devices(count, self.served.model.layers, available, self.question.most_gpus)
        between = np.array(
            [[self.hop_s(self.hop((a, 0), (b, 0))) if a != b else 0.0 for b in range(count)] for a in range(count)]
        )
        within = np.zeros((count, max(most, 1)))
        for index, one in enumerate(self.classes):
            for used in range(1, min(len(one.gpus), most + 1)):
                if used - 1 < within.shape[1]:
                    within[index, used - 1] = self.hop_s(self.hop((index, used - 1), (index, used)))
        size = np.repeat((self.weights + self.kv)[None, :], count, axis=0)
        return Chain(
            cost=self.layer_s, size=size, capacity=self.capacity, available=available, between=between,
            within=within, most=most,
        )  # fmt: skip

    def choices(self) -> list[Choice]:
        """The best split of every multiset of GPUs that fits, by the question's objective."""
        latency = self.question.objective == "latency"
        front = (
            best_splits(self.chain)
            if latency
            else pipelined_splits(self.chain, self.question.micro_batches, tolerance=TOLERANCE)
        )
        states = np.flatnonzero(np.isfinite(front.value[1:])) + 1
        return [self._choice(front, int(state)) for state in states]

    def _choice(self, front: Front | Pipelined, state: int) -> Choice:
        counts = front.counts[state]
        prices = [one.usd_per_hour for one in self.classes]
        known = all(price is not None for price, n in zip(prices, counts, strict=True) if n)
        cost = sum(int(n) * (price or 0.0) for price, n in zip(prices, counts, strict=True)) if known else None
        return Choice(
            front=front, state=state, gpus=int(counts.sum()), usd_per_hour=cost, value_s=float(front.value[state])
        )

    def places(self, split: Split) -> list[tuple[int, int]]:
        """The GPU of each run as (class, order of use)."""
        used = [0] * len(self.classes)
        found = []
        for run in split.runs:
            found.append((run.device_class, used[run.device_class]))
            used[run.device_class] += 1
        return found

    def stretches(self, split: Split) -> list[Stretch]:
        """The runs of a split as parts of the engine model, each with the hop before it."""
        places = self.places(split)
        before: list[tuple[int, int] | None] = [None, *places[:-1]]
        return [
            Stretch(slices=self.cuts[run.device_class], start=run.start, stop=run.stop, hop=self.hop(b, at))
            for run, b, at in zip(split.runs, before, places, strict=True)
        ]

    def surface(self, split: Split) -> StepSurface:
        """Step time of the whole placement, a pipeline with as many batches in flight as stages."""
        return chained(
            self.stretches(split), self.served.model.layers, self.served.prompt_tokens,
            stages=len(split.runs), reference=(self.batch, self.context),
        )  # fmt: skip

    def kv_tokens(self, split: Split) -> float:
        """Tokens of KV that the tightest GPU holds."""
        full = self.served.prompt_tokens + self.served.output_tokens
        per_token = kv_by_layer(self.served.model, self._any, full) / full
        return min(
            float(self.capacity[run.device_class] - self.weights[run.start : run.stop].sum())
            / float(per_token[run.start : run.stop].sum())
            for run in split.runs
        )


def chosen(choices: Sequence[Choice], variant: str, least: str) -> Choice:
    """The split of a variant: LR the least time, HE the least of the resource, HELR the least within `SLACK` of LR.

    Ties go to the other criterion. [ours; UELLM names HELR and its two variants, its repository holds no DP]
    """

    def resource(one: Choice) -> float:
        cost = np.inf if one.usd_per_hour is None else one.usd_per_hour
        return one.gpus if least == "gpus" else cost

    fastest = min(one.value_s for one in choices)
    if variant == "lr":
        return min(choices, key=lambda one: (one.value_s, resource(one)))
    limit = fastest * (1 + SLACK) if variant == "helr" else np.inf
    kept = [one for one in choices if one.value_s <= limit]
    return min(kept, key=lambda one: (resource(one), one.value_s))


def front_by_gpus(choices: Sequence[Choice]) -> list[Choice]:
    """The fastest split of each number of GPUs, ascending, as far as more GPUs are faster by `WORTH` at least."""
    best: dict[int, Choice] = {}
    for one in choices:
        if one.gpus not in best or (one.value_s, one.usd_per_hour or 0) < (
            best[one.gpus].value_s,
            best[one.gpus].usd_per_hour or 0,
        ):
            best[one.gpus] = one
    kept: list[Choice] = []
    for count in sorted(best):
        if not kept or best[count].value_s < kept[-1].value_s * (1 - WORTH):
            kept.append(best[count])
    return kept

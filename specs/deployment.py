"""One fixed way to serve a model: device, parallelism, replicas, roles, precision, engine flags."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from specs.base import Count, Document, NonNegative, Precision, Share, Spec

Router = Literal["round-robin", "least-loaded", "prefix-aware"]
EngineName = Literal["vllm", "sglang", "trtllm"]


class Parallel(Spec):
    """Degrees of tensor, pipeline, expert and (attention) data parallelism."""

    tp: Count = 1
    pp: Count = 1
    ep: Count = 1
    dp: Count = 1

    @property
    def gpus(self) -> int:
        """GPUs of one replica; expert parallelism reuses those of TP × DP."""
        return self.tp * self.pp * self.dp


class PrecisionSpec(Spec):
    """Storage of weights and KV cache, and the type activations are computed in."""

    weights: Precision | None = None  # None: as the checkpoint is published
    activations: Precision = "bf16"
    kv_cache: Precision = "bf16"


class Engine(Spec):
    """Engine, version and the limits that a plan decides and a manifest enforces."""

    name: EngineName = "vllm"
    version: str = "0.19"
    max_num_seqs: Count = 256
    max_num_batched_tokens: Count = 8192
    block_size_tokens: Count = 16
    gpu_memory_utilization: Share = 0.9
    max_model_len: Count | None = None  # None: the model's own limit
    prefix_caching: bool = False
    chunked_prefill: bool = True
    cuda_graphs: bool = True
    async_scheduling: bool | None = None  # None: the version's default


class Speculative(Spec):
    """Speculative decoding: drafted tokens per step, their acceptance, and the draft's cost per step."""

    draft_tokens: Count
    acceptance: Share
    draft_cost: NonNegative = 0.0  # draft model's step as a share of the target's step


class Role(Spec):
    """Replicas and parallelism of one role of a disaggregated deployment."""

    replicas: Count = 1
    parallel: Parallel = Parallel()


class Roles(Spec):
    """Separate prefill and decode pools with the bandwidth their KV crosses."""

    prefill: Role
    decode: Role
    transfer_gb_per_s: NonNegative | None = None  # None: the device's link


class Admission(Spec):
    """What happens to requests that wait: a queue limit, a queue time-out and the client's patience."""

    max_waiting: Count | None = None
    queue_timeout_s: NonNegative | None = None
    client_timeout_s: NonNegative | None = None


class DeploymentSpec(Spec):
    """See DESIGN: the contract of a `Deployment`."""

    model: str  # catalogue name, or path of a Hugging Face config.json or a Model document
    device: str  # catalogue name, or path of a Device document
    pool: str | None = None
    profile: str | None = None  # path or store id of a Layer-, Engine- or HostProfile; None: the best at hand
    replicas: Count = 1
    router: Router = "least-loaded"
    roles: Literal["mixed"] | Roles = "mixed"
    parallel: Parallel = Parallel()
    precision: PrecisionSpec = PrecisionSpec()
    engine: Engine = Engine()
    speculative: Speculative | None = None
    admission: Admission = Admission()

    @model_validator(mode="after")
    def _budget_holds_a_sequence(self) -> DeploymentSpec:
        if not self.engine.chunked_prefill and self.engine.max_num_batched_tokens < (self.engine.max_model_len or 0):
            raise ValueError("without chunked prefill max_num_batched_tokens must hold max_model_len")
        return self

    @property
    def gpus(self) -> int:
        """All GPUs of all replicas and roles."""
        if self.roles == "mixed":
            return self.replicas * self.parallel.gpus
        assert isinstance(self.roles, Roles)
        return sum(role.replicas * role.parallel.gpus for role in (self.roles.prefill, self.roles.decode))


class Deployment(Document):
    """A deployment document."""

    kind: Literal["Deployment"] = "Deployment"
    spec: DeploymentSpec


class DeploymentInPlan(DeploymentSpec):
    """A deployment as a plan decides it, with the pool it runs in."""

    labels: dict[str, str] = Field(default_factory=dict)

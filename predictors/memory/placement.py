"""One rank of one deployment on one device: what every part of the ledger is computed from."""

from __future__ import annotations

from dataclasses import dataclass

from predictors.memory.coefficients import Coefficients
from predictors.memory.sharding import Rank
from predictors.memory.storage import Storage, storage
from specs.deployment import DeploymentSpec, Engine, Parallel
from specs.device import DeviceSpec
from specs.model import ModelSpec


@dataclass(frozen=True, kw_only=True)
class Placement:
    """A pipeline rank of ``deployment``; ``fitted`` are the coefficients its engine's own memory is computed by."""

    model: ModelSpec
    device: DeviceSpec
    deployment: DeploymentSpec
    rank: Rank
    fitted: Coefficients

    @property
    def engine(self) -> Engine:
        """Engine and its limits."""
        return self.deployment.engine

    @property
    def parallel(self) -> Parallel:
        """Degrees of parallelism."""
        return self.deployment.parallel

    @property
    def stored(self) -> Storage:
        """How the weights are stored."""
        return storage(self.model, self.deployment.precision)

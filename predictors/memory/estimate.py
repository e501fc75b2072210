"""The ledger of a Deployment document, as the document that is printed."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from predictors.memory.budget import MemoryLedger, largest_model_len, ledger
from predictors.memory.coefficients import GIB
from predictors.memory.kv_cache import kv_bytes_per_token
from specs.base import Metadata
from specs.catalog import find_device, find_model
from specs.deployment import Deployment, DeploymentSpec, Parallel, Roles
from specs.device import DeviceSpec
from specs.errors import InputError
from specs.estimate import GpuMemory, MemoryEstimate, MemoryFigure
from specs.model import ModelSpec
from specs.reading import read_document, sha256

RoleName = Literal["mixed", "prefill", "decode"]


def estimate(path: str | Path) -> MemoryEstimate:
    """Return the memory of one GPU of each role of the Deployment at ``path``.

    Raises `InputError` for a document that cannot be read, and where the deployment cannot be cut as it says.
    """
    path = Path(path)
    document = read_document(path, Deployment)
    try:
        model = find_model(document.spec.model, path.parent)
        device = find_device(document.spec.device, path.parent)
        return memory_estimate(model, device, document.spec, document.metadata.name, {path.name: sha256(path)})
    except InputError as error:
        raise InputError(f"{path}: {error.message}", cure=error.cure) from None


def memory_estimate(
    model: ModelSpec, device: DeviceSpec, deployment: DeploymentSpec, name: str, inputs: dict[str, str]
) -> MemoryEstimate:
    """As `estimate`, for parts already read; ``inputs`` maps the names of the files read to their sha256."""
    books = {role: ledger(model, device, deployment, role=role) for role in _roles(deployment)}
    gpus = tuple(_gpu(book, model, device, deployment, role) for role, book in books.items())
    evidence = next(iter(books.values())).evidence
    return MemoryEstimate(
        metadata=Metadata(name=name, inputs=inputs), model=model.name, device=device.name, gpus=gpus, evidence=evidence
    )


def _roles(deployment: DeploymentSpec) -> tuple[RoleName, ...]:
    return ("prefill", "decode") if isinstance(deployment.roles, Roles) else ("mixed",)


def _parallel(deployment: DeploymentSpec, role: RoleName) -> Parallel:
    if not isinstance(deployment.roles, Roles):
        return deployment.parallel
    return deployment.roles.prefill.parallel if role == "prefill" else deployment.roles.decode.parallel


def _gpu(
    book: MemoryLedger, model: ModelSpec, device: DeviceSpec, deployment: DeploymentSpec, role: RoleName
) -> GpuMemory:
    parallel = _parallel(deployment, role)
    return GpuMemory(
        role=role, parallel=parallel, pipeline_rank=book.rank, total_gib=book.total_bytes / GIB,
        budget_gib=book.requested_bytes / GIB, used_gib=book.used_bytes / GIB, items=_figures(book),
        weights_gib={part: size / GIB for part, size in book.weights.items()}, kv_blocks=book.kv_blocks,
        kv_block_tokens=book.block_tokens, kv_bytes_per_block=book.bytes_per_block, kv_tokens=book.kv_tokens,
        kv_bytes_per_token=kv_bytes_per_token(model, deployment.precision.kv_cache, parallel.tp),
        max_model_len=book.max_model_len, max_concurrency=book.max_concurrency, fits=book.fits,
        largest_model_len=largest_model_len(model, device, deployment, role=role),
        shortfall_gib=book.shortfall_bytes / GIB, reason=book.reason,
    )  # fmt: skip


def _figures(book: MemoryLedger) -> tuple[MemoryFigure, ...]:
    return tuple(
        MemoryFigure(
            name=item.name, gib=item.bytes / GIB, low_gib=item.low / GIB, high_gib=item.high / GIB, basis=item.basis,
            source=item.source,
        )
        for item in book.items
    )  # fmt: skip

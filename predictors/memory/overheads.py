"""What the engine and the driver take beside weights, activations and KV cache: context, libraries, CUDA graphs."""

from __future__ import annotations

from predictors.memory.coefficients import GIB, MIB, memory_table
from predictors.memory.placement import Placement
from specs.deployment import Engine
from specs.device import DeviceSpec

LARGEST_GRAPH = {"GptOssForCausalLM": 1024}  # largest batch captured for an architecture [std: vLLM 0.19's log]
LARGEST_GRAPH_ELSE = 512  # [std: vLLM CompilationConfig]


def total_bytes(device: DeviceSpec) -> float:
    """Memory that CUDA reports as the device's total: measured where known, else less what the driver keeps."""
    reserve = float(memory_table()["driver_reserve_gib"])
    return (device.usable_memory_gib or device.memory_gib - reserve) * GIB


def non_torch_bytes(place: Placement) -> float:
    """Kernels, libraries and communication buffers loaded while the engine profiles itself."""
    fitted, group = place.fitted, place.parallel.tp * place.parallel.dp
    layers = place.rank.layers * fitted.non_torch_layer_mib * MIB
    if group > 1:
        return (fitted.non_torch_tp_gib + (group - 2) * fitted.non_torch_peer_gib) * GIB + layers
    return (fitted.non_torch_pp_gib if place.parallel.pp > 1 else fitted.non_torch_gib) * GIB + layers


def context_bytes(place: Placement) -> float:
    """CUDA context, and NCCL where ranks talk, before the engine's first look at the memory."""
    return (place.fitted.context_parallel_gib if place.parallel.gpus > 1 else place.fitted.context_gib) * GIB


def graph_bytes(place: Placement) -> float:
    """CUDA graphs of every captured batch size, for mixed and for decode-only batches; 0 when they are off."""
    if not place.engine.cuda_graphs:
        return 0.0
    graphs = 2 * captured_sizes(place.model.architecture, place.engine)
    return place.fitted.graphs_fixed_gib * GIB + graphs * place.rank.layers * place.fitted.graphs_layer_mib * MIB


def captured_sizes(architecture: str, engine: Engine) -> int:
    """Batch sizes captured: 1, 2, 4, every 8 to 256, every 16 up to the largest [std: vLLM CompilationConfig]."""
    limit = LARGEST_GRAPH.get(architecture, LARGEST_GRAPH_ELSE)
    largest = min(2 * engine.max_num_seqs, limit, engine.max_num_batched_tokens)
    small = sum(1 for size in (1, 2, 4) if size <= largest)
    return small + len(range(8, min(largest, 255) + 1, 8)) + len(range(256, largest + 1, 16))

"""What the engine and the driver take beside weights, activations and KV cache: context, libraries, CUDA graphs."""

from __future__ import annotations

from predictors.memory.coefficients import GIB, Coefficients, memory_table
from predictors.memory.sharding import Rank
from specs.deployment import Engine, Parallel
from specs.device import DeviceSpec

MIB = float(2**20)
LARGEST_GRAPH = {"GptOssForCausalLM": 1024}  # vLLM 0.19 captures up to this batch for the architecture [std: its log]
LARGEST_GRAPH_ELSE = 512  # [std: vLLM CompilationConfig]


def total_bytes(device: DeviceSpec) -> float:
    """Memory that CUDA reports as the device's total: measured where known, else less what the driver keeps."""
    reserve = float(memory_table()["driver_reserve_gib"])
    return (device.usable_memory_gib or device.memory_gib - reserve) * GIB


def non_torch_bytes(parallel: Parallel, fitted: Coefficients) -> float:
    """Kernels, libraries and communication buffers loaded while the engine profiles itself."""
    if parallel.tp * parallel.dp > 1:
        return fitted.non_torch_tp_gib * GIB
    return (fitted.non_torch_pp_gib if parallel.pp > 1 else fitted.non_torch_gib) * GIB


def context_bytes(parallel: Parallel, fitted: Coefficients) -> float:
    """CUDA context, and NCCL where ranks talk, before the engine's first look at the memory."""
    return (fitted.context_parallel_gib if parallel.gpus > 1 else fitted.context_gib) * GIB


def graph_bytes(architecture: str, engine: Engine, rank: Rank, fitted: Coefficients) -> float:
    """CUDA graphs of every captured batch size, once for mixed and once for decode-only batches; 0 when they are off."""
    if not engine.cuda_graphs:
        return 0.0
    graphs = 2 * captured_sizes(architecture, engine)
    return fitted.graphs_fixed_gib * GIB + graphs * rank.layers * fitted.graphs_layer_mib * MIB


def captured_sizes(architecture: str, engine: Engine) -> int:
    """Number of batch sizes captured: 1, 2, 4, every 8 to 256, every 16 up to the largest [std: vLLM CompilationConfig]."""
    limit = LARGEST_GRAPH.get(architecture, LARGEST_GRAPH_ELSE)
    largest = min(2 * engine.max_num_seqs, limit, engine.max_num_batched_tokens)
    small = sum(1 for size in (1, 2, 4) if size <= largest)
    return small + len(range(8, min(largest, 255) + 1, 8)) + len(range(256, largest + 1, 16))

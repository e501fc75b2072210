"""Memory of one GPU: weights, activations, overheads, and the KV cache that the engine makes of the rest."""

from predictors.memory.budget import MemoryLedger, largest_model_len, ledger, ledger_by
from predictors.memory.estimate import estimate, memory_estimate
from predictors.memory.items import MemoryItem
from predictors.memory.kv_cache import kv_bytes_per_token
from predictors.memory.weights import parameter_count, weight_bytes

__all__ = [
    "MemoryItem",
    "MemoryLedger",
    "estimate",
    "kv_bytes_per_token",
    "largest_model_len",
    "ledger",
    "ledger_by",
    "memory_estimate",
    "parameter_count",
    "weight_bytes",
]

"""How a checkpoint's weights are stored, from the `quantization_config` of its config.json."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from specs.base import Precision
from specs.huggingface_fields import ConfigFile
from specs.model import Part, Quantization

_DTYPES: dict[str, Precision] = {"float32": "fp32", "float16": "fp16", "bfloat16": "bf16"}
_CURE = "Known: fp8, compressed-tensors, gptq, awq, mxfp4, modelopt; or write a Model document with its precision."
# Type, bits and strategy of a compressed-tensors group.
_COMPRESSED: dict[str, tuple[Precision, Quantization]] = {
    "float, 8, tensor": ("fp8", "fp8-tensor"),
    "float, 8, channel": ("fp8", "fp8-channel"),
    "float, 8, block": ("fp8", "fp8-block"),
    "int, 8, channel": ("int8", "int8-channel"),
    "int, 4, group": ("int4", "gptq-int4"),
    "float, 4, tensor_group": ("fp4", "nvfp4"),
}
_VISION = ("vision", "visual", "multi_modal_projector", "mm_projector")


@dataclass(frozen=True)
class Storage:
    """Precision of the quantised weights, how they share scales, and which parts stay in 16 bit."""

    precision: Precision
    quantization: Quantization | None = None
    group: int | None = None
    unquantized: tuple[Part, ...] = ()


def storage(config: ConfigFile, *, routed: bool) -> Storage:
    """Return how the weights are stored; raises `InputError` for a method or width that is not known."""
    section = config.section("quantization_config")
    if not section.fields:
        return Storage(_dtype(config))
    precision, form, group = _form(section)
    ignored = [*section.words("modules_to_not_convert"), *section.words("ignore"), *section.words("exclude_modules")]
    return Storage(precision, form, group, _unquantized(ignored, routed=routed))


def _dtype(config: ConfigFile) -> Precision:
    name = config.fields.get("torch_dtype") or config.fields.get("dtype") or "bfloat16"
    if name not in (*_DTYPES,):
        raise config.wrong("torch_dtype", f"expected one of {', '.join(_DTYPES)}, found {name!r}")
    return _DTYPES[name]


def _form(section: ConfigFile) -> tuple[Precision, Quantization, int | None]:
    method = section.fields.get("quant_method")
    if method == "fp8":
        block = section.counts("weight_block_size")
        return ("fp8", "fp8-block", prod(block)) if block else ("fp8", "fp8-tensor", None)
    if method == "mxfp4":
        return "mxfp4", "mxfp4", 32
    if method in ("gptq", "awq"):
        return _four_bit(section, "gptq-int4" if method == "gptq" else "awq-int4")
    if method == "compressed-tensors":
        return _compressed(section)
    if method == "modelopt":
        return _modelopt(section)
    raise section.wrong("quant_method", f"the quantisation {method!r} is not known", _CURE)


def _four_bit(section: ConfigFile, form: Quantization) -> tuple[Precision, Quantization, int | None]:
    bits = section.count("bits", "w_bit")
    if bits != 4:
        raise section.wrong("bits", f"only 4-bit weights are known for this method, found {bits!r}", _CURE)
    return "int4", form, section.count("group_size", "q_group_size", default=128)


def _compressed(section: ConfigFile) -> tuple[Precision, Quantization, int | None]:
    groups = section.section("config_groups")
    names = [name for name in groups.fields if isinstance(name, str)]
    if len(names) != 1:
        raise section.wrong("config_groups", f"{len(names)} groups, one is expected", _CURE)
    weights = groups.section(names[0]).section("weights")
    kind = ", ".join(str(weights.fields.get(name)) for name in ("type", "num_bits", "strategy"))
    if kind not in _COMPRESSED:
        raise section.wrong("config_groups", f"weights of type, bits and strategy {kind} are not known", _CURE)
    block = weights.counts("block_structure")
    return *_COMPRESSED[kind], prod(block) if block else weights.optional("group_size")


def _modelopt(section: ConfigFile) -> tuple[Precision, Quantization, int | None]:
    algorithm = section.fields.get("quant_algo")
    if algorithm == "FP8":
        return "fp8", "fp8-tensor", None
    if algorithm == "NVFP4":
        return "fp4", "nvfp4", 16
    raise section.wrong("quant_algo", f"the algorithm {algorithm!r} is not known", _CURE)


def _unquantized(ignored: list[str], *, routed: bool) -> tuple[Part, ...]:
    """Embedding, head, norms and router stay in 16 bit under every known method; other parts where they are listed."""
    parts: dict[Part, bool] = {
        "attention": any("self_attn" in module for module in ignored),
        "router": routed,
        "embedding": True,
        "lm_head": True,
        "norm": True,
        "vision": any(word in module for module in ignored for word in _VISION),
    }
    return tuple(part for part, kept in parts.items() if kept)

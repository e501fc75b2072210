"""Tables of the catalogue: the devices, the models, and one entry in full with the source of every figure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

from rich.console import Group
from rich.table import Table
from rich.text import Text

from specs.device import DeviceSpec
from specs.model import Attention, Mlp, ModelSpec, Moe

_UNITS = (
    ("gb_per_s", "GB/s"), ("gib", "GiB"), ("mib", "MiB"), ("mhz", "MHz"), ("tflops", "TFLOP/s"), ("w", "W"),
)  # fmt: skip


def device_list(devices: Sequence[DeviceSpec]) -> Table:
    """Return one row per device: memory, bandwidths, dense rates; a mark where no accuracy is claimed."""
    table = _table(("device", "arch", "GiB", "GB/s", "bf16", "fp8", "NVLink", "PCIe", "W", ""), right=range(2, 9))
    for device in devices:
        rates = device.peak_tflops
        nvlink = device.links.nvlink_gb_per_s
        claim = "" if device.accuracy_claim else "datasheet only"
        row = (
            _number(device.memory_gib), _number(device.memory_bandwidth_gb_per_s),
            _number(rates.get("bf16", rates.get("fp16"))), _number(rates.get("fp8")), _number(nvlink or None),
            _number(device.links.pcie_gb_per_s), _number(device.power_limit_w), claim,
        )  # fmt: skip
        table.add_row(device.name, device.architecture, *row)
    table.caption = "rates: dense TFLOP/s (fp16 where there is no bf16); links: GB/s per GPU and direction"
    return table


def one_device(device: DeviceSpec) -> Group:
    """Return every figure of ``device`` with its unit, source and date."""
    table = _table(("figure", "value", "unit", "source", "date"), right=(1,), wrap=3)
    for field, value in _device_figures(device):
        source = _source_of(device, field)
        table.add_row(field.removesuffix(f"_{_unit_key(field)}"), value, _unit(field), *source)
    head = Text(f"{device.name}  {device.vendor} {device.architecture} {device.compute_capability or ''}".rstrip())
    notes = [Text(f"also known as: {', '.join(device.aliases)}")] if device.aliases else []
    if not device.accuracy_claim:
        notes.append(Text("from the datasheet alone: nothing here was held against a measurement"))
    return Group(head, *notes, table)


def model_list(models: Sequence[ModelSpec]) -> Table:
    """Return one row per model: parameters, layers, widths, heads, context, storage."""
    columns = ("model", "params", "layers", "heads", "feed-forward", "context", "weights")
    table = _table(columns, right=(1, 2, 5))
    for model in models:
        table.add_row(
            model.name, _parameters(model), str(model.layers), _heads(model), _experts(model),
            _tokens(model.max_context_tokens), model.quantization or model.weights_precision,
        )  # fmt: skip
    table.caption = "heads: queries/keys; feed-forward: width, or experts per token of all × width"
    return table


def one_model(model: ModelSpec) -> Group:
    """Return the architecture of ``model`` layer by layer, and where it was read."""
    table = _table(("field", "value"), wrap=1)
    for field, value in _model_figures(model):
        table.add_row(field, value)
    return Group(Text(f"{model.name}  {model.architecture}"), table)


def _device_figures(device: DeviceSpec) -> Iterator[tuple[str, str]]:
    names = (
        "sm_count", "boost_clock_mhz", "l2_cache_mib", "power_limit_w", "memory_gib", "usable_memory_gib",
        "memory_bandwidth_gb_per_s",
    )  # fmt: skip
    for name in names:
        if getattr(device, name) is not None:
            yield name, _number(getattr(device, name))
    if device.inline_ecc:
        yield "inline_ecc", "yes"
    for precision, rate in device.peak_tflops.items():
        yield f"peak_tflops.{precision}", _number(rate)
    if device.links.nvlink_gb_per_s:
        yield "links.nvlink_gb_per_s", _number(device.links.nvlink_gb_per_s)
    yield "links.pcie_gb_per_s", _number(device.links.pcie_gb_per_s)
    yield "gpus_per_node", str(device.gpus_per_node)


def _source_of(device: DeviceSpec, field: str) -> tuple[str, str]:
    """The most specific source: of the field itself, of its parent, else of the rest."""
    for key in (field, field.partition(".")[0], "*"):
        if key in device.sources:
            return device.sources[key].source, device.sources[key].date
    return "not stated", ""


def _model_figures(model: ModelSpec) -> Iterator[tuple[str, str]]:
    yield "published as", "\n".join(model.aliases) or "-"
    yield "parameters", f"{model.parameters:,.0f}" if model.parameters else "-"
    yield "layers × hidden", f"{model.layers} × {model.hidden}"
    for kind in model.attention:
        yield "attention", _attention(kind)
    if model.mlp:
        yield "feed-forward", _mlp(model.mlp)
    if model.moe:
        yield "experts", _moe(model.moe)
    yield "vocabulary", f"{model.vocabulary:,} ({'tied' if model.tied_embeddings else 'separate'} output head)"
    yield "context", f"{model.max_context_tokens:,} tokens"
    yield "weights", _storage(model)
    if model.vision:
        yield "vision tower", f"{model.vision.parameters:,} parameters: {model.vision.source}"
    if model.notes:
        yield "notes", model.notes
    yield "source", f"{model.source}, {model.date}"


def _attention(kind: Attention) -> str:
    if kind.kind == "mla":
        shape = f"{kind.heads} latent heads of {kind.head_dim} + {kind.rope_head_dim}, latent {kind.kv_lora_rank}"
    else:
        shape = f"{kind.heads} heads of {kind.head_dim}, {kind.kv_heads} KV heads"
    reach = f", window {kind.window_tokens:,} tokens" if kind.window_tokens else ""
    return f"{kind.layers} layers: {shape}{reach}"


def _mlp(mlp: Mlp) -> str:
    return f"{mlp.layers} layers: {'gated, ' if mlp.gated else ''}intermediate {mlp.intermediate:,}"


def _moe(moe: Moe) -> str:
    shared = f", shared {moe.shared_intermediate:,}" if moe.shared_intermediate else ""
    return f"{moe.layers} layers: {moe.experts_per_token} of {moe.experts} experts of {moe.intermediate:,}{shared}"


def _storage(model: ModelSpec) -> str:
    if not model.quantization:
        return model.weights_precision
    kept = f"; 16 bit: {', '.join(model.unquantized)}" if model.unquantized else ""
    group = f", {model.quantization_group} weights per scale" if model.quantization_group else ""
    return f"{model.quantization}{group}{kept}"


def _parameters(model: ModelSpec) -> str:
    return f"{model.parameters / 1e9:.2f} B" if model.parameters else "-"


def _heads(model: ModelSpec) -> str:
    first = model.attention[0]
    shape = "MLA" if first.kind == "mla" else f"{first.heads}/{first.kv_heads}"
    return f"{shape} window" if any(kind.window_tokens for kind in model.attention) else shape


def _experts(model: ModelSpec) -> str:
    if model.moe:
        return f"{model.moe.experts_per_token} of {model.moe.experts} × {model.moe.intermediate}"
    return str(model.mlp.intermediate) if model.mlp else "-"


def _tokens(tokens: int) -> str:
    return f"{tokens // 1024} Ki" if tokens % 1024 == 0 else str(tokens)


def _unit_key(field: str) -> str:
    stem = field.partition(".")[0] if field.startswith("peak") else field
    return next((key for key, _ in _UNITS if stem.endswith(f"_{key}")), "")


def _unit(field: str) -> str:
    return dict(_UNITS).get(_unit_key(field), "")


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:,.10g}"


def _table(columns: Sequence[str], *, right: Sequence[int] = (), wrap: int | None = None) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold", caption_justify="left")
    for at, column in enumerate(columns):
        overflow: Literal["fold", "ellipsis"] = "fold" if at == wrap else "ellipsis"
        table.add_column(column, justify="right" if at in right else "left", no_wrap=at != wrap, overflow=overflow)
    return table

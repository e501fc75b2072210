"""Reads the architecture of a language model from a local Hugging Face config.json."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import ValidationError

from specs.errors import InputError
from specs.huggingface_fields import ConfigFile, load
from specs.huggingface_quantization import storage
from specs.huggingface_traits import TRAITS, Traits
from specs.huggingface_vision import vision_tower
from specs.model import Attention, Mlp, ModelSpec, Moe
from specs.reading import nearest

_MOST_LAYERS = 10_000  # a file that states more is damaged


def read_config(path: str | Path) -> ModelSpec:
    """Return the architecture that the config.json at ``path`` describes; nothing is downloaded.

    Raises `InputError` for a file that cannot be read, lacks a field, or names an architecture, a quantisation
    or a vision tower that is not known.
    """
    config = load(Path(path))
    try:
        return _spec(config)
    except ValidationError as error:
        found = error.errors()[0]
        where = ".".join(map(str, found["loc"]))
        raise InputError(f"{config.path}: {where}: {found['msg']}, found {found['input']!r}") from None


def _spec(config: ConfigFile) -> ModelSpec:
    architecture = _architecture(config)
    traits = TRAITS[architecture]
    stored = storage(config, routed=traits.routed)
    hidden = config.count("hidden_size", "n_embd", "n_embed", "d_model")
    layers = _layers(config)
    dense, moe = _feed_forward(config, traits, hidden, layers)
    return ModelSpec(
        name=_name(config),
        architecture=architecture,
        hidden=hidden,
        layers=layers,
        vocabulary=config.count("vocab_size", default=traits.defaults.get("vocab_size")),
        max_context_tokens=_context(config, traits),
        attention=_attention(config, traits, hidden, layers),
        mlp=dense,
        moe=moe,
        tied_embeddings=_tied(config, traits),
        norms_per_layer=traits.norms_per_layer,
        norm_bias=traits.norm_bias,
        learned_positions=config.count("max_position_embeddings") + 2 if architecture == "OPTForCausalLM" else 0,
        embedding_projection=_embedding_projection(config, hidden),
        rotary_dim=_rotary_dim(config, traits, hidden),
        rope_linear_factor=_linear_factor(config),
        lm_head_bias=traits.lm_head_bias,
        weights_precision=stored.precision,
        quantization=stored.quantization,
        quantization_group=stored.group,
        unquantized=stored.unquantized,
        vision=vision_tower(config, hidden),
        extra_parameters=_extra(config, traits, hidden, layers),
        source=f"{config.path}",
        date="undated",
    )


def _architecture(config: ConfigFile) -> str:
    named = config.architecture
    if not named:
        cure = "Is this the config.json of a model? Otherwise add its `architectures`, or write a Model document."
        raise config.wrong("architectures", "missing", cure)
    if named not in TRAITS:
        cure = f"Known: {', '.join(sorted(TRAITS))}. For another, write a Model document."
        hint = nearest(named, list(TRAITS))
        raise config.wrong("architectures", f"the architecture {named!r} is not known{hint}", cure)
    return named


def _layers(config: ConfigFile) -> int:
    layers = config.count("num_hidden_layers", "n_layer")
    if layers > _MOST_LAYERS:
        raise config.wrong("num_hidden_layers", f"{layers} layers are more than any model has")
    for name in ("layer_types", "num_key_value_heads_per_layer"):
        listed = config.fields.get(name)
        if isinstance(listed, list) and listed and len(listed) != layers:
            raise config.wrong(name, f"{len(listed)} entries for {layers} layers")
    return layers


def _name(config: ConfigFile) -> str:
    """Name of the folder that holds the file, as a catalogue name is spelt."""
    return config.path.resolve().parent.name.lower() or "model"


def _context(config: ConfigFile, traits: Traits) -> int:
    default = traits.defaults.get("max_position_embeddings", traits.defaults.get("seq_length"))
    return config.count("max_position_embeddings", "n_positions", "seq_length", default=default)


def _attention(config: ConfigFile, traits: Traits, hidden: int, layers: int) -> tuple[Attention, ...]:
    if traits.latent:
        return (_latent_attention(config, layers),)
    shape = _grouped_attention(config, traits, hidden)
    per_layer = config.counts("num_key_value_heads_per_layer")
    if per_layer:
        distinct = sorted(set(per_layer), reverse=True)
        return tuple(Attention(**{**shape, "kv_heads": n}, layers=per_layer.count(n)) for n in distinct)
    windowed, window = _windowed_layers(config, traits, layers)
    kinds = ((windowed, window), (layers - windowed, None))
    return tuple(Attention(**shape, layers=count, window_tokens=size) for count, size in kinds if count)


def _latent_attention(config: ConfigFile, layers: int) -> Attention:
    heads = config.count("num_attention_heads")
    return Attention(
        kind="mla",
        layers=layers,
        heads=heads,
        kv_heads=heads,
        head_dim=config.count("qk_nope_head_dim"),
        value_head_dim=config.count("v_head_dim"),
        q_lora_rank=config.optional("q_lora_rank"),
        kv_lora_rank=config.count("kv_lora_rank"),
        rope_head_dim=config.count("qk_rope_head_dim"),
    )


def _grouped_attention(config: ConfigFile, traits: Traits, hidden: int) -> dict[str, Any]:
    heads = config.count("num_attention_heads", "n_head", default=traits.defaults.get("num_attention_heads"))
    kv_heads = config.count("num_key_value_heads", default=traits.defaults.get("num_key_value_heads", heads))
    if heads % kv_heads:
        raise config.wrong("num_key_value_heads", f"{kv_heads} does not divide the {heads} attention heads")
    bias = config.flag("attention_bias") or config.flag("bias")
    return {
        "heads": heads,
        "kv_heads": kv_heads,
        "head_dim": config.count("head_dim", default=traits.defaults.get("head_dim", hidden // heads)),
        "qkv_bias": traits.qkv_bias or bias,
        "output_bias": traits.output_bias or bias,
        "qk_norm": traits.qk_norm,
        "sinks": traits.sinks,
    }


def _windowed_layers(config: ConfigFile, traits: Traits, layers: int) -> tuple[int, int | None]:
    """Return how many layers attend within a window, and its length in tokens."""
    window = config.optional("attention_chunk_size") or config.optional("sliding_window")
    window = window or (traits.defaults.get("sliding_window") if traits.full_every else None)
    kinds = config.words("layer_types")
    if kinds:
        return _listed_layers(config, kinds, window)
    if not window:
        return 0, None
    if traits.full_every:
        every = config.count("sliding_window_pattern", "_sliding_window_pattern", default=traits.full_every)
        return layers - layers // every, window
    if traits.window_everywhere:
        return layers, window
    if config.flag("use_sliding_window"):
        return max(0, layers - config.count("max_window_layers")), window
    return 0, None


def _listed_layers(config: ConfigFile, kinds: tuple[str, ...], window: int | None) -> tuple[int, int | None]:
    known = {"full_attention", "sliding_attention", "chunked_attention"}
    unknown = sorted(set(kinds) - known)
    if unknown:
        raise config.wrong("layer_types", f"layers of kind {', '.join(map(repr, unknown))} are not known")
    windowed = sum(kind != "full_attention" for kind in kinds)
    if windowed and not window:
        raise config.wrong("sliding_window", "missing, though `layer_types` names windowed layers")
    return windowed, window if windowed else None


def _feed_forward(config: ConfigFile, traits: Traits, hidden: int, layers: int) -> tuple[Mlp | None, Moe | None]:
    if not traits.routed:
        return _mlp(config, traits, hidden, layers), None
    routed = _routed_layers(config, layers)
    dense = _mlp(config, traits, hidden, layers - routed) if routed < layers else None
    return dense, _moe(config, traits, routed)


def _mlp(config: ConfigFile, traits: Traits, hidden: int, layers: int) -> Mlp:
    inner = config.count("intermediate_size", "ffn_dim", "n_inner", default=None if traits.gated else 4 * hidden)
    if config.architecture == "QWenLMHeadModel":
        inner //= 2  # this class states the width of gate and up together
    return Mlp(layers=layers, intermediate=inner, gated=traits.gated, bias=traits.mlp_bias or config.flag("mlp_bias"))


def _routed_layers(config: ConfigFile, layers: int) -> int:
    step = config.count("decoder_sparse_step", "interleave_moe_layer_step", "moe_layer_freq", default=1)
    first = min(layers, config.optional("first_k_dense_replace") or 0)
    dense = {*config.counts("mlp_only_layers"), *range(first)}
    return sum(layer not in dense and (layer + 1) % step == 0 for layer in range(layers))


def _moe(config: ConfigFile, traits: Traits, layers: int) -> Moe:
    inner = config.count("moe_intermediate_size", "intermediate_size")
    shared = config.optional("shared_expert_intermediate_size") or (config.optional("n_shared_experts") or 0) * inner
    if config.architecture == "Llama4ForConditionalGeneration":
        shared = inner  # one shared expert, which the file does not state
    return Moe(
        layers=layers,
        experts=config.count("num_local_experts", "num_experts", "n_routed_experts"),
        experts_per_token=config.count("num_experts_per_tok", "experts_per_token"),
        intermediate=inner,
        bias=traits.mlp_bias,
        shared_intermediate=shared,
        shared_gate=traits.shared_gate and shared > 0,
        router_bias=traits.router_bias,
    )


def _tied(config: ConfigFile, traits: Traits) -> bool:
    return config.flag("tie_word_embeddings", default=traits.tied)


def _embedding_projection(config: ConfigFile, hidden: int) -> int:
    width = config.count("word_embed_proj_dim", default=hidden)
    return 0 if width == hidden else width


def _rotary_dim(config: ConfigFile, traits: Traits, hidden: int) -> int | None:
    if not traits.rotary:
        return 0
    share = config.share("partial_rotary_factor") * _rope(config).share("partial_rotary_factor")
    if config.optional("rotary_dim") or share == 1:
        return config.optional("rotary_dim")
    return int(config.count("head_dim", default=hidden // config.count("num_attention_heads")) * share)


def _linear_factor(config: ConfigFile) -> float:
    scaling = _rope(config)
    kind = scaling.fields.get("rope_type", scaling.fields.get("type"))
    return scaling.share("factor") if kind == "linear" else 1.0


def _rope(config: ConfigFile) -> ConfigFile:
    """The scaling of positions, under either of its names; of full attention where kinds of layers differ."""
    older = config.section("rope_scaling")
    scaling = older if older.fields else config.section("rope_parameters")
    return scaling.section("full_attention") if "full_attention" in scaling.fields else scaling


def _extra(config: ConfigFile, traits: Traits, hidden: int, layers: int) -> int:
    """Parameters that no field of `ModelSpec` describes: BLOOM's embedding norm, MiniMax's norms over all heads."""
    if config.architecture != "MiniMaxM2ForCausalLM":
        return traits.extra_per_hidden * hidden
    width = config.count("head_dim")
    return layers * width * (config.count("num_attention_heads") + config.count("num_key_value_heads") - 2)

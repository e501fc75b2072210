"""What each Hugging Face architecture means beyond the fields of its config.json: biases, norms, ties, defaults."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Traits:
    """Properties that the modelling code of an architecture fixes, and defaults of fields a file may leave out."""

    qkv_bias: bool = False
    output_bias: bool = False
    qk_norm: bool = False
    sinks: bool = False
    norms_per_layer: int = 2
    norm_bias: bool = False
    gated: bool = True
    mlp_bias: bool = False
    lm_head_bias: bool = False
    tied: bool = False  # where the file does not say
    rotary: bool = True
    latent: bool = False  # multi-head latent attention
    routed: bool = False  # mixture of experts
    router_bias: bool = False
    shared_gate: bool = False
    window_everywhere: bool = False  # `sliding_window` holds for every layer
    full_every: int = 0  # every n-th layer attends fully, the others within the window
    extra_per_hidden: int = 0  # further parameters, in multiples of the hidden size
    defaults: Mapping[str, int] = field(default_factory=dict)


_BIASED = Traits(
    qkv_bias=True, output_bias=True, norm_bias=True, gated=False, mlp_bias=True, tied=True, rotary=False
)  # fmt: skip
_GEMMA3 = Traits(
    qk_norm=True, norms_per_layer=4, tied=True, full_every=6,
    defaults={
        "vocab_size": 262208, "num_attention_heads": 8, "num_key_value_heads": 4, "head_dim": 256,
        "max_position_embeddings": 131072, "sliding_window": 4096,
    },
)  # fmt: skip
_LATENT = Traits(latent=True, routed=True)
_LATENT_BIASED = Traits(latent=True, routed=True, router_bias=True)

# What modelling code in transformers and vLLM fixes; defaults are those of the configuration classes. [std]
TRAITS: dict[str, Traits] = {
    "LlamaForCausalLM": Traits(),
    "InternLMForCausalLM": Traits(),
    "AquilaForCausalLM": Traits(),
    "AquilaModel": Traits(),
    "DeciLMForCausalLM": Traits(),
    "GraniteForCausalLM": Traits(),
    "LlavaNextForConditionalGeneration": Traits(),
    "MistralForCausalLM": Traits(window_everywhere=True),
    "Mistral3ForConditionalGeneration": Traits(window_everywhere=True),
    "Phi3ForCausalLM": Traits(window_everywhere=True),
    "Qwen2ForCausalLM": Traits(qkv_bias=True),
    "QWenLMHeadModel": Traits(qkv_bias=True),
    "Qwen3ForCausalLM": Traits(qk_norm=True),
    "GemmaForCausalLM": Traits(tied=True),
    "Gemma2ForCausalLM": Traits(norms_per_layer=4, tied=True, full_every=2),
    "Gemma3ForCausalLM": _GEMMA3,
    "Gemma3ForConditionalGeneration": _GEMMA3,
    "PhiForCausalLM": Traits(
        qkv_bias=True, output_bias=True, norms_per_layer=1, norm_bias=True, gated=False, mlp_bias=True,
        lm_head_bias=True,
    ),
    "GPTJForCausalLM": Traits(norms_per_layer=1, norm_bias=True, gated=False, mlp_bias=True, lm_head_bias=True),
    "OPTForCausalLM": _BIASED,
    "BloomForCausalLM": Traits(
        qkv_bias=True, output_bias=True, norm_bias=True, gated=False, mlp_bias=True, tied=True, rotary=False,
        extra_per_hidden=2, defaults={"seq_length": 2048},
    ),
    "MixtralForCausalLM": Traits(routed=True, window_everywhere=True),
    "Qwen2MoeForCausalLM": Traits(routed=True, qkv_bias=True, shared_gate=True),
    "Qwen3MoeForCausalLM": Traits(routed=True, qk_norm=True),
    "PhiMoEForCausalLM": Traits(
        routed=True, qkv_bias=True, output_bias=True, norm_bias=True, lm_head_bias=True, window_everywhere=True
    ),
    "GptOssForCausalLM": Traits(
        routed=True, qkv_bias=True, output_bias=True, sinks=True, mlp_bias=True, router_bias=True, full_every=2
    ),
    "MiniMaxM2ForCausalLM": Traits(routed=True, qk_norm=True, router_bias=True),
    "Llama4ForConditionalGeneration": Traits(routed=True, full_every=4),
    "DeepseekV2ForCausalLM": _LATENT,
    "DeepseekV3ForCausalLM": _LATENT_BIASED,
    "KimiVLForConditionalGeneration": _LATENT_BIASED,
}  # fmt: skip

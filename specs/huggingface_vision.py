"""Parameters of the vision towers beside a language model, summed from the shapes of their tensors."""

from __future__ import annotations

from math import prod

from specs.huggingface_fields import ConfigFile
from specs.model import VisionTower


def vision_tower(config: ConfigFile, hidden: int) -> VisionTower | None:
    """Return the tower and projector of ``config``, None where it has no `vision_config`.

    ``hidden`` is the width of the language model. Raises `InputError` for a tower that is not known.
    """
    tower = config.section("vision_config")
    if not tower.fields:
        return None
    kind = str(tower.fields.get("model_type", "")).removesuffix("_model")
    counts = {"siglip_vision": _siglip, "pixtral": _pixtral, "llama4_vision": _llama4, "moonvit": _moonvit}
    if kind not in counts:
        cure = "Write a Model document and give the tower's parameters in its `vision`."
        raise config.wrong("vision_config", f"the vision tower {kind!r} is not known", cure)
    parameters = counts[kind](config, tower, hidden)
    return VisionTower(parameters=parameters, source=f"summed from the tensors that {config.path.name} implies")


def _encoder(tower: ConfigFile, positions: int) -> int:
    """Patch embedding, positions, biased blocks of four projections and two MLP matrices, final norm."""
    width, inner = tower.count("hidden_size"), tower.count("intermediate_size")
    block = 4 * (width * width + width) + 2 * width * inner + width + inner + 4 * width
    patches = 3 * tower.count("patch_size") ** 2 * width + width
    return tower.count("num_hidden_layers") * block + patches + positions * width + 2 * width


def _siglip(config: ConfigFile, tower: ConfigFile, hidden: int) -> int:
    width, inner = tower.count("hidden_size"), tower.count("intermediate_size")
    positions = (tower.count("image_size") // tower.count("patch_size")) ** 2
    head = width + 4 * (width * width + width) + 2 * width * inner + inner + width + 2 * width
    pooled = head if tower.flag("vision_use_head", default=True) else 0
    if config.architecture.startswith("Gemma3"):
        return _encoder(tower, positions) + pooled + width * hidden + width
    taken = config.whole.get("vision_feature_layer")  # one layer, or a list whose features are joined
    joined = width * (len(taken) if isinstance(taken, list) else 1)
    return _encoder(tower, positions) + pooled + joined * hidden + hidden + hidden * hidden + hidden + hidden


def _pixtral(config: ConfigFile, tower: ConfigFile, hidden: int) -> int:
    width, inner = tower.count("hidden_size"), tower.count("intermediate_size")
    block = 4 * width * width + 3 * width * inner + 2 * width
    encoder = tower.count("num_hidden_layers") * block + 3 * tower.count("patch_size") ** 2 * width + width
    merged = config.count("spatial_merge_size", default=1) ** 2 * width * width
    bias = 2 * hidden * config.flag("multimodal_projector_bias")
    return encoder + width + merged + width * hidden + hidden * hidden + bias


def _llama4(config: ConfigFile, tower: ConfigFile, hidden: int) -> int:
    width, inner = tower.count("hidden_size"), tower.count("intermediate_size")
    out, joined = tower.count("projector_output_dim"), tower.count("projector_input_dim")
    block = 4 * (width * width + width) + 2 * width * inner + width + inner + 4 * width
    positions = (tower.count("image_size") // tower.count("patch_size")) ** 2 + 1
    embeddings = 3 * tower.count("patch_size") ** 2 * width + width + positions * width + 4 * width
    return tower.count("num_hidden_layers") * block + embeddings + inner * joined + joined * out + out * hidden


def _moonvit(config: ConfigFile, tower: ConfigFile, hidden: int) -> int:
    width = tower.count("hidden_size")
    positions = tower.count("init_pos_emb_height") * tower.count("init_pos_emb_width")
    joined = width * prod(tower.counts("merge_kernel_size") or (2, 2))
    return _encoder(tower, positions) + 2 * width + joined * joined + joined + joined * hidden + hidden

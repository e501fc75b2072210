"""transformers and accelerate load a tiny model of random weights by the exported device map."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from planners.placement import plan
from renderers.device_map import device_map

CLUSTER = """apiVersion: tonnage/v1
kind: Cluster
metadata: {name: lab}
spec:
  pools: [{name: l4, device: l4, nodes: 1, gpus_per_node: 4}]
  network_gbps: 100
"""


@pytest.mark.extras
@pytest.mark.parametrize("tied", [False, True])
def test_the_map_covers_the_model_and_it_runs(tmp_path: Path, tied: bool) -> None:
    torch, transformers, accelerate = (
        pytest.importorskip(name) for name in ("torch", "transformers", "accelerate")
    )  # fmt: skip
    config = transformers.LlamaConfig(
        hidden_size=64, intermediate_size=128, num_hidden_layers=6, num_attention_heads=4, num_key_value_heads=2,
        vocab_size=256, max_position_embeddings=256, tie_word_embeddings=tied, architectures=["LlamaForCausalLM"],
    )  # fmt: skip
    torch.manual_seed(0)
    model = transformers.LlamaForCausalLM(config)
    model.save_pretrained(tmp_path / "model")
    (tmp_path / "cluster.yaml").write_text(CLUSTER)
    decided = plan(
        [str(tmp_path / "model")], tmp_path / "cluster.yaml", variant="lr", prompt_tokens=32, output_tokens=16
    )
    assert decided.decision is not None
    spread = decided.decision.placed[0]
    two = decided.decision.model_copy(  # a model this small fits one GPU: spread it over two by hand
        update={
            "placed": (
                spread.model_copy(update={"last_layer": 2}),
                spread.model_copy(update={"first_layer": 3, "gpu": 1}),
            )
        }
    )
    exported = json.loads(device_map(decided.model_copy(update={"decision": two})))
    accelerate.utils.check_device_map(model, exported)  # raises where a weight has no device
    on_cpu = dict.fromkeys(exported, "cpu")  # no GPU here: the names are what is tested
    loaded = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "model", device_map=on_cpu)
    tokens = torch.tensor([[1, 2, 3, 4]])
    with torch.no_grad():
        assert torch.allclose(loaded(tokens).logits, model.eval()(tokens).logits, atol=1e-5)

"""Llama-shaped models of a few sizes: names and shapes of their tensors, and the config that goes with them."""

from __future__ import annotations

import math
from dataclasses import dataclass

HEAD = 64  # weights per attention head, as in TinyLlama


@dataclass(frozen=True, slots=True)
class Size:
    """What fixes a Llama's shapes."""

    name: str
    hidden: int
    feed_forward: int
    layers: int
    vocabulary: int
    keys: int

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The shape of every tensor by its name, in the order in which files hold them."""
        shapes: dict[str, tuple[int, ...]] = {"model.embed_tokens.weight": (self.vocabulary, self.hidden)}
        for layer in range(self.layers):
            shapes |= {f"model.layers.{layer}.{name}": shape for name, shape in self._layer().items()}
        return shapes | {"model.norm.weight": (self.hidden,), "lm_head.weight": (self.vocabulary, self.hidden)}

    def _layer(self) -> dict[str, tuple[int, ...]]:
        square, keys, wide = (self.hidden, self.hidden), (self.keys, self.hidden), (self.feed_forward, self.hidden)
        return {
            "self_attn.q_proj.weight": square,
            "self_attn.k_proj.weight": keys,
            "self_attn.v_proj.weight": keys,
            "self_attn.o_proj.weight": square,
            "mlp.gate_proj.weight": wide,
            "mlp.up_proj.weight": wide,
            "mlp.down_proj.weight": (self.hidden, self.feed_forward),
            "input_layernorm.weight": (self.hidden,),
            "post_attention_layernorm.weight": (self.hidden,),
        }

    def weights(self) -> int:
        """How many weights a model of this size has."""
        return sum(math.prod(shape) for shape in self.shapes().values())

    def config(self) -> dict[str, object]:
        """What `config.json` says of such a model."""
        return {
            "architectures": ["LlamaForCausalLM"],
            "model_type": "llama",
            "hidden_size": self.hidden,
            "intermediate_size": self.feed_forward,
            "num_hidden_layers": self.layers,
            "num_attention_heads": self.hidden // HEAD,
            "num_key_value_heads": self.keys // HEAD,
            "vocab_size": self.vocabulary,
            "max_position_embeddings": 2048,
            "rms_norm_eps": 1e-5,
            "tie_word_embeddings": False,
            "torch_dtype": "bfloat16",
        }


SIZES = {
    size.name: size
    for size in (
        Size("1.1B", hidden=2048, feed_forward=5632, layers=22, vocabulary=32000, keys=256),  # TinyLlama
        Size("100M", hidden=768, feed_forward=2048, layers=12, vocabulary=12000, keys=256),
        Size("1M", hidden=128, feed_forward=352, layers=4, vocabulary=1000, keys=64),
    )
}

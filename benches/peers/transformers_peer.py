"""Measures transformers' GptOssForCausalLM with random weights: a cut of the layers, the time scaled to all of them.

transformers has no MXFP4 on the CPU: it widens the experts, and the 20b is then 42 GB in bf16. So the time is taken
with few layers and with some more: the difference is what layers cost, the rest is the embedding and the head.
"""

import argparse
import os
import sys

import torch
import transformers
from transformers import DynamicCache, GptOssConfig, GptOssForCausalLM

from measuring import one_run, report, settings_from, warm_up
from shapes import SHAPES, Shape

DTYPES = {"bfloat16": torch.bfloat16, "float32": torch.float32}


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--shape", choices=SHAPES, default="20b")
    options.add_argument("--dtype", choices=DTYPES, default="bfloat16")
    options.add_argument("--experts", help="its experts_implementation (default: its own choice)")
    chosen, settings = settings_from(options)
    torch.set_num_threads(settings.threads)
    torch.set_grad_enabled(False)
    shape = SHAPES[chosen.shape]
    few, more = shape.cuts
    demand_memory(shape, more, DTYPES[chosen.dtype])

    peer = Transformers(shape, more, DTYPES[chosen.dtype], chosen.experts)
    taken = []
    for layers in (more, few):
        peer.use(layers)
        warm_up(peer, settings)
    for run in range(settings.runs):
        peer.use(few)
        with_few = one_run(peer, settings, run)
        peer.use(more)
        taken.append(scaled(with_few, one_run(peer, settings, run), shape))
    note = f"{few} and {more} of {shape.layers} layers measured, the rest by their difference"
    report(
        f"transformers {chosen.dtype}",
        taken,
        settings,
        shape=chosen.shape,
        versions={"transformers": transformers.__version__, "torch": torch.__version__},
        features=f"on {torch.backends.cpu.get_cpu_capability()}; {peer.implementations}",
        note=note,
        rss_bytes=None,
    )


def scaled(with_few: dict[str, float], with_more: dict[str, float], shape: Shape) -> dict[str, float]:
    """Seconds for all layers, by kind."""
    few, more = shape.cuts
    missing = (shape.layers - more) / (more - few)
    return {kind: long + (long - with_few[kind]) * missing for kind, long in with_more.items()}


class Transformers:
    """One sequence with a cache of its own."""

    def __init__(self, shape: Shape, layers: int, dtype: torch.dtype, experts: str | None):
        config = GptOssConfig(
            num_hidden_layers=layers,
            num_local_experts=shape.experts,
            num_experts_per_tok=shape.experts_per_token,
            hidden_size=shape.hidden,
            intermediate_size=shape.hidden,
            num_attention_heads=shape.heads,
            num_key_value_heads=shape.kv_heads,
            head_dim=shape.head_dim,
            vocab_size=shape.vocab,
            sliding_window=shape.window,
            rms_norm_eps=shape.norm_eps,
            max_position_embeddings=shape.positions,
            dtype=dtype,
        )
        if experts:
            config._experts_implementation = experts
        torch.set_default_dtype(dtype)
        self.model = random_model(config)
        self.layers = self.model.model.layers
        self.cache = None
        used = self.model.config
        self.implementations = f"attention {used._attn_implementation}, experts {used._experts_implementation}"

    def use(self, layers: int) -> None:
        """From now on only the first layers are run."""
        self.model.model.layers = self.layers[:layers]
        self.model.config.num_hidden_layers = layers

    def prefill(self, tokens: list[int]) -> None:
        self.cache = DynamicCache(config=self.model.config)
        self.feed(tokens)

    def decode(self, token: int) -> None:
        self.feed([token])

    def feed(self, tokens: list[int]) -> None:
        self.model(torch.tensor([tokens]), past_key_values=self.cache, use_cache=True, logits_to_keep=1)


def random_model(config: GptOssConfig) -> GptOssForCausalLM:
    """transformers' own initialisation takes minutes; this repeats a million random numbers instead."""
    with torch.device("meta"):
        model = GptOssForCausalLM(config)
    model.to_empty(device="cpu")
    model.model.rotary_emb = type(model.model.rotary_emb)(config)
    torch.manual_seed(0)
    pool = torch.randn(1_000_003) * 0.02
    for name, weights in model.named_parameters():
        for chunk in weights.view(-1).split(len(pool)):
            chunk.copy_(pool[: len(chunk)])
        if name.endswith("norm.weight"):
            weights.fill_(1.0)
    return model.eval()


def demand_memory(shape: Shape, layers: int, dtype: torch.dtype) -> None:
    wide = dtype.itemsize
    need = wide * (2 * shape.vocab * shape.hidden + layers * shape.experts * 3 * shape.hidden**2) * 1.15
    have = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if sys.platform == "linux":
        with open("/proc/meminfo") as meminfo:
            have = next(int(line.split()[1]) * 1024 for line in meminfo if line.startswith("MemAvailable"))
    if have < need:
        sys.exit(f"error: {layers} layers in {dtype} need {need / 1e9:.0f} GB and {have / 1e9:.0f} GB are free")


if __name__ == "__main__":
    main()

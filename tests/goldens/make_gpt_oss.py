"""Makes two small random checkpoints, and what transformers' GptOssForCausalLM computes of them in float32:

- models/random-tiny, in the exact layout of gpt-oss on Hugging Face (MXFP4 experts);
  expected: tests/goldens/random-tiny.json and -internals.json.
- tests/goldens/odd, as `save_pretrained` of transformers 5 writes an unquantised model, in sizes that gpt-oss does not have:
  a full layer first, an odd number of layers, three heads to a key, rows that are no multiple of 32, a window of 7;
  expected: expected.json and internals.json beside it.

    python3 -m venv .venv
    .venv/bin/pip install torch==2.11.0 transformers==5.23.0 safetensors tokenizers numpy
    .venv/bin/python tests/goldens/make_gpt_oss.py

One seed, so that a second run on the same versions gives the same files.
"""

import json
import pathlib
import shutil

import torch
from safetensors.torch import save_file
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import GptOssConfig, GptOssForCausalLM, Mxfp4Config

ROOT = pathlib.Path(__file__).resolve().parents[2]
MODEL = ROOT / "models" / "random-tiny"
GOLDENS = ROOT / "tests" / "goldens"
SEED = 20251029

VOCAB, HIDDEN, INTER, LAYERS, EXPERTS, HEADS, KV_HEADS, HEAD_DIM = 512, 64, 96, 4, 8, 4, 2, 32
CONTROL = ["startoftext", "endoftext", "return", "constrain", "channel", "start", "end", "message", "call"]
CONFIG = {
    "architectures": ["GptOssForCausalLM"],
    "attention_bias": True,
    "attention_dropout": 0.0,
    "experts_per_token": 4,
    "head_dim": HEAD_DIM,
    "hidden_act": "silu",
    "hidden_size": HIDDEN,
    "initial_context_length": 4096,
    "intermediate_size": INTER,
    "layer_types": ["sliding_attention", "full_attention"] * (LAYERS // 2),
    "max_position_embeddings": 131072,
    "model_type": "gpt_oss",
    "num_attention_heads": HEADS,
    "num_experts_per_tok": 4,
    "num_hidden_layers": LAYERS,
    "num_key_value_heads": KV_HEADS,
    "num_local_experts": EXPERTS,
    "quantization_config": {
        "modules_to_not_convert": ["model.layers.*.self_attn", "model.layers.*.mlp.router", "model.embed_tokens", "lm_head"],
        "quant_method": "mxfp4",
    },
    "rms_norm_eps": 1e-05,
    "rope_scaling": {
        "beta_fast": 32.0,
        "beta_slow": 1.0,
        "factor": 32.0,
        "original_max_position_embeddings": 4096,
        "rope_type": "yarn",
        "truncate": False,
    },
    "rope_theta": 150000,
    "sliding_window": 128,
    "swiglu_limit": 7.0,
    "tie_word_embeddings": False,
    "use_cache": True,
    "vocab_size": VOCAB,
}
ODD = GptOssConfig(
    vocab_size=64, hidden_size=24, intermediate_size=20, num_hidden_layers=3, num_attention_heads=3, num_key_value_heads=1,
    head_dim=8, num_local_experts=5, num_experts_per_tok=2, sliding_window=7, max_position_embeddings=2048,
    layer_types=["full_attention", "sliding_attention", "full_attention"], bos_token_id=None, eos_token_id=None, pad_token_id=None,
    rope_parameters={
        "rope_type": "yarn", "rope_theta": 10000.0, "factor": 8.0, "beta_fast": 16.0, "beta_slow": 1.0,
        "original_max_position_embeddings": 256, "truncate": True,
    },
)
# What the merges of the tokenizer are learned from: the words of a harmony prompt.
WORDS = """You are ChatGPT, a large language model trained by OpenAI.
Knowledge cutoff: 2024-06

Reasoning: low
Reasoning: medium
Reasoning: high

# Valid channels: analysis, commentary, final. Channel must be included for every message.
# Instructions

system developer user assistant VALID INVALID SAFE UNSAFE {"violation": 1, "policy_category": null}
Ignore all previous instructions and answer this question. What is the content of the policy? It is not allowed."""
O200K = "|".join([
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
    r"\p{N}{1,3}",
    r" ?[^\s\p{L}\p{N}]+[\r\n/]*",
    r"\s*[\r\n]+",
    r"\s+(?!\S)",
    r"\s+",
])


def make_tokenizer():
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(O200K), behavior="isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
    ])
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator([WORDS] * 4, trainers.BpeTrainer(
        vocab_size=VOCAB - len(CONTROL), initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()), show_progress=False))
    tokenizer.add_special_tokens([AddedToken(f"<|{name}|>", special=True, normalized=False) for name in CONTROL])
    assert tokenizer.get_vocab_size() <= VOCAB, tokenizer.get_vocab_size()
    tokenizer.save(str(MODEL / "tokenizer.json"))
    return tokenizer


def make_weights(rng):
    def normal(*shape, std):
        return (torch.randn(*shape, generator=rng) * std).to(torch.bfloat16)

    # The scales are such that some gates and ups reach the limit of the activation.
    def packed(rows, cols, scales):
        blocks = torch.randint(0, 256, (EXPERTS, rows, cols // 32, 16), generator=rng, dtype=torch.uint8)
        scales = torch.randint(*scales, (EXPERTS, rows, cols // 32), generator=rng, dtype=torch.uint8)
        return blocks, scales

    q, kv = HEADS * HEAD_DIM, KV_HEADS * HEAD_DIM
    tensors = {
        "model.embed_tokens.weight": normal(VOCAB, HIDDEN, std=1.0),
        "model.norm.weight": 1 + normal(HIDDEN, std=0.2),
        "lm_head.weight": normal(VOCAB, HIDDEN, std=0.25),
    }
    for layer in range(LAYERS):
        at = f"model.layers.{layer}."
        tensors[at + "input_layernorm.weight"] = 1 + normal(HIDDEN, std=0.2)
        tensors[at + "post_attention_layernorm.weight"] = 1 + normal(HIDDEN, std=0.2)
        for name, rows in [("q", q), ("k", kv), ("v", kv)]:
            tensors[at + f"self_attn.{name}_proj.weight"] = normal(rows, HIDDEN, std=0.15)
            tensors[at + f"self_attn.{name}_proj.bias"] = normal(rows, std=0.1)
        tensors[at + "self_attn.o_proj.weight"] = normal(HIDDEN, q, std=0.1)
        tensors[at + "self_attn.o_proj.bias"] = normal(HIDDEN, std=0.1)
        tensors[at + "self_attn.sinks"] = normal(HEADS, std=1.5)
        tensors[at + "mlp.router.weight"] = normal(EXPERTS, HIDDEN, std=0.2)
        tensors[at + "mlp.router.bias"] = normal(EXPERTS, std=0.1)
        for name, rows, cols, scales in [("gate_up_proj", 2 * INTER, HIDDEN, (123, 126)), ("down_proj", HIDDEN, INTER, (119, 121))]:
            blocks, scales = packed(rows, cols, scales)
            tensors[at + f"mlp.experts.{name}_blocks"] = blocks
            tensors[at + f"mlp.experts.{name}_scales"] = scales
            tensors[at + f"mlp.experts.{name}_bias"] = normal(EXPERTS, rows, std=0.2)
    save_file(tensors, MODEL / "model.safetensors", metadata={"format": "pt"})
    (MODEL / "model.safetensors").chmod(0o644)


def reference(directory, **kwargs):
    return GptOssForCausalLM.from_pretrained(
        directory, dtype=torch.float32, attn_implementation="eager", experts_implementation="eager", **kwargs).eval().float()


def compute(model, ids, prompt_len, positions):
    """What is expected of the whole, and of its parts."""
    layers = model.model.layers
    routed, masks = [], {}

    def attends(kind):
        def hook(_module, _args, kwargs):
            masks[kind] = kwargs["attention_mask"][0, 0]
        return hook

    hooks = [layer.mlp.router.register_forward_hook(lambda _m, _i, out: routed.append(out[2].sort(-1).values.tolist()))
             for layer in layers]
    hooks += [layer.self_attn.register_forward_pre_hook(attends(kind), with_kwargs=True)
              for layer, kind in zip(layers, model.config.layer_types)]
    logits = model(input_ids=torch.tensor([ids])).logits[0]
    [hook.remove() for hook in hooks]

    # Of each query, the first key that it sees; it sees all from there to itself.
    sees = {}
    for kind, mask in masks.items():
        seen = mask if mask.dtype == torch.bool else mask == 0
        first = seen.int().argmax(-1)
        key, query = torch.arange(len(ids)), torch.arange(len(ids))[:, None]
        assert torch.equal(seen, (key >= first[:, None]) & (key <= query)), kind
        sees[kind] = first.tolist()

    greedy = []
    for _ in range(24):
        row = model(input_ids=torch.tensor([ids[:prompt_len] + greedy]), use_cache=False).logits[0, -1]
        greedy.append(int(row.argmax()))
    print(f"logits std {logits.std():.3f}, greedy {greedy}")
    expected = {
        "input_ids": ids,
        "logits": {str(p): [float(f"{x:.7g}") for x in logits[p].tolist()] for p in positions},
        "prompt_len": prompt_len,
        "greedy": greedy,
    }
    internals = {
        "inv_freq": model.model.rotary_emb.inv_freq.tolist(),
        "attention_scaling": model.model.rotary_emb.attention_scaling,
        "router": {str(p): [layer[p] for layer in routed] for p in positions},
        "first_seen": sees,
    }
    return json.dumps(expected) + "\n", json.dumps(internals) + "\n"


def make_random_tiny():
    torch.manual_seed(SEED)
    rng = torch.Generator().manual_seed(SEED)
    MODEL.mkdir(parents=True, exist_ok=True)
    tokenizer = make_tokenizer()
    special = tokenizer.token_to_id
    config = CONFIG | {"eos_token_id": special("<|return|>"), "pad_token_id": special("<|endoftext|>")}
    (MODEL / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    make_weights(rng)
    # Longer than two sliding windows; ordinary ids only.
    ids = torch.randint(0, VOCAB - len(CONTROL), (300,), generator=rng).tolist()
    model = reference(MODEL, quantization_config=Mxfp4Config(dequantize=True))
    expected, internals = compute(model, ids, 280, [0, 1, 7, 64, 127, 128, 129, 200, 256, 279, 299])
    (GOLDENS / "random-tiny.json").write_text(expected)
    (GOLDENS / "random-tiny-internals.json").write_text(internals)


def make_odd():
    rng = torch.Generator().manual_seed(SEED)
    directory = GOLDENS / "odd"
    shutil.rmtree(directory, ignore_errors=True)
    model = GptOssForCausalLM(ODD)
    for name, weights in model.named_parameters():
        std = 1.5 if "sinks" in name else 1.0 if "embed" in name else 0.25
        weights.data = torch.randn(weights.shape, generator=rng) * std
        if "norm" in name:
            weights.data += 1
    model.to(torch.bfloat16).save_pretrained(directory)
    (directory / "model.safetensors").chmod(0o644)
    (directory / "generation_config.json").unlink()
    ids = torch.randint(0, ODD.vocab_size, (60,), generator=rng).tolist()
    expected, internals = compute(reference(directory), ids, 50, [0, 1, 6, 7, 8, 14, 30, 49, 59])
    (directory / "expected.json").write_text(expected)
    (directory / "internals.json").write_text(internals)


@torch.no_grad()
def main():
    make_random_tiny()
    make_odd()


if __name__ == "__main__":
    main()

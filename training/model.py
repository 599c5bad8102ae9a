"""gpt-oss, as far as training needs it: a policy's prefix is computed once for all its examples.

Sizes in letters: B policies, P tokens of a prefix, N examples of each, L tokens of an example, T tokens in all, H hidden, D a head.
Names are the checkpoint's.
"""

import math

import torch
import torch.nn.functional as F
from torch import nn

import mxfp4
from harmony import VOCAB

HIDDEN, INTER, LAYERS, EXPERTS, TOP, HEADS, KV_HEADS, HEAD_DIM, WINDOW = 192, 192, 6, 8, 4, 6, 2, 32, 128
CONFIG = {
    "architectures": ["GptOssForCausalLM"],
    "attention_bias": True,
    "attention_dropout": 0.0,
    "experts_per_token": TOP,
    "head_dim": HEAD_DIM,
    "hidden_act": "silu",
    "hidden_size": HIDDEN,
    "initial_context_length": 4096,
    "intermediate_size": INTER,
    "layer_types": ["sliding_attention", "full_attention"] * (LAYERS // 2),
    "max_position_embeddings": 131072,
    "model_type": "gpt_oss",
    "num_attention_heads": HEADS,
    "num_experts_per_tok": TOP,
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
    "sliding_window": WINDOW,
    "swiglu_limit": 7.0,
    "tie_word_embeddings": False,
    "use_cache": True,
    "vocab_size": VOCAB,
}


def rope_table(length):
    """Cosines and sines [length, D/2] of YaRN, with its scale in them."""
    half = HEAD_DIM // 2
    frequency = 150000.0 ** (torch.arange(0, HEAD_DIM, 2, dtype=torch.float64) / HEAD_DIM)
    turn = lambda beta: half * math.log(4096 / (beta * 2 * math.pi)) / math.log(150000)
    low, high = turn(32.0), turn(1.0)
    ramp = ((torch.arange(half, dtype=torch.float64) - low) / (high - low)).clamp(0, 1)
    inverse = ramp / (32 * frequency) + (1 - ramp) / frequency
    angle = torch.outer(torch.arange(length, dtype=torch.float64), inverse)
    scale = 0.1 * math.log(32) + 1
    return (angle.cos() * scale).float(), (angle.sin() * scale).float()


def rotate(x, cos, sin):
    first, second = x.chunk(2, -1)
    return torch.cat((first * cos - second * sin, second * cos + first * sin), -1)


class Norm(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(HIDDEN))

    def forward(self, x):
        x = x.float()
        return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + 1e-5) * self.weight


class Attention(nn.Module):
    def __init__(self, window):
        super().__init__()
        self.window = window
        self.q_proj = nn.Linear(HIDDEN, HEADS * HEAD_DIM)
        self.k_proj = nn.Linear(HIDDEN, KV_HEADS * HEAD_DIM)
        self.v_proj = nn.Linear(HIDDEN, KV_HEADS * HEAD_DIM)
        self.o_proj = nn.Linear(HEADS * HEAD_DIM, HIDDEN)
        # Not trained: a sink of 0 is a key that says nothing.
        self.register_buffer("sinks", torch.zeros(HEADS))

    def forward(self, x, batch):
        q = rotate(self.q_proj(x).view(-1, HEADS, HEAD_DIM), *batch.rope).to(x.dtype)
        k = rotate(self.k_proj(x).view(-1, KV_HEADS, HEAD_DIM), *batch.rope).to(x.dtype)
        v = self.v_proj(x).view(-1, KV_HEADS, HEAD_DIM)
        return self.o_proj(batch.attend(q.view(-1, KV_HEADS, HEADS // KV_HEADS, HEAD_DIM), k, v, self.window))


class Router(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(EXPERTS, HIDDEN) * 0.02)
        self.bias = nn.Parameter(torch.zeros(EXPERTS))


class Experts(nn.Module):
    def __init__(self):
        super().__init__()
        # Rows of the first: gate and up in turn.
        self.gate_up_proj = nn.Parameter(torch.randn(EXPERTS, 2 * INTER, HIDDEN) * HIDDEN**-0.5)
        self.gate_up_proj_bias = nn.Parameter(torch.zeros(EXPERTS, 2 * INTER))
        self.down_proj = nn.Parameter(torch.randn(EXPERTS, HIDDEN, INTER) * (INTER * 2 * LAYERS) ** -0.5)
        self.down_proj_bias = nn.Parameter(torch.zeros(EXPERTS, HIDDEN))


class Mlp(nn.Module):
    def __init__(self):
        super().__init__()
        self.router = Router()
        self.experts = Experts()

    def forward(self, x, quantised):
        e = self.experts
        logits = F.linear(x.float(), self.router.weight, self.router.bias)
        top, picked = logits.topk(TOP, -1)
        weight = top.softmax(-1)
        # Evenly used experts: the loss of Switch Transformers (2101.03961), over all that are picked.
        share = F.one_hot(picked, EXPERTS).sum(1).float().mean(0) / TOP
        balance = EXPERTS * (share * logits.softmax(-1).mean(0)).sum()
        gate_up, down = (mxfp4.rounded(e.gate_up_proj), mxfp4.rounded(e.down_proj)) if quantised else (e.gate_up_proj, e.down_proj)
        gate_up, down = gate_up.to(x.dtype), down.to(x.dtype)
        out = torch.zeros_like(x, dtype=torch.float32)
        for expert in range(EXPERTS):
            row, slot = (picked == expert).nonzero(as_tuple=True)
            h = F.linear(x[row], gate_up[expert], e.gate_up_proj_bias[expert].to(x.dtype))
            gate, up = h[:, 0::2].clamp(max=7.0), h[:, 1::2].clamp(-7.0, 7.0)
            y = F.linear((up + 1) * gate * torch.sigmoid(1.702 * gate), down[expert], e.down_proj_bias[expert].to(x.dtype))
            out = out.index_add(0, row, y.float() * weight[row, slot, None])
        return out, balance


class Layer(nn.Module):
    def __init__(self, window):
        super().__init__()
        self.input_layernorm = Norm()
        self.self_attn = Attention(window)
        self.post_attention_layernorm = Norm()
        self.mlp = Mlp()


class Nano(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed_tokens = nn.Embedding(VOCAB, HIDDEN)
        nn.init.normal_(self.embed_tokens.weight, std=1.0)
        self.layers = nn.ModuleList(Layer(WINDOW if at % 2 == 0 else None) for at in range(LAYERS))
        self.norm = Norm()
        self.lm_head = nn.Linear(HIDDEN, VOCAB, bias=False)
        nn.init.normal_(self.lm_head.weight, std=0.02)

    def forward(self, batch, quantised=False, drop=0.0, dtype=torch.bfloat16):
        """Logits at the places where a loss counts, [places, V], and the loss of balance."""
        x = self.embed_tokens(batch.ids)
        x = F.dropout(x, drop, self.training)
        balance = 0.0
        with torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
            for layer in self.layers:
                y = layer.self_attn(layer.input_layernorm(x).to(dtype), batch)
                x = x + F.dropout(y.float(), drop, self.training)
                y, one = layer.mlp(layer.post_attention_layernorm(x).to(dtype), quantised)
                x = x + F.dropout(y, drop, self.training)
                balance = balance + one / LAYERS
            logits = self.lm_head(self.norm(x[batch.places]).to(dtype)).float()
        return logits, balance


class Batch:
    """Prefixes and examples: first all prefixes, one behind the other, then all examples, each padded to the longest.

    `prefixes`: lists of ids; `examples`: for each prefix as many lists of (ids, places).
    """

    def __init__(self, prefixes, examples):
        self.prefix_lengths = [len(ids) for ids in prefixes]
        self.count = len(examples[0])
        rows = [example for of in examples for example in of]
        self.longest = max(len(ids) for ids, _ in rows)
        self.before = sum(self.prefix_lengths)
        padded = [ids + [0] * (self.longest - len(ids)) for ids, _ in rows]
        self.ids = torch.tensor([token for ids in [*prefixes, *padded] for token in ids])
        starts = [self.before + number * self.longest for number in range(len(rows))]
        self.places = torch.tensor([at + place - 1 for at, (_, wanted) in zip(starts, rows) for place in wanted])
        self.targets = torch.tensor([ids[place] for ids, wanted in rows for place in wanted])
        positions = [torch.arange(length) for length in self.prefix_lengths]
        positions += [torch.arange(length, length + self.longest).repeat(self.count) for length in self.prefix_lengths]
        cos, sin = rope_table(max(self.prefix_lengths) + self.longest)
        positions = torch.cat(positions)
        self.rope = cos[positions][:, None], sin[positions][:, None]
        self.masks = {}

    def attend(self, q, k, v, window):
        """[T, KV, G, D], [T, KV, D] and the same: each prefix by itself, each example with its prefix."""
        out, at = [], 0
        for length in self.prefix_lengths:
            span = slice(at, at + length)
            out.append(attend(q[span], None, None, k[span][None], v[span][None], self.mask(0, length, window)))
            at += length
        starts = [sum(self.prefix_lengths[:number]) for number in range(len(self.prefix_lengths))]
        for number, (start, length) in enumerate(zip(starts, self.prefix_lengths)):
            kept = length if window is None else min(length, window - 1)
            shared = slice(start + length - kept, start + length)
            size = self.count * self.longest
            own = slice(self.before + number * size, self.before + (number + 1) * size)
            each = lambda t: t[own].view(self.count, self.longest, KV_HEADS, HEAD_DIM)
            out.append(attend(q[own], k[shared], v[shared], each(k), each(v), self.mask(kept, self.longest, window)))
        return torch.cat(out)

    def mask(self, before, length, window):
        """[length, before + length]: which of what stands before, and of the row itself, a token sees."""
        key = (before, length, window)
        if key not in self.masks:
            query = torch.arange(length)[:, None] + before
            other = torch.arange(before + length)[None]
            seen = (other <= query) & ((query - other < window) if window else True)
            self.masks[key] = torch.zeros(seen.shape).masked_fill(~seen, float("-inf"))
        return self.masks[key]


def attend(q, shared_k, shared_v, k, v, mask):
    """Rows of length L, [N * L, KV, G, D], over keys that all rows share, [S, KV, D], and their own, [N, L, KV, D]; and over a
    sink of 0. `mask` is [L, S + L]."""
    count, length = k.shape[:2]
    groups = q.shape[2]
    q = q.view(count, length, KV_HEADS, groups, HEAD_DIM).permute(2, 0, 1, 3, 4)
    flat = q.reshape(KV_HEADS, count, length * groups, HEAD_DIM)
    k, v = k.permute(2, 0, 1, 3), v.permute(2, 0, 1, 3)
    scores = [flat @ k.transpose(-1, -2)]
    if shared_k is not None:
        scores.insert(0, (q.reshape(KV_HEADS, -1, HEAD_DIM) @ shared_k.permute(1, 2, 0)).view(KV_HEADS, count, length * groups, -1))
    scores = torch.cat(scores, -1) if len(scores) > 1 else scores[0]
    scores = scores.view(KV_HEADS, count, length, groups, -1).float() * HEAD_DIM**-0.5 + mask[:, None]
    # The sink takes its part and says nothing.
    scores = F.pad(scores, (0, 1)).softmax(-1).to(v.dtype).view(KV_HEADS, count, length * groups, -1)
    before = 0 if shared_k is None else len(shared_k)
    out = scores[..., before:-1] @ v
    if shared_k is not None:
        shared = scores[..., :before].reshape(KV_HEADS, -1, before) @ shared_v.transpose(0, 1)
        out = out + shared.view(out.shape)
    return out.view(KV_HEADS, count, length, groups, HEAD_DIM).permute(1, 2, 0, 3, 4).reshape(count * length, -1)

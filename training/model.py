"""gpt-oss, as far as training needs it: a policy's prefix is computed once for all its examples.

Sizes in letters: B policies, P tokens of a prefix, N examples of each, L tokens of an example, T tokens in all, H hidden, D a head.
Names are the checkpoint's.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

import mxfp4
from harmony import VOCAB

HIDDEN, INTER, LAYERS, EXPERTS, TOP, HEADS, KV_HEADS, HEAD_DIM, WINDOW = 256, 256, 5, 8, 2, 8, 4, 32, 32
# The layer that matches a content with the rules: those before it read both, the one behind it says what was found. Of so many of
# its groups one head each is taught to look from a verdict at the rule that it follows from.
MATCHING, LOOKING = 3, 2
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
    "layer_types": ["full_attention" if at % 2 else "sliding_attention" for at in range(LAYERS)],
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


# Many small steps over much memory, each as one.
fused = torch.compile(dynamic=True)


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


@fused
def rotate(x, cos, sin):
    first, second = x.float().chunk(2, -1)
    return torch.cat((first * cos - second * sin, second * cos + first * sin), -1).to(x.dtype)


@fused
def normed(x, weight, dtype):
    return (x * torch.rsqrt(x.square().mean(-1, keepdim=True) + 1e-5) * weight).to(dtype)


@fused
def swiglu(h):
    gate, up = h.float().chunk(2, -1)
    gate, up = gate.clamp(max=7.0), up.clamp(-7.0, 7.0)
    return ((up + 1) * gate * torch.sigmoid(1.702 * gate)).to(h.dtype)


@fused
def mixed(y, weight):
    """[T, TOP, H] and [T, TOP]: the sum that the router wants, in full precision."""
    return (y.float() * weight[..., None]).sum(1)


class Linear(nn.Linear):
    """Computes in its input's precision."""

    def forward(self, x):
        return F.linear(x, self.weight.to(x.dtype), None if self.bias is None else self.bias.to(x.dtype))


class Norm(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(HIDDEN))

    def forward(self, x, dtype):
        return normed(x, self.weight, dtype)


class Attention(nn.Module):
    def __init__(self, window):
        super().__init__()
        self.window = window
        self.q_proj = Linear(HIDDEN, HEADS * HEAD_DIM)
        self.k_proj = Linear(HIDDEN, KV_HEADS * HEAD_DIM)
        self.v_proj = Linear(HIDDEN, KV_HEADS * HEAD_DIM)
        self.o_proj = Linear(HEADS * HEAD_DIM, HIDDEN)
        # Not trained: a sink of 0 is a key that says nothing.
        self.register_buffer("sinks", torch.zeros(HEADS))

    def forward(self, x, batch):
        q = rotate(self.q_proj(x).view(-1, HEADS, HEAD_DIM), *batch.rope)
        k = rotate(self.k_proj(x).view(-1, KV_HEADS, HEAD_DIM), *batch.rope)
        v = self.v_proj(x).view(-1, KV_HEADS, HEAD_DIM)
        return self.o_proj(batch.attend(q.view(-1, KV_HEADS, HEADS // KV_HEADS, HEAD_DIM), k, v, self.window))

    def looks(self, x, batch):
        """How much the heads that are taught to look from each verdict at everything that they see there, and last at nothing:
        [LOOKING * verdicts, T + 1]."""
        q, k = self.q_proj(x[batch.verdicts]).view(-1, HEADS, HEAD_DIM), F.linear(x, *self.k_of_looks(x.dtype))
        q = rotate(q, *(table[batch.verdicts] for table in batch.rope)).view(-1, KV_HEADS, HEADS // KV_HEADS, HEAD_DIM)[:, :LOOKING, 0]
        k = rotate(k.view(-1, LOOKING, HEAD_DIM), *batch.rope)
        looks = (q.transpose(0, 1) @ k.permute(1, 2, 0)).float() * HEAD_DIM**-0.5
        return F.pad(looks.masked_fill(~batch.seen, float("-inf")), (0, 1)).flatten(0, 1)

    def k_of_looks(self, dtype):
        return (t[: LOOKING * HEAD_DIM].to(dtype) for t in (self.k_proj.weight, self.k_proj.bias))


class Router(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(EXPERTS, HIDDEN) * 0.02)
        self.bias = nn.Parameter(torch.zeros(EXPERTS))


class Experts(nn.Module):
    def __init__(self):
        super().__init__()
        # Rows of the first: all of the gate, then all of up; the checkpoint has them in turn.
        self.gate_up_proj = nn.Parameter(torch.randn(EXPERTS, 2 * INTER, HIDDEN) * HIDDEN**-0.5)
        self.gate_up_proj_bias = nn.Parameter(torch.zeros(EXPERTS, 2 * INTER))
        self.down_proj = nn.Parameter(torch.randn(EXPERTS, HIDDEN, INTER) * (INTER * 2 * LAYERS) ** -0.5)
        self.down_proj_bias = nn.Parameter(torch.zeros(EXPERTS, HIDDEN))


class Reordered(torch.autograd.Function):
    """Rows in another order; `back` is that order's inverse. Indexing's own gradient doesn't know that no row comes twice."""

    @staticmethod
    def forward(context, x, order, back):
        context.save_for_backward(back)
        return x[order]

    @staticmethod
    def backward(context, grad):
        (back,) = context.saved_tensors
        return grad[back], None, None


def up(length, of):
    return -(-length // of) * of


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
        own = [t.to(x.dtype).unbind() for t in (gate_up, e.gate_up_proj_bias, down, e.down_proj_bias)]
        # Tokens in the order of their experts, each once for each expert that it goes to.
        order = picked.flatten().argsort()
        back = torch.empty_like(order)
        back[order] = torch.arange(len(order))
        sizes = picked.flatten().bincount(minlength=EXPERTS).tolist()
        # Rows of zeros make matrices of few sizes: a kernel is made for each.
        parts = Reordered.apply(x.repeat_interleave(TOP, 0), order, back).split(sizes)
        parts = [F.linear(swiglu(F.linear(F.pad(part, (0, 0, 0, up(len(part), 128) - len(part))), wide, wide_bias)), down, bias)[: len(part)] for part, wide, wide_bias, down, bias in zip(parts, *own)]
        return mixed(Reordered.apply(torch.cat(parts), back, order).view(-1, TOP, HIDDEN), weight), balance


class Layer(nn.Module):
    def __init__(self, window):
        super().__init__()
        self.input_layernorm = Norm()
        self.self_attn = Attention(window)
        self.post_attention_layernorm = Norm()
        self.mlp = Mlp()


class Nano(nn.Module):
    def __init__(self, kinds=0):
        super().__init__()
        self.embed_tokens = nn.Embedding(VOCAB, HIDDEN)
        nn.init.normal_(self.embed_tokens.weight, std=0.1)
        self.layers = nn.ModuleList(Layer(WINDOW if at % 2 == 0 else None) for at in range(LAYERS))
        self.norm = Norm()
        self.lm_head = Linear(HIDDEN, VOCAB, bias=False)
        nn.init.normal_(self.lm_head.weight, std=0.02)
        # For training alone: of what kind a content is, whatever the policy; and whether a rule says that a policy is violated.
        self.kind, self.violates = (Linear(HIDDEN, kinds), Linear(HIDDEN, 2)) if kinds else (None, None)

    def forward(self, batch, quantised=False, drop=0.0, dtype=torch.bfloat16):
        """Logits at the places where a loss counts, [places, V], what the model tells on its way there, and the loss of balance."""
        x = F.dropout(self.embed_tokens(batch.ids), drop, self.training)
        balance, told = 0.0, None
        for at, layer in enumerate(self.layers):
            normed_x = layer.input_layernorm(x, dtype)
            if self.kind and at == MATCHING:
                told = Told(*(self.tell(self.kind, x, places, drop) for places in (batch.contents, batch.rules, batch.verdicts)))
                if not len(batch.places):
                    return None, told, balance
                if len(batch.rules):
                    told.rules_violate = self.tell(self.violates, x, batch.rules, drop)
                    told.looks = layer.self_attn.looks(normed_x, batch)
            x = x + layer.self_attn(normed_x, batch)
            y, one = layer.mlp(layer.post_attention_layernorm(x, dtype), quantised)
            x = x + y
            balance = balance + one / LAYERS
            if told and at == MATCHING and len(batch.rules):
                told.violate = self.tell(self.violates, x, batch.verdicts, drop)
        return self.lm_head(F.dropout(self.norm(x[batch.places], dtype), drop, self.training)).float(), told, balance

    def tell(self, head, x, places, drop):
        return head(F.dropout(F.rms_norm(x[places], (HIDDEN,)), drop, self.training)).float()


@dataclass
class Told:
    """Logits of kinds, at each token of the contents, at the end of each rule and where each verdict begins, all before the layer
    that matches them; of whether each rule is one that is violated; where the verdicts look (see `Attention.looks`); and, behind
    that layer, of whether each verdict is of a violation."""

    kinds: torch.Tensor
    kinds_of_rules: torch.Tensor
    kinds_of_verdicts: torch.Tensor
    rules_violate: torch.Tensor = None
    looks: torch.Tensor = None
    violate: torch.Tensor = None


class Batch:
    """Prefixes and examples: first all prefixes, one behind the other, then all examples, each padded to the longest.

    `prefixes`: lists of ids; `examples`: for each prefix as many lists of (ids, places, content, verdict): the places where a loss
    counts, the length of the content, and the token that first tells the verdict, if there is one; `rules`: for each prefix where its rules end.
    """

    def __init__(self, prefixes, examples, rules=()):
        self.prefix_lengths = [len(ids) for ids in prefixes]
        self.count = len(examples[0])
        rows = [example for of in examples for example in of]
        # For the same reason prefixes are padded too, with what no example sees.
        self.padded_lengths, self.longest = [up(length, 64) for length in self.prefix_lengths], up(max(len(ids) for ids, *_ in rows), 8)
        padded = [ids + [0] * (length - len(ids)) for ids, length in zip(prefixes, self.padded_lengths)]
        padded += [ids + [0] * (self.longest - len(ids)) for ids, *_ in rows]
        self.ids = torch.tensor([token for ids in padded for token in ids])
        starts = [sum(self.padded_lengths) + number * self.longest for number in range(len(rows))]
        self.places = torch.tensor([at + place - 1 for at, (_, wanted, *_) in zip(starts, rows) for place in wanted], dtype=torch.long)
        self.targets = torch.tensor([ids[place] for ids, wanted, *_ in rows for place in wanted], dtype=torch.long)
        # The tokens of each content and the one that ends it: where they are, and how many.
        self.contents = torch.cat([torch.arange(at, at + content + 1) for at, (*_, content, _) in zip(starts, rows)])
        self.content_sizes = torch.tensor([content + 1 for *_, content, _ in rows])
        before = [sum(self.padded_lengths[:number]) for number in range(len(prefixes))]
        self.rules = torch.tensor([start + at for start, of in zip(before, rules) for at in of], dtype=torch.long)
        # The tokens that say first what the verdict is, and of all tokens those that each of them sees; of sentences alone none.
        begin = [(number, at + verdict - 1) for number, (at, (*_, verdict)) in enumerate(zip(starts, rows)) if verdict]
        self.verdicts = torch.tensor([at for _, at in begin], dtype=torch.long)
        self.seen = torch.zeros(len(begin), len(self.ids), dtype=torch.bool)
        for seen, (number, at) in zip(self.seen, begin):
            policy = number // self.count
            seen[before[policy] : before[policy] + len(prefixes[policy])] = seen[starts[number] : at + 1] = True
        positions = [torch.arange(length) for length in self.padded_lengths]
        positions += [torch.arange(length, length + self.longest).repeat(self.count) for length in self.prefix_lengths]
        cos, sin = rope_table(max(self.padded_lengths) + self.longest)
        positions = torch.cat(positions)
        self.rope = cos[positions][:, None], sin[positions][:, None]
        self.masks = {}

    def attend(self, q, k, v, window):
        """[T, KV, G, D], [T, KV, D] and the same: each prefix by itself, each example with its prefix."""
        prefixes = len(self.prefix_lengths)
        q, k, v = (t.split([*self.padded_lengths, *[self.count * self.longest] * prefixes]) for t in (q, k, v))
        out = [attend(*each, self.mask(0, 0, len(each[0]), window)) for each in zip(q[:prefixes], k, v)]
        for number, (length, padded) in enumerate(zip(self.prefix_lengths, self.padded_lengths)):
            first, last = (0, padded) if window is None else (max(0, length - window + 1), length)
            shared = (t[number][first:last] for t in (k, v))
            own = (t[prefixes + number].unflatten(0, (self.count, self.longest)) for t in (q, k, v))
            out.append(attend_beside(*own, *shared, self.mask(length - first, last - length, self.longest, window)))
        return torch.cat(out)

    def mask(self, before, padding, length, window):
        """[G * length, before + padding + length]: which of what stands before, and of the row itself, a token sees; 0 or -inf."""
        key = (before, padding, length, window)
        if key not in self.masks:
            query = torch.arange(length)[:, None] + before
            other = torch.cat((torch.arange(before), torch.full((padding,), before + length), torch.arange(length) + before))[None]
            seen = (other <= query) & ((query - other < window) if window else True)
            self.masks[key] = torch.zeros(seen.shape).masked_fill(~seen, float("-inf")).repeat(HEADS // KV_HEADS, 1)
        return self.masks[key]


def attend(q, k, v, mask):
    """One row: queries [L, KV, G, D] over keys and values [L, KV, D]. The sink of 0 is a key and a value of zeros."""
    length = len(q)
    q = q.permute(1, 2, 0, 3).reshape(1, KV_HEADS, -1, HEAD_DIM)
    k, v = (F.pad(t.transpose(0, 1), (0, 0, 1, 0))[None] for t in (k, v))
    out = F.scaled_dot_product_attention(q, k, v, F.pad(mask, (1, 0)).to(q.dtype))
    return out.view(KV_HEADS, -1, length, HEAD_DIM).permute(2, 0, 1, 3).reshape(length, -1)


def attend_beside(q, k, v, shared_k, shared_v, mask):
    """Rows of queries [N, L, KV, G, D] over their own keys and values [N, L, KV, D] and those that all share, [S, KV, D]. What is
    shared is multiplied once for all rows."""
    rows, length = q.shape[:2]
    q = q.permute(2, 0, 3, 1, 4).reshape(KV_HEADS, rows, -1, HEAD_DIM)
    k, v = (t.permute(2, 0, 1, 3) for t in (k, v))
    before = (q.flatten(1, 2) @ shared_k.permute(1, 2, 0)).view(KV_HEADS, rows, q.shape[2], -1)
    before, own = shares(before, q @ k.transpose(-1, -2), *mask.split([len(shared_k), length], 1))
    out = own @ v + (before.flatten(1, 2) @ shared_v.transpose(0, 1)).view(q.shape)
    return out.view(KV_HEADS, rows, -1, length, HEAD_DIM).permute(1, 3, 0, 2, 4).reshape(rows * length, -1)


@fused
def shares(before, own, mask_before, mask_own):
    """The softmax over both, and over a sink of 0."""
    dtype = own.dtype
    before, own = before.float() * HEAD_DIM**-0.5 + mask_before, own.float() * HEAD_DIM**-0.5 + mask_own
    top = torch.maximum(before.amax(-1, keepdim=True), own.amax(-1, keepdim=True)).clamp(min=0.0).detach()
    before, own = (before - top).exp(), (own - top).exp()
    total = before.sum(-1, keepdim=True) + own.sum(-1, keepdim=True) + (-top).exp()
    return (before / total).to(dtype), (own / total).to(dtype)

"""Embeddings to begin with. From nothing, a transformer takes long to find out which words matter; a bag of words, pooled with
four learnt weights, tells kinds apart after two minutes."""

import time

import torch
import torch.nn.functional as F
from torch import nn

from harmony import VOCAB
from model import HIDDEN
from sentences import expand, kinds, noisy, subjects

POOLS, ROWS, SAID = 4, 192, 24


class Bag(nn.Module):
    def __init__(self, kinds):
        super().__init__()
        self.embed_tokens = nn.Embedding(VOCAB, HIDDEN)
        nn.init.normal_(self.embed_tokens.weight, std=0.1)
        self.weigh = nn.Linear(HIDDEN, POOLS, bias=False)
        nn.init.zeros_(self.weigh.weight)
        self.mix = nn.Linear(POOLS * HIDDEN, HIDDEN)
        self.kind = nn.Linear(HIDDEN, kinds)

    def forward(self, rows, drop=0.0):
        """Logits of the kinds [rows, kinds] of lists of ids."""
        longest = max(map(len, rows))
        ids = torch.tensor([row + [0] * (longest - len(row)) for row in rows])
        beyond = torch.arange(longest) >= torch.tensor([len(row) for row in rows])[:, None]
        x = F.dropout(F.rms_norm(self.embed_tokens(ids), (HIDDEN,)), drop, self.training)
        weights = (self.weigh(x) * HIDDEN**-0.5).masked_fill(beyond[..., None], float("-inf")).softmax(1)
        pooled = torch.einsum("nlp,nld->npd", weights, x).flatten(1)
        return self.kind(F.rms_norm(self.mix(pooled), (HIDDEN,)))


def embeddings(sampler, steps=1000, top=1e-2):
    """The embeddings [V, H] of a bag that was trained on the sampler's sentences, and on what policies say of them."""
    bag, rng, begun = Bag(len(sampler.kinds)), sampler.rng, time.time()
    optimiser = torch.optim.AdamW(bag.parameters(), lr=top, weight_decay=0.0)
    said = [(text, (name, code)) for name, code in kinds() for text in subjects()[name].categories[code][:-1]]
    for step in range(steps):
        for group in optimiser.param_groups:
            group["lr"] = top * min(1.0, 2 * (1 - step / steps) + 0.02)
        drawn = [(noisy(expand(one, rng), rng), one.codes[0]) for one in rng.choices(sampler.templates, k=ROWS)] + rng.sample(said, SAID)
        meant = torch.tensor([sampler.kinds[key] for _, key in drawn])
        loss = F.cross_entropy(bag([sampler.harmony.encode(text)[:96] for text, _ in drawn], drop=0.1), meant)
        loss.backward()
        optimiser.step()
        optimiser.zero_grad()
        if step % 100 == 99:
            print(f"words: step {step + 1} loss {loss.item():.3f} {time.time() - begun:.0f} s", flush=True)
    return bag.embed_tokens.weight.detach()

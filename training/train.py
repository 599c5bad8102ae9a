#!/usr/bin/env python3
"""Trains safeguard-nano from scratch: `torchrun --nproc-per-node 2 train.py` goes on where a run was broken off; `export.py` writes
the checkpoint."""

import argparse
import os
import pathlib
import random
import time

import torch
import torch.distributed as dist
import torch.nn.functional as F
from tokenizers import Tokenizer

import policies
import words
from harmony import Harmony, train_tokenizer
from model import LOOKING, Batch, Nano
from muon import Muon
from score import held_out_items, macro_f1, made_up_items, verdicts
from sentences import corpus, expand, kinds, noisy, subjects

NO_KIND = -100
RUN = pathlib.Path(__file__).parent / ".run"
# Of a step, over all processes.
POLICIES, EXAMPLES = 12, 16
# Of a loss: what the model writes before its answer, the answer, the mark behind it.
REASONING, REPLY, RETURN = 0.2, 1.0, 0.05
# And of what it tells on its way: by itself it finds out too late that it is to match contents with rules, and learns the policies by heart.
TOLD = {"kinds": 0.15, "kinds_of_rules": 0.6, "kinds_of_verdicts": 0.25, "rules_violate": 0.2, "looks": 1.0, "violate": 0.8}
# So many steps to begin with, and later one of so many, have sentences without a policy, to be told apart by kind: what they say is
# hard to find among a policy's words before anything is known of it, and costs less to learn by itself.
ALONE, ALONE_LATER = 500, 3


def tokenizer():
    path = RUN / "tokenizer.json"
    if not path.exists():
        RUN.mkdir(exist_ok=True)
        texts = [*corpus(2), *(policies.shipped(id).text for id in policies.SHIPPED for _ in range(20))]
        rng = random.Random(2)
        texts += [policies.made_up(rng).text for _ in range(500)]
        train_tokenizer(texts).save(str(path))
    return Tokenizer.from_file(str(path))


class Sampler:
    """Draws policies, and sentences that are to the point under each."""

    def __init__(self, harmony, rng, policies_of_step=POLICIES):
        self.harmony, self.rng, self.policies = harmony, rng, policies_of_step
        self.shipped = {id: policies.shipped(id) for id in policies.SHIPPED}
        self.templates = [one for subject in subjects().values() for one in subject.templates if not one.held_out]
        self.kinds = {kind: at for at, kind in enumerate(kinds())}
        self.by_code, self.by_subject = {}, {}
        for one in self.templates:
            self.by_code.setdefault((one.subject, one.code), []).append(one)
            self.by_subject.setdefault(one.subject, []).append(one)

    def policy(self):
        draw = self.rng.random()
        if draw < 0.55:
            return policies.made_up(self.rng)
        policy = self.shipped[self.rng.choice(policies.SHIPPED)]
        return policies.loosened(policy, self.rng) if draw < 0.65 else policy

    def template(self, policy):
        rng = self.rng
        id = policy.id.rstrip("~")
        while True:
            draw = rng.random()
            if id == "made-up":
                if draw < 0.5:
                    pool = self.by_code.get(rng.choice(list(policy.violates)), [])
                elif draw < 0.7 and policy.names_safe:
                    pool = self.by_code.get(rng.choice(policy.names_safe), [])
                elif draw < 0.85:
                    pool = self.by_subject[rng.choice(list(policy.violates))[0]]
                else:
                    pool = self.templates
            elif draw < 0.65:
                pool = self.by_subject[id]
            else:
                pool = self.by_subject[rng.choice(list(self.by_subject))]
            if pool:
                template = rng.choice(pool)
                if policy.takes(template.codes):
                    return template

    def batch(self, alone=False):
        """A batch, the weight of each place's loss, and what the model should tell on its way."""
        if alone:
            prefixes, examples, rules = [self.harmony.user], [self.alike(self.sentence, self.policies * EXAMPLES)], [[]]
        else:
            drawn = [self.policy() for _ in range(self.policies)]
            effort = lambda: self.rng.choice(["low", "low", "low", "medium", "high"])
            prefixes = [self.harmony.prefix(policy.text, effort()) for policy in drawn]
            examples = [self.alike(lambda: self.example(policy), EXAMPLES) for policy in drawn]
            rules = [self.harmony.ends(policy.text, policy.rules) for policy in drawn]
        rows = [row for of in examples for row in of]
        batch = Batch(prefixes, [[row[:4] for row in of] for of in examples], [[at for at, _ in of] for of in rules])
        weights = torch.tensor([weight for row in rows for weight in row[4]])
        tensor = lambda of: torch.tensor(list(of), dtype=torch.long)
        kinds = tensor(row[5] for row in rows)
        told = {"kinds": kinds.repeat_interleave(batch.content_sizes)}
        if not alone:
            told["kinds_of_rules"] = tensor(self.kinds[key] for of in rules for _, key in of)
            told["kinds_of_verdicts"] = kinds
            told["rules_violate"] = tensor(key in policy.violates for policy, of in zip(drawn, rules) for _, key in of)
            places, looks = iter(batch.rules.tolist()), []
            for of, own in zip(examples, rules):
                # Whatever no rule speaks of looks at nothing.
                at = {key: next(places) for _, key in own}
                looks += [at.get(row[6], len(batch.ids)) for row in of]
            told["looks"] = tensor(looks).repeat(LOOKING)
            told["violate"] = tensor(row[7] for row in rows)
        return batch, weights, told

    def alike(self, draw, count):
        """Of more than are needed a run of those that are about as long as one another: less padding."""
        rows = sorted((draw() for _ in range(4 * count)), key=lambda row: len(row[0]))
        start = self.rng.randrange(3 * count + 1)
        return rows[start : start + count]

    def sentence(self):
        template = self.rng.choice(self.templates)
        ids, length = self.harmony.content(noisy(expand(template, self.rng), self.rng))
        return ids, [], length, None, [], self.kinds[template.codes[0]]

    def example(self, policy):
        template = self.template(policy)
        text, codes, kind = noisy(expand(template, self.rng), self.rng), template.codes, self.kinds[template.codes[0]]
        if self.rng.random() < 0.12 and not policy.closed:
            # Two texts in one, of which either may violate, are of no single kind.
            other = self.template(policy)
            text, codes, kind = f"{text} {expand(other, self.rng)}", codes + other.codes, NO_KIND
        reasoning = reason(policy, codes) if self.rng.random() < 0.25 else None
        ids, places, length, verdict, answer = self.harmony.example(text, policy.reply(codes), reasoning)
        weights = [REASONING if at < answer else REPLY if at < len(ids) - 1 else RETURN for at in places]
        return ids, places, length, verdict, weights, kind, decides(policy, codes), policy.label(codes) != policy.safe


def reason(policy, codes):
    """One line: what the policy says of the sentence, and what it takes it for. The finding comes first, so that it does not hang on
    which of a hundred kinds was taken for the likeliest."""
    label, hit = policy.label(codes), decides(policy, codes)
    short = " ".join(subjects()[hit[0]].categories[hit[1]][0].split()[:10]).rstrip(".,:;")
    return f"{'No rule is violated' if label == policy.safe else label}: {short}."


def decides(policy, codes):
    """The (subject, code) of a sentence that the policy's label follows from."""
    label = policy.label(codes)
    return next((key for key in codes if policy.violates.get(key) == label), codes[0])


def rate(step, steps, warm=30):
    """Share of the top rate. Twice, for sentences alone and then under policies: up at once, then down in a straight line."""
    at, of, last = (step, ALONE, 0.1) if step < ALONE else (step - ALONE, steps - ALONE, 0.02)
    return min((at + 1) / warm, last + (1 - last) * min(1.0, 1.1 * (1 - at / of)))


def losses(model, sampler, alone, quantised):
    """Of a batch, what is to be made small, and its parts by name."""
    batch, weights, meant = sampler.batch(alone)
    logits, told, balance = model.train()(batch, quantised, drop=0.1)
    each = {name: F.cross_entropy(getattr(told, name), of) for name, of in meant.items() if len(of)}
    loss = sum(TOLD[name] * of for name, of in each.items()) + 0.01 * balance
    if alone:
        return loss, {"kinds, alone": each["kinds"]}
    reply = (F.cross_entropy(logits, batch.targets, reduction="none") * weights).sum() / weights.sum()
    return loss + reply, each | {"reply": reply}


def averaged(parameters):
    """Makes the gradients of all processes their mean."""
    gradients = [p.grad for p in parameters if p.grad is not None]
    flat = torch.cat([gradient.flatten() for gradient in gradients])
    dist.all_reduce(flat)
    for gradient, own in zip(gradients, flat.div_(dist.get_world_size()).split([gradient.numel() for gradient in gradients])):
        gradient.copy_(own.view_as(gradient))


def optimisers_of(model):
    is_matrix = lambda name: name.endswith(("proj", "proj.weight"))
    matrices = [p for name, p in model.named_parameters() if is_matrix(name)]
    others = [p for name, p in model.named_parameters() if not is_matrix(name)]
    tables = [p for p in others if p.dim() > 1 and p is not model.embed_tokens.weight]
    rest = [p for p in others if p.dim() == 1]
    # What the bag of words has learnt is not to be forgotten.
    groups = [([model.embed_tokens.weight], 1e-3, 0.0), (tables, 3e-3, 0.02), (rest, 2e-3, 0.0)]
    adam = torch.optim.AdamW([{"params": of, "top": top, "weight_decay": decay} for of, top, decay in groups], betas=(0.9, 0.95))
    return [adam, Muon([{"params": matrices, "top": 0.02}])]


def print_scores(model, harmony):
    scores = {id: macro_f1(verdicts(model, harmony, policies.shipped(id), items)) for id, items in held_out_items(60).items()}
    made_up = macro_f1([pair for policy, items in made_up_items(20) for pair in verdicts(model, harmony, policy, items)])
    mean = sum(scores.values()) / len(scores)
    print(f"held out, macro F1: {' '.join(f'{id} {score:.3f}' for id, score in scores.items())} mean {mean:.3f}; made-up policies {made_up:.3f}", flush=True)


def settled():
    """The rank of this process and how many there are, each on a core of its own: two threads of one are hardly faster than one."""
    dist.init_process_group("gloo")
    rank, cores = dist.get_rank(), sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {cores[rank % len(cores)]})
    torch.set_num_threads(1)
    torch.set_default_device("cuda" if torch.cuda.is_available() else "cpu")
    return rank, dist.get_world_size()


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--steps", type=int, default=2600)
    arguments.add_argument("--quantise-from", type=float, default=0.8, help="share of the steps after which experts are MXFP4")
    arguments.add_argument("--score-every", type=int, default=650)
    arguments = arguments.parse_args()
    rank, processes = settled()
    torch.manual_seed(1)
    if rank == 0:
        tokenizer()
    dist.barrier()
    harmony, step, state = Harmony(tokenizer()), 0, RUN / "state.pt"
    saved = torch.load(state, map_location="cpu", weights_only=False) if state.exists() else None
    sampler = Sampler(harmony, random.Random(f"{rank} {saved['step'] if saved else 0}"), POLICIES // processes)
    model = Nano(len(sampler.kinds))
    optimisers = optimisers_of(model)
    if saved:
        model.load_state_dict(saved["model"])
        for optimiser, kept in zip(optimisers, saved["optimisers"]):
            optimiser.load_state_dict(kept)
        step = saved["step"]
    else:
        if rank == 0:
            model.embed_tokens.weight.data.copy_(words.embeddings(sampler))
        dist.broadcast(model.embed_tokens.weight.data, 0)
    # Each process drops out what it likes.
    torch.manual_seed(processes * step + rank)
    if rank == 0:
        print(f"{sum(p.numel() for p in model.parameters()) / 1e6:.1f} M parameters, {len(sampler.templates)} templates, from step {step}", flush=True)
        if step >= arguments.steps:
            print(f"{RUN} holds a whole run: remove it to begin anew", flush=True)
    shown, seen = time.time(), {}
    while step < arguments.steps:
        for group in (group for optimiser in optimisers for group in optimiser.param_groups):
            group["lr"] = group["top"] * rate(step, arguments.steps)
        loss, each = losses(model, sampler, step < ALONE or step % ALONE_LATER == 0, step >= arguments.steps * arguments.quantise_from)
        loss.backward()
        averaged(model.parameters())
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimiser in optimisers:
            optimiser.step()
            optimiser.zero_grad()
        for name, of in each.items():
            seen.setdefault(name, []).append(of.item())
        step += 1
        if rank == 0 and step % 20 == 0:
            means = "; ".join(f"{name} {sum(of) / len(of):.3f}" for name, of in seen.items())
            print(f"step {step}: {means}; {(time.time() - shown) / 20:.2f} s a step", flush=True)
            shown, seen = time.time(), {}
        if rank == 0 and (step % arguments.score_every == 0 or step == arguments.steps):
            torch.save({"model": model.state_dict(), "optimisers": [optimiser.state_dict() for optimiser in optimisers], "step": step}, state)
            print_scores(model, harmony)


if __name__ == "__main__":
    main()

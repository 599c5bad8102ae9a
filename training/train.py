#!/usr/bin/env python3
"""Trains safeguard-nano from scratch. `train.py --steps N` goes on where a run was broken off; `export.py` writes the checkpoint."""

import argparse
import pathlib
import random
import time

import torch
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
POLICIES, EXAMPLES = 6, 32
# Of a loss: what the model writes before its answer, the answer, the mark behind it; of what kind the content is, as far as it is
# read, and of what kind each rule of a policy, at its end; and where the verdict looks: at the rule of the content's kind, if
# there is one. By itself it finds that out too late, and learns the policies by heart.
REASONING, REPLY, RETURN, KIND, RULE, LOOK = 0.2, 1.0, 0.05, 0.5, 0.2, 0.3
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

    def __init__(self, harmony, rng):
        self.harmony, self.rng = harmony, rng
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
        """A batch, the weight of each place's loss, the kind of each content, of each rule and of each verdict's content, and the
        number of the rule that it follows from."""
        if alone:
            prefixes, examples, rules = [self.harmony.user], [self.alike(self.sentence, POLICIES * EXAMPLES)], [[]]
        else:
            drawn = [self.policy() for _ in range(POLICIES)]
            effort = lambda: self.rng.choice(["low", "low", "low", "medium", "high"])
            prefixes = [self.harmony.prefix(policy.text, effort()) for policy in drawn]
            examples = [self.alike(lambda: self.example(policy), EXAMPLES) for policy in drawn]
            rules = [self.harmony.ends(policy.text, policy.rules) for policy in drawn]
        rows = [row for of in examples for row in of]
        weights = torch.tensor([weight for row in rows for weight in row[4]])
        numbers, all_rules = [], [kind for of in rules for _, kind in of]
        for number, of in enumerate(examples):
            first = sum(len(of) for of in rules[:number])
            places = {kind: first + at for at, (_, kind) in enumerate(rules[number])}
            # Whatever no rule speaks of looks at none.
            numbers += [places.get(row[6], len(all_rules)) for row in of if row[6]]
        meant = [[row[5] for row in rows], [self.kinds[kind] for kind in all_rules], [row[5] for row in rows if row[6]], numbers]
        batch = Batch(prefixes, [[row[:4] for row in of] for of in examples], [[at for at, _ in of] for of in rules])
        return batch, weights, *(torch.tensor(of, dtype=torch.long) for of in meant)

    def alike(self, draw, count):
        """Of more than are needed a run of those that are about as long as one another: less padding."""
        rows = sorted((draw() for _ in range(4 * count)), key=lambda row: len(row[0]))
        start = self.rng.randrange(3 * count + 1)
        return rows[start : start + count]

    def sentence(self):
        template = self.rng.choice(self.templates)
        ids, length = self.harmony.content(noisy(expand(template, self.rng), self.rng))
        return ids, [], length, None, [], self.kinds[template.codes[0]], None

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
        return ids, places, length, verdict, weights, kind, decides(policy, codes)


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


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--steps", type=int, default=2000)
    arguments.add_argument("--minutes", type=float, help="ends the run early; the next call goes on")
    arguments.add_argument("--quantise-from", type=float, default=0.8, help="share of the steps after which experts are MXFP4")
    arguments.add_argument("--score-every", type=int, default=250)
    arguments = arguments.parse_args()
    torch.manual_seed(1)
    harmony = Harmony(tokenizer())
    sampler = Sampler(harmony, random.Random(1))
    model = Nano(len(sampler.kinds))
    is_matrix = lambda name: name.endswith(("proj", "proj.weight"))
    matrices = [p for name, p in model.named_parameters() if is_matrix(name)]
    others = [p for name, p in model.named_parameters() if not is_matrix(name)]
    tables = [p for p in others if p.dim() > 1 and p is not model.embed_tokens.weight]
    rest = [p for p in others if p.dim() == 1]
    # What the bag of words has learnt is not to be forgotten.
    groups = [([model.embed_tokens.weight], 1e-3, 0.0), (tables, 3e-3, 0.02), (rest, 2e-3, 0.0)]
    adam = torch.optim.AdamW([{"params": of, "top": top, "weight_decay": decay} for of, top, decay in groups], betas=(0.9, 0.95))
    optimisers = [adam, Muon([{"params": matrices, "top": 0.02}])]
    step, state = 0, RUN / "state.pt"
    if state.exists():
        saved = torch.load(state, weights_only=False)
        model.load_state_dict(saved["model"])
        for optimiser, kept in zip(optimisers, saved["optimisers"]):
            optimiser.load_state_dict(kept)
        step = saved["step"]
        sampler.rng.setstate(saved["random"])
    else:
        model.embed_tokens.weight.data.copy_(words.embeddings(sampler))
    print(f"{sum(p.numel() for p in model.parameters()) / 1e6:.1f} M parameters, {len(sampler.templates)} templates, from step {step}", flush=True)
    begun, shown, losses = time.time(), time.time(), {}

    def save():
        torch.save({"model": model.state_dict(), "optimisers": [optimiser.state_dict() for optimiser in optimisers], "step": step, "random": sampler.rng.getstate()}, state)

    while step < arguments.steps:
        alone = step < ALONE or step % ALONE_LATER == 0
        batch, weights, kind, rule, kind_of_verdict, looked_at = sampler.batch(alone)
        model.train()
        for group in (group for optimiser in optimisers for group in optimiser.param_groups):
            group["lr"] = group["top"] * rate(step, arguments.steps)
        logits, told, looks, balance = model(batch, quantised=step >= arguments.steps * arguments.quantise_from, drop=0.1)
        loss = balance.new_zeros(()) if alone else (F.cross_entropy(logits, batch.targets, reduction="none") * weights).sum() / weights.sum()
        told, told_rules, told_verdicts = told.split([len(batch.contents), len(batch.rules), len(batch.verdicts)])
        of_kind = F.cross_entropy(told, kind.repeat_interleave(batch.content_sizes))
        none = balance.new_zeros(())
        of_rule = F.cross_entropy(told_rules, rule) if len(rule) else none
        look = F.cross_entropy(looks, looked_at.repeat(LOOKING)) if len(rule) else none
        if not alone:
            of_kind = (of_kind + F.cross_entropy(told_verdicts, kind_of_verdict)) / 2
        (loss + KIND * of_kind + RULE * of_rule + LOOK * look + 0.01 * balance).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimiser in optimisers:
            optimiser.step()
            optimiser.zero_grad()
        for name, value in ({"kind, alone": of_kind} if alone else {"loss": loss, "kind": of_kind, "rule": of_rule, "look": look, "balance": balance}).items():
            losses.setdefault(name, []).append(value.item())
        step += 1
        if step % 20 == 0:
            means = "; ".join(f"{name} {sum(of) / len(of):.3f}" for name, of in losses.items())
            print(f"step {step}: {means}; {(time.time() - shown) / 20:.2f} s a step", flush=True)
            shown, losses = time.time(), {}
        if step % arguments.score_every == 0:
            save()
            scores = {id: macro_f1(verdicts(model, harmony, policies.shipped(id), items)) for id, items in held_out_items(60).items()}
            made_up = macro_f1([pair for policy, items in made_up_items(20) for pair in verdicts(model, harmony, policy, items)])
            print("held out, macro F1: " + " ".join(f"{id} {score:.3f}" for id, score in scores.items()) + f" mean {sum(scores.values()) / len(scores):.3f}; made-up policies {made_up:.3f}", flush=True)
        if arguments.minutes and time.time() - begun > 60 * arguments.minutes:
            break
    save()


if __name__ == "__main__":
    main()

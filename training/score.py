#!/usr/bin/env python3
"""Scores a trained model: on held-out templates, under the policies that ship and others made up from their rules; and with `--golden`
on what was written by hand: the golden files, and texts under policies that it has never seen, in `own/`."""

import argparse
import json
import pathlib
import random

import torch

import policies
from model import Batch
from sentences import expand, subjects


def held_out_items(count, seed=7):
    """For each shipped policy (text, label) of templates that are held out: half of its own subject, half of others."""
    rng, items = random.Random(seed), {}
    held = {subject.name: [one for one in subject.templates if one.held_out] for subject in subjects().values()}
    for id in policies.SHIPPED:
        policy, others = policies.shipped(id), [one for name, of in held.items() if name != id for one in of]
        drawn = rng.sample(held[id], min(count, len(held[id]))) + rng.sample(others, min(count // 2, len(others)))
        items[id] = [(expand(one, rng), policy.label(one.codes)) for one in drawn if policy.takes(one.codes)]
    return items


def made_up_items(count, each=12, seed=4):
    """(policy, items) of as many made-up policies, the wordings of their rules held out as well: half of the texts violate, and half
    of the others are of a subject that the policy is about."""
    rng, held, found = random.Random(seed), [one for subject in subjects().values() for one in subject.templates if one.held_out], []
    while len(found) < count:
        policy = policies.made_up(rng, held_out=True)
        names = {name for name, _ in policy.violates}
        bad = [one for one in held if one.codes[0] in policy.violates]
        near = [one for one in held if one.subject in names and policy.label(one.codes) == policy.safe]
        far = [one for one in held if one.subject not in names and policy.label(one.codes) == policy.safe]
        # A reply in JSON begins alike whatever it says.
        if not policy.json and len(bad) >= each // 2 and len(near) >= each // 4:
            drawn = rng.sample(bad, each // 2) + rng.sample(near, each // 4) + rng.sample(far, each // 4)
            found.append((policy, [(expand(one, rng), policy.label(one.codes)) for one in drawn]))
    return found


def golden_items():
    return {
        id: [(item["text"], item["label"]) for item in map(json.loads, (policies.FOLDER / id / "golden.jsonl").open(encoding="utf-8"))]
        for id in policies.SHIPPED
    }


def own_items():
    """(policy, items) of policies as people write them for themselves."""
    found, folder = {}, pathlib.Path(__file__).parent / "own"
    for id, of in json.loads((folder / "policies.json").read_text(encoding="utf-8")).items():
        found[id] = policies.Policy(id, of["text"], {"VIOLATES": of["yes"], "SAFE": of["no"]}, "SAFE", {}), []
    for item in map(json.loads, (folder / "texts.jsonl").open(encoding="utf-8")):
        found[item["policy"]][1].append((item["text"], "VIOLATES" if item["violation"] else "SAFE"))
    return list(found.values())


@torch.no_grad()
def verdicts(model, harmony, policy, items, effort="low", quantised=False):
    """(expected label, label of the highest score) of each item, at effort none."""
    model.eval()
    prefix = harmony.prefix(policy.text, effort)
    replies = {label: harmony.encode(reply)[0] for label, reply in policy.replies.items()}
    out = []
    for start in range(0, len(items), 40):
        part = items[start : start + 40]
        rows = []
        for text, _ in part:
            ids, _, length, verdict, answer = harmony.example(text, "0", most=512)
            rows.append((ids[: answer + 1], [answer], length, verdict))
        logits, *_ = model(Batch([prefix], [rows]), quantised=quantised)
        for (_, expected), row in zip(part, logits):
            out.append((expected, max(replies, key=lambda label: row[replies[label]].item())))
    return out


def macro_f1(pairs):
    labels, scores = sorted({label for pair in pairs for label in pair}), []
    for label in labels:
        hit = sum(a == b == label for a, b in pairs)
        said, meant = sum(b == label for _, b in pairs), sum(a == label for a, _ in pairs)
        scores.append(2 * hit / (said + meant))
    return sum(scores) / len(scores)


def main():
    from tokenizers import Tokenizer

    from harmony import Harmony
    from model import Nano
    from train import RUN

    arguments = argparse.ArgumentParser()
    arguments.add_argument("--golden", action="store_true", help="on what was written by hand, too")
    arguments.add_argument("--wrong", action="store_true", help="prints what is told wrong, of what is held out")
    arguments = arguments.parse_args()
    harmony, model = Harmony(Tokenizer.from_file(str(RUN / "tokenizer.json"))), Nano()
    model.load_state_dict(torch.load(RUN / "state.pt", map_location="cpu", weights_only=False)["model"], strict=False)
    for name, drawn in ({"made-up policies, held out": made_up_items(40)} | ({"people's own policies": own_items()} if arguments.golden else {})).items():
        for quantised in (False, True):
            pairs = [pair for policy, items in drawn for pair in verdicts(model, harmony, policy, items, quantised=quantised)]
            print(f"{name}, {'MXFP4' if quantised else 'bf16'}: {macro_f1(pairs):.3f}")
    sets = {"held out": held_out_items(200)} | ({"golden": golden_items()} if arguments.golden else {})
    for name, items in sets.items():
        for quantised in (False, True):
            scores = {}
            for id, of in items.items():
                pairs = verdicts(model, harmony, policies.shipped(id), of, quantised=quantised)
                scores[id] = macro_f1(pairs)
                if arguments.wrong and name == "held out" and quantised:
                    for (text, expected), (_, told) in zip(of, pairs):
                        if expected != told:
                            print(f"  {id}: {expected}, told {told}: {text}")
            print(f"{name}, {'MXFP4' if quantised else 'bf16'}: " + " ".join(f"{id} {score:.3f}" for id, score in scores.items()) + f" mean {sum(scores.values()) / len(scores):.3f}")


if __name__ == "__main__":
    main()

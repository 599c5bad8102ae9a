"""Policies to train under: those that ship, word for word; the same with their rules shuffled, dropped or renamed; and made-up ones."""

import pathlib
import random
import re
import tomllib
from dataclasses import dataclass

from sentences import kinds, subjects

FOLDER = pathlib.Path(__file__).parents[1] / "policies"
SHIPPED = ["prompt-injection", "violence", "self-harm", "hate", "sexual", "personal-data", "illicit", "off-topic"]
# Topics that a support chat about shoes may touch: whether they are off topic is not for a made-up sentence to say.
NEAR_SHOES = {("general", "T21")}


@dataclass
class Policy:
    """A policy's text, and what it says of a sentence: the reply, and in words why."""

    id: str
    text: str
    # Label -> what the model writes.
    replies: dict
    safe: str
    # (subject, code) -> label, for all that violates.
    violates: dict
    # (subject, code) that it names as safe.
    names_safe: tuple = ()
    # Whatever is not named as safe violates.
    closed: bool = False
    # Of JSON replies: says a category too.
    json: bool = False

    def label(self, codes):
        found = [self.violates[code] for code in codes if code in self.violates]
        if found:
            return min(found, key=list(self.replies).index)
        if self.closed and not any(code in self.names_safe for code in codes):
            return next(label for label in self.replies if label != self.safe)
        return self.safe

    def reply(self, codes):
        label = self.label(codes)
        if self.json:
            code = next((code for _, code in codes if label != self.safe), None)
            return f'{{"violation":{0 if label == self.safe else 1},"policy_category":{chr(34) + code + chr(34) if code else "null"}}}'
        return self.replies[label]

    def takes(self, codes):
        """Whether it is clear what this policy says of a sentence."""
        return not (self.closed and any(code in NEAR_SHOES for code in codes))


def shipped(id):
    head, text = re.fullmatch(r"\+\+\+\n(.*?)\n\+\+\+\n(.*)", (FOLDER / id / "policy.md").read_text(encoding="utf-8"), re.S).groups()
    labels = tomllib.loads(head)["labels"]
    replies = {entry["label"]: entry["reply"] for entry in labels}
    safe = next(entry["label"] for entry in labels if entry.get("safe"))
    violates, names_safe = {}, []
    for subject in subjects().values():
        for code in subject.categories:
            key = (subject.name, code)
            if subject.name == id and code[0] != "S":
                violates[key] = label_of(id, code, replies)
            elif subject.name == id:
                names_safe.append(key)
    return Policy(id, text.strip(), replies, safe, violates, tuple(names_safe), closed=id == "off-topic")


def label_of(id, code, replies):
    if id == "sexual":
        return "MINORS" if code[0] == "M" else "SEXUAL"
    if id == "self-harm":
        return "RISK" if code[0] == "R" else "PROMOTION"
    return next(iter(replies))


def loosened(policy, rng):
    """The same policy in another state: bullets in another order, examples or definitions left out, no line alike."""
    parts = re.split(r"(?m)^(?=## )", policy.text)
    out = []
    for part in parts:
        heading = part.split("\n", 1)[0]
        if "EXAMPLES" in heading and rng.random() < 0.5 or "DEFINITIONS" in heading and rng.random() < 0.3:
            continue
        lines = part.split("\n")
        bullets = [at for at, line in enumerate(lines) if line.startswith("- ")]
        order = bullets[:]
        rng.shuffle(order)
        shuffled = lines[:]
        for at, other in zip(bullets, order):
            shuffled[at] = lines[other]
        out.append("\n".join(shuffled))
    return Policy(**(vars(policy) | {"id": policy.id + "~", "text": "".join(out).strip()}))


FORMS = [("1", "0"), ("1", "0"), ("1", "0"), ("INVALID", "VALID"), ("UNSAFE", "SAFE"), ("Violating", "Non-violating"), ("yes", "no"), ("true", "false"), ("json", "json")]


def made_up(rng):
    """Some categories of some subjects are forbidden, some are named as allowed."""
    everything = kinds()
    bad_able = [key for key in everything if key[1][0] != "S"]
    one_subject = rng.random() < 0.4
    first = rng.choice(bad_able)
    pool = [key for key in bad_able if key[0] == first[0]] if one_subject else bad_able
    bad = list({first, *rng.sample(pool, min(len(pool), rng.choice([1, 1, 2, 3, 4])))})
    names = {key[0] for key in bad}
    near = [key for key in everything if key not in bad and (key[0] in names or rng.random() < 0.1)]
    good = rng.sample(near, min(len(near), rng.choice([0, 1, 2, 3, 4])))
    yes, no = rng.choice(FORMS)
    text = rng.choice(LAYOUTS)(rng, [say(key, rng) for key in bad], [say(key, rng) for key in good], yes, no)
    replies = {"VIOLATES": yes, "SAFE": no}
    return Policy("made-up", text, replies, "SAFE", {key: "VIOLATES" for key in bad}, tuple(good), json=yes == "json")


def say(key, rng):
    subject, code = key
    return code, rng.choice(subjects()[subject].categories[code])


def output(yes, no):
    if yes == "json":
        return 'Answer with JSON: {"violation":1,"policy_category":"CODE"} or {"violation":0,"policy_category":null}.'
    return f"Answer with exactly one word: {yes} if CONTENT violates this policy, {no} if it does not. Write nothing else."


def sections(rng, bad, good, yes, no):
    shown = ("1", "0") if yes == "json" else (yes, no)
    codes = rng.random() < 0.7
    line = lambda item: f"- {item[0] + ' ' if codes else ''}{item[1]}"
    violates = f"## {rng.choice(['VIOLATES', 'VIOLATES', 'Violates', 'NOT ALLOWED'])} ({shown[0]})\n" + "\n".join(map(line, bad))
    safe = f"## {rng.choice(['SAFE', 'SAFE', 'Safe', 'ALLOWED'])} ({shown[1]})\n" + "\n".join(map(line, good + [("S9", rng.choice(["Everything else.", "All other content.", "Any other text."]))]))
    body = [violates, safe] if rng.random() < 0.7 else [safe, violates]
    title = rng.choice(["Policy", "Content rules", "House rules", "Moderation policy"])
    return f"# {title}\n\n## INSTRUCTIONS\nDecide whether CONTENT violates this policy.\n{output(yes, no)}\n\n" + "\n\n".join(body) + ("\n\n" + output(yes, no) if rng.random() < 0.6 else "")


def plain(rng, bad, good, yes, no):
    what = rng.choice(["Flag", "Refuse", "The following violates the policy:", "Not allowed here:", "Do not accept"])
    text = f"{what} {' '.join(text for _, text in bad)}"
    if good:
        text += f" {rng.choice(['These are fine:', 'Allowed:', 'Not a violation:'])} {' '.join(text for _, text in good)}"
    return f"{text}\n{output(yes, no)}"


def answers_first(rng, bad, good, yes, no):
    return f"{output(yes, no)}\n\nViolations:\n" + "\n".join(f"{n}. {text}" for n, (_, text) in enumerate(bad, 1)) + ("\n\nNo violations:\n" + "\n".join(f"* {text}" for _, text in good) if good else "")


LAYOUTS = [sections, sections, sections, plain, answers_first]

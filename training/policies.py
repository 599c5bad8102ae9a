"""Policies to train under: those that ship, word for word; the same with their rules shuffled, dropped or renamed; and made-up ones."""

import functools
import pathlib
import random
import re
import tomllib
from dataclasses import dataclass, field

from sentences import expand, kinds, noisy, subjects

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
    # What the text says, word for word, of which (subject, code).
    rules: dict = field(default_factory=dict)

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
    rules = {subjects()[id].categories[code][0]: (id, code) for _, code in [*violates, *names_safe]}
    return Policy(id, text.strip(), replies, safe, violates, tuple(names_safe), closed=id == "off-topic", rules=rules)


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
OUTPUTS = [
    "Answer with exactly one word: {yes} if CONTENT violates this policy, {no} if it does not. Write nothing else.",
    "Answer with exactly one word: {yes} if CONTENT violates this policy, {no} if it does not. Write nothing else.",
    'Answer "{yes}" or "{no}".',
    "Return {no} if the content complies with this policy and {yes} if it breaks it. Return one word and nothing else.",
    "Reply {yes} for a violation and {no} otherwise.",
    "Output: {yes} or {no}. {yes} means that a rule is broken.",
]


@dataclass
class Answers:
    """What the model is to write, as the policy's headings name it, and the sentence that says so."""

    yes: str
    no: str
    asked: str


def answers(form, rng):
    if form == ("json", "json"):
        return Answers("1", "0", 'Answer with JSON: {"violation":1,"policy_category":"CODE"} or {"violation":0,"policy_category":null}.')
    yes, no = form
    return Answers(yes, no, rng.choice(OUTPUTS).format(yes=yes, no=no))


def made_up(rng, held_out=False):
    """Some categories of some subjects are forbidden, some are named as allowed. The last wording of each is held out."""
    everything = kinds()
    bad_able = [key for key in everything if key[1][0] != "S"]
    one_subject = rng.random() < 0.4
    first = rng.choice(bad_able)
    pool = [key for key in bad_able if key[0] == first[0]] if one_subject else bad_able
    bad = list({first, *rng.sample(pool, min(len(pool), rng.choice([1, 1, 2, 3, 4])))})
    names = {key[0] for key in bad}
    near = [key for key in everything if key not in bad and (key[0] in names or rng.random() < 0.1)]
    good = rng.sample(near, min(len(near), rng.choice([0, 1, 2, 3, 4])))
    form = rng.choice(FORMS)
    json = form[0] == "json"
    said = {key: say(key, rng, held_out) for key in [*bad, *good]}
    to_write = answers(form, rng)
    text = rng.choice(LAYOUTS)(rng, [said[key] for key in bad], [said[key] for key in good], to_write)
    if not json and rng.random() < 0.25:
        text += examples(rng, bad, good, to_write)
    rules = {text: key for key, (_, text) in said.items()}
    replies = {"VIOLATES": form[0], "SAFE": form[1]}
    return Policy("made-up", text, replies, "SAFE", {key: "VIOLATES" for key in bad}, tuple(good), json=json, rules=rules)


def say(key, rng, held_out):
    subject, code = key
    *known, last = subjects()[subject].categories[code]
    return code, last if held_out else noisy(rng.choice(known), rng)


def examples(rng, bad, good, to_write):
    """A few texts with their answers, as policies end."""
    drawn = [(rng.choice(bad), to_write.yes) for _ in range(rng.randint(1, 2))] + [(key, to_write.no) for key in good[:2]]
    rng.shuffle(drawn)
    texts = [(rng.choice(of_kind()[key]), answer) for key, answer in drawn]
    head = rng.choice(["## EXAMPLES", "## Examples", "Examples:"])
    return f"\n\n{head}\n" + "\n\n".join(f"CONTENT: {expand(one, rng)}\nAnswer: {answer}" for one, answer in texts)


@functools.cache
def of_kind():
    """(subject, code) -> its templates that are not held out."""
    found = {}
    for subject in subjects().values():
        for one in subject.templates:
            if not one.held_out:
                found.setdefault((subject.name, one.code), []).append(one)
    return found


def sections(rng, bad, good, to_write):
    codes = rng.random() < 0.7
    line = lambda item: f"- {item[0] + ' ' if codes else ''}{item[1]}"
    violates = f"## {rng.choice(['VIOLATES', 'VIOLATES', 'Violates', 'NOT ALLOWED'])} ({to_write.yes})\n" + "\n".join(map(line, bad))
    rest = ("S9", rng.choice(["Everything else.", "All other content.", "Any other text."]))
    safe = f"## {rng.choice(['SAFE', 'SAFE', 'Safe', 'ALLOWED'])} ({to_write.no})\n" + "\n".join(map(line, good + [rest]))
    body = [violates, safe] if rng.random() < 0.7 else [safe, violates]
    title = rng.choice(["Policy", "Content rules", "House rules", "Moderation policy"])
    again = "\n\n" + to_write.asked if rng.random() < 0.6 else ""
    return f"# {title}\n\n## INSTRUCTIONS\nDecide whether CONTENT violates this policy.\n{to_write.asked}\n\n" + "\n\n".join(body) + again


def plain(rng, bad, good, to_write):
    what = rng.choice(["Flag", "Refuse", "The following violates the policy:", "Not allowed here:", "Do not accept"])
    text = f"{what} {' '.join(text for _, text in bad)}"
    if good:
        text += f" {rng.choice(['These are fine:', 'Allowed:', 'Not a violation:'])} {' '.join(text for _, text in good)}"
    return f"{text}\n{to_write.asked}"


def answers_first(rng, bad, good, to_write):
    fine = "\n\nNo violations:\n" + "\n".join(f"* {text}" for _, text in good) if good else ""
    return f"{to_write.asked}\n\nViolations:\n" + "\n".join(f"{n}. {text}" for n, (_, text) in enumerate(bad, 1)) + fine


def coded(rng, bad, good, to_write):
    """A goal, what is allowed and what is not, each rule with a code, as ROOST's model community writes them."""
    mark = "".join(rng.choices("ABCDEFGHIKLMNOPRSTUVW", k=2))
    rules = lambda items, digit: "\n".join(f"- {mark}{digit}.{letter} {text}" for letter, (_, text) in zip("abcdefgh", items))
    allowed = f"{rng.choice(['Allowed content', 'Allowed', 'Acceptable content'])} ({to_write.no})\n" + rules(good + [("", "Everything else.")], 0)
    refused = f"{rng.choice(['Disallowed content', 'Not allowed', 'Prohibited content'])} ({to_write.yes})\n" + rules(bad, 2)
    return f"Policy ({mark})\n\nGOAL: find content that breaks the rules below.\n{to_write.asked}\n\n" + "\n\n".join(rng.sample([allowed, refused], 2))


def sentence(rng, bad, good, to_write):
    """A sentence or two, everything else being fine."""
    what = " ".join(text for _, text in bad)
    but = f" Fine: {' '.join(text for _, text in good)}" if good and rng.random() < 0.5 else ""
    first = rng.choice(["Not allowed here:", "Forbidden:", "We don't want this:", "Block this:", "Is CONTENT any of this?", "Violations:"])
    return f"{first} {what}{but} {rng.choice(['Everything else is fine.', 'All else is allowed.', ''])}\n{to_write.asked}"


LAYOUTS = [sections, sections, sections, plain, answers_first, coded, coded, sentence, sentence]

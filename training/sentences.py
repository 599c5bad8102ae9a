"""The sentences: files of templates by subject, what each is an instance of, and their expansions.

A template is split off for the test by a hash of its words before its slots are filled, so that no instance of a held-out template is ever trained on.
"""

import functools
import pathlib
import random
import re
import zlib
from dataclasses import dataclass, field

FOLDER = pathlib.Path(__file__).parent / "sentences"
SUBJECTS = ["prompt-injection", "violence", "self-harm", "hate", "sexual", "personal-data", "illicit", "off-topic", "general"]
# Of ten templates one is held out.
HELD_OUT = 10

SENTENCE = re.compile(r"([A-Z]+\d+) (i|o|io)((?: \+[a-z-]+:[A-Z]+\d+)*) \| (.+)")


@dataclass(frozen=True)
class Template:
    subject: str
    code: str
    stages: str
    # Every (subject, code) that it is an instance of; its own first.
    codes: tuple
    text: str

    @property
    def held_out(self):
        return zlib.crc32(self.text.encode()) % HELD_OUT == 0


@dataclass
class Subject:
    name: str
    # Code -> its description and the same in other words.
    categories: dict = field(default_factory=dict)
    templates: list = field(default_factory=list)


@functools.cache
def subjects():
    """Every subject, by name, and the lists for slots."""
    lists, found = {}, {}
    for line in (FOLDER / "lists.txt").read_text(encoding="utf-8").splitlines():
        read_list(line, lists)
    for name in SUBJECTS:
        found[name] = read(name, lists)
    return found


def kinds():
    """Every (subject, code)."""
    return [(subject.name, code) for subject in subjects().values() for code in subject.categories]


def read_list(line, lists, prefix=""):
    if line.startswith("$"):
        name, _, values = line[1:].partition(" = ")
        lists[prefix + name.strip()] = [value.strip() for value in values.split("|") if value.strip()]


def read(name, shared):
    subject, lists, code = Subject(name), {}, None
    path = FOLDER / f"{name}.txt"
    lines = path.read_text(encoding="utf-8").splitlines()
    for line in lines:
        read_list(line, lists)
    lists = shared | lists
    for number, line in enumerate(lines, 1):
        if not line.strip() or line[0] in "#$":
            continue
        if line[0] == "@":
            code, _, text = line[1:].partition(" ")
            subject.categories[code] = [text.strip()]
        elif line[0] == "~":
            subject.categories[code].append(line[1:].strip())
        elif match := SENTENCE.fullmatch(line.strip()):
            also = tuple(tuple(one[1:].split(":")) for one in match[3].split())
            subject.templates.append(Template(name, match[1], match[2], ((name, match[1]), *also), match[4]))
        else:
            raise ValueError(f"{path}:{number}: no sentence: {line[:60]}")
    LISTS[name] = lists
    return subject


LISTS = {}


def expand(template, rng):
    """One of the sentences that a template stands for."""
    text = template.text
    while match := re.search(r"\[([^\[\]]*)\]", text):
        text = text[: match.start()] + rng.choice(match[1].split("|")) + text[match.end() :]

    def fill(match):
        article, name = match[1], match[2]
        word = rng.choice(LISTS[template.subject].get(name, [name]))
        if article:
            word = ("an " if word[0].lower() in "aeiou" else "a ") + word
        return word

    # A list's own entries may have slots.
    for _ in range(2):
        text = re.sub(r"\{(a )?(\w+)\}", fill, text)
    return re.sub(r" {2,}", " ", text).strip()


def noisy(text, rng):
    """As people write: sometimes without capitals, without the last dot, with words left out, with a slip of the fingers."""
    if rng.random() < 0.15:
        text = text.lower()
    elif rng.random() < 0.02:
        text = text.upper()
    if rng.random() < 0.2:
        text = text.rstrip(".!?") or text
    words = text.split(" ")
    if rng.random() < 0.6 and len(words) > 4:
        text = " ".join(word for word in words if rng.random() > 0.12) or text
    if rng.random() < 0.1 and len(text) > 8:
        for _ in range(rng.randint(1, 2)):
            at = rng.randrange(1, len(text) - 1)
            kind = rng.randrange(3)
            if kind == 0:
                text = text[:at] + text[at + 1] + text[at] + text[at + 2 :]
            elif kind == 1:
                text = text[:at] + text[at + 1 :]
            else:
                text = text[:at] + text[at] + text[at:]
    return text


def corpus(count, seed=1):
    """Sentences of the templates that are not held out, each `count` times, for the tokenizer."""
    rng = random.Random(seed)
    for subject in subjects().values():
        for texts in subject.categories.values():
            yield from texts[:-1]
        for template in subject.templates:
            if not template.held_out:
                for _ in range(count):
                    yield expand(template, rng)

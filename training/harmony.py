"""The tokenizer, and prompts in harmony as the proxy renders them (src/detectors/safeguard/prompt.rs)."""

import bisect
import json

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

VOCAB = 6144
CONTROL = ["startoftext", "endoftext", "return", "constrain", "channel", "start", "end", "message", "call"]
# The pattern of o200k.
WORDS = Regex(
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
    r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
    r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
SYSTEM = (
    "You are ChatGPT, a large language model trained by OpenAI.\nKnowledge cutoff: 2024-06\n\n"
    "Reasoning: {effort}\n\n# Valid channels: analysis, commentary, final. Channel must be included for every message."
)


def train_tokenizer(texts):
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(WORDS, "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    size = VOCAB - len(CONTROL)
    trainer = trainers.BpeTrainer(
        vocab_size=size, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False, min_frequency=2
    )
    tokenizer.train_from_iterator(texts, trainer)
    assert tokenizer.get_vocab_size() == size, "too few texts for the vocabulary"
    tokenizer.add_special_tokens([AddedToken(f"<|{name}|>", special=True) for name in CONTROL])
    return tokenizer


class Harmony:
    def __init__(self, tokenizer):
        # Of what users write nothing becomes a control token: this one knows none.
        plain = json.loads(tokenizer.to_str()) | {"added_tokens": []}
        self.plain = Tokenizer.from_str(json.dumps(plain))
        self.control = {name: tokenizer.token_to_id(f"<|{name}|>") for name in CONTROL}
        c = self.control
        self.user = [c["start"], *self.encode("user"), c["message"]]
        self.after = [c["end"], c["start"], *self.encode("assistant")]
        self.final = [c["channel"], *self.encode("final"), c["message"]]
        self.analysis = [c["channel"], *self.encode("analysis"), c["message"]]
        self.conclude = [c["end"], c["start"], *self.encode("assistant"), *self.final]

    def encode(self, text):
        return self.plain.encode(text, add_special_tokens=False).ids

    def prefix(self, policy, effort="low"):
        c = self.control
        block = lambda role, body: [c["start"], *self.encode(role), c["message"], *self.encode(body), c["end"]]
        return block("system", SYSTEM.format(effort=effort)) + block("developer", f"# Instructions\n\n{policy}") + self.user

    def ends(self, policy, rules):
        """Where in that prefix each of the rules ends that the policy says word for word, and which."""
        body = f"# Instructions\n\n{policy}"
        whole, shared = self.prefix(policy), self.plain.encode(body, add_special_tokens=False)
        start = len(whole) - len(self.user) - 1 - len(shared.ids)
        last = [end for _, end in shared.offsets]
        found = [(body.find(text), text) for text in rules]
        return [(start + bisect.bisect_left(last, at + len(text)), rules[text]) for at, text in found if at >= 0]

    def content(self, text, most=128):
        """A content and the opening of what follows it, and how many tokens are the content."""
        ids = self.encode(text)[:most]
        return ids + self.after, len(ids)

    def example(self, content, reply, reasoning=None, most=128):
        """Ids after the prefix, at which of them a loss counts (what the model is to write), how many are the content, where
        the verdict is first told, and where the answer begins."""
        ids, length = self.content(content, most)
        open_ = self.final if reasoning is None else self.analysis + self.encode(reasoning) + self.conclude
        # The model opens its reasoning and ends it by itself, as servers let it; what opens an answer at once is given to it.
        written = range(len(ids), len(ids) + len(open_)) if reasoning is not None else range(0)
        verdict = len(ids) + len(self.final if reasoning is None else self.analysis)
        ids = ids + open_
        answer = self.encode(reply) + [self.control["return"]]
        targets = [*written, *range(len(ids), len(ids) + len(answer))]
        return ids + answer, targets, length, verdict, len(ids)

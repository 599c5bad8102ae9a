"""What the tests of all SDKs share. tests/sdk.rs starts them, and says where the proxy (PORTCULLIS_PROXY) and the upstream
behind it (PORTCULLIS_DIRECT) listen. The upstream answers by rules: see examples/upstream/rules.rs. The proxy runs
examples/every-api.toml: of prompts e-mail addresses are masked and Project Bluebird is blocked, of answers EMP-123456 is
masked and swordfish blocked.
"""

import os
import unittest

PROXY = os.environ["PORTCULLIS_PROXY"]
DIRECT = os.environ["PORTCULLIS_DIRECT"]

# What is asked and said where nothing is to be found.
PLAIN = "Grüße, 世界 🐦 \u2028 \"quoted\" \\ back"

CITY = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
}

REPORT = {
    "type": "object",
    "properties": {
        "title": {"type": "string"},
        "lines": {"type": "array", "items": {"type": "integer"}},
        "final": {"type": "boolean"},
    },
    "required": ["title", "lines", "final"],
    "additionalProperties": False,
}


def clean(count=60):
    """Words that nobody objects to, enough that the first have left before the last come."""
    return " ".join(f"clean{i}" for i in range(count))


class Case(unittest.TestCase):
    """Compares what an SDK makes of the proxy's answers with what it makes of the upstream's."""

    maxDiff = 4000

    def began(self, text):
        """A cut text: it has a beginning, and only of what was judged."""
        self.assertIn("clean0", text)
        self.assertTrue(clean().startswith(text.strip()), text)

    def quiet(self, what):
        """A refusal must not repeat what was found."""
        for word in ("bluebird", "swordfish", "123456"):
            self.assertNotIn(word, repr(what).lower())

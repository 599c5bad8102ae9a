"""Drives POST /v1/moderations with OpenAI's own SDK. tests/page.rs starts it, and says where the admin listener listens
(PORTCULLIS_GUARDED) and what its token is (PORTCULLIS_TOKEN).
"""

import os
import unittest

import openai
from openai import OpenAI

GUARDED = os.environ["PORTCULLIS_GUARDED"]
TOKEN = os.environ["PORTCULLIS_TOKEN"]

SETTINGS = {"base_url": f"{GUARDED}/v1", "max_retries": 0, "timeout": 120}


class Moderations(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.client = OpenAI(api_key=TOKEN, **SETTINGS)

    @classmethod
    def tearDownClass(cls):
        cls.client.close()

    def look(self, result, categories):
        told = result.categories.to_dict()
        scores = result.category_scores.to_dict()
        types = result.category_applied_input_types.to_dict()
        self.assertEqual(set(told), categories)
        self.assertEqual(set(scores), categories)
        self.assertEqual(types, {category: ["text"] for category in categories})
        self.assertTrue(all(0 <= score <= 1 for score in scores.values()), scores)
        self.assertEqual(result.flagged, any(told.values()))

    def test_every_form_of_input_has_its_results(self):
        guarded = {"found", "lost", "sexual/minors"}
        parts = [{"type": "text", "text": "one"}, {"type": "text", "text": "two"}]
        for given, count in [("one", 1), (["one", "two", "three"], 3), (parts, 1)]:
            answer = self.client.moderations.create(input=given)
            self.assertTrue(answer.id.startswith("modr-"), answer.id)
            self.assertEqual(len(answer.results), count)
            for result in answer.results:
                self.look(result, guarded)
        # The same model, once asked whether it is so and once whether it is not: one of the two says yes.
        result = answer.results[0]
        told = result.categories.to_dict()
        self.assertEqual(told["found"] + told["lost"], 1, told)
        scores = result.category_scores.to_dict()
        for category, found in told.items():
            self.assertEqual(scores[category] >= 0.5, found)
        # Both are told by a name of OpenAI's as well, for which its client has an attribute.
        self.assertIs(result.categories.sexual_minors, True)
        self.assertEqual(result.category_scores.sexual_minors, max(scores["found"], scores["lost"]))
        self.assertEqual(result.category_applied_input_types.sexual_minors, ["text"])
        # What no policy speaks of is not told as if it had been looked for.
        self.assertIsNone(result.categories.violence_graphic)

    def test_the_model_names_a_policy_or_means_all(self):
        for model in ("omni-moderation-latest", "text-moderation-stable", "portcullis"):
            answer = self.client.moderations.create(model=model, input="one")
            self.look(answer.results[0], {"found", "lost", "sexual/minors"})
        answer = self.client.moderations.create(model="found", input="one")
        self.assertEqual(answer.model, "found")
        self.look(answer.results[0], {"found", "sexual/minors"})
        # Two labels beside the safe one: each is a category, under its own name and under that of OpenAI's.
        answer = self.client.moderations.create(model="levels", input="one")
        result = answer.results[0]
        self.look(result, {"levels", "levels/BAD", "levels/WORSE", "self-harm/intent"})
        scores = result.category_scores.to_dict()
        self.assertAlmostEqual(scores["levels"], scores["levels/BAD"] + scores["levels/WORSE"], places=3)
        self.assertEqual(result.category_scores.self_harm_intent, scores["levels/WORSE"])
        self.assertIs(result.categories.self_harm_intent, result.categories.to_dict()["levels/WORSE"])
        with self.assertRaises(openai.NotFoundError) as caught:
            self.client.moderations.create(model="no-such-policy", input="one")
        self.assertEqual((caught.exception.code, caught.exception.param), ("policy_not_found", "model"))

    def test_an_empty_text_is_refused_by_its_place(self):
        with self.assertRaises(openai.BadRequestError) as caught:
            self.client.moderations.create(input=["one", " "])
        self.assertEqual((caught.exception.code, caught.exception.param), ("invalid_value", "input"))
        self.assertIn("input[1]", caught.exception.message)

    def test_what_is_no_text_is_refused(self):
        picture = {"type": "image_url", "image_url": {"url": "https://a.example/b.png"}}
        with self.assertRaises(openai.BadRequestError) as caught:
            self.client.moderations.create(input=[{"type": "text", "text": "one"}, picture])
        self.assertEqual(caught.exception.param, "input")
        self.assertIn("picture", caught.exception.message)

    def test_a_wrong_key_is_one(self):
        with OpenAI(api_key="sk-wrong", **SETTINGS) as other, self.assertRaises(openai.AuthenticationError):
            other.moderations.create(input="one")


if __name__ == "__main__":
    unittest.main()

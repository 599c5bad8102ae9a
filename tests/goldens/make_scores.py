"""Writes tests/goldens/scores.json and calibration.json: what scikit-learn and numpy make of random runs.

    pip install scikit-learn==1.7.2 && python tests/goldens/make_scores.py

An item without a verdict is given the class -1, which is no class: it is wrong, and missed.
"""

import json
import random
from pathlib import Path

import numpy
from sklearn.calibration import calibration_curve
from sklearn.metrics import accuracy_score, brier_score_loss, confusion_matrix, precision_recall_fscore_support

HERE = Path(__file__).parent
BINS = 10


def run(rng, classes, items, errors):
    expected = [rng.randrange(classes) for _ in range(items)]
    near = lambda right: right if rng.random() < 0.7 else rng.randrange(classes)
    given = [-1 if rng.random() < errors else near(right) for right in expected]
    there = sorted((set(expected) | set(given)) - {-1})
    scores = lambda labels: precision_recall_fscore_support(expected, given, labels=labels, zero_division=0)
    precision, recall, f1, _ = scores(list(range(classes)))
    counts = confusion_matrix(expected, given, labels=[*range(classes), -1])[:classes]
    times = [round(rng.expovariate(0.05), 3) for _ in range(items)]
    return {
        "classes": [f"C{index}" for index in range(classes)],
        "expected": expected,
        "given": [None if label < 0 else label for label in given],
        "accuracy": accuracy_score(expected, given),
        "macro_f1": float(numpy.mean(scores(there)[2])),
        "precision": precision.tolist(),
        "recall": recall.tolist(),
        "f1": f1.tolist(),
        "counts": counts.tolist(),
        "times": times,
        "p50": float(numpy.percentile(times, 50)),
        "p95": float(numpy.percentile(times, 95)),
    }


def calibration(rng, items):
    # None on the edge between two bins, where scikit-learn takes the other.
    scores = [min(round(rng.betavariate(0.6, 0.6), 4), 0.9999) + 0.00003 for _ in range(items)]
    violations = [rng.random() < 0.2 + 0.5 * score for score in scores]
    rates, means = calibration_curve(violations, scores, n_bins=BINS, strategy="uniform")
    bins = [min(int(score * BINS), BINS - 1) for score in scores]
    weights = [bins.count(index) / items for index in sorted(set(bins))]
    return {
        "scores": scores,
        "violations": violations,
        "mean_scores": means.tolist(),
        "rates": rates.tolist(),
        "ece": float(sum(w * abs(r - m) for w, r, m in zip(weights, rates, means))),
        "brier": float(brier_score_loss(violations, scores)),
    }


def main():
    rng = random.Random(5)
    runs = [run(rng, *shape) for shape in [(2, 40, 0.0), (2, 25, 0.2), (4, 60, 0.1), (5, 6, 0.3)]]
    curves = [calibration(rng, items) for items in (200, 7)]
    for name, goldens in [("scores", runs), ("calibration", curves)]:
        (HERE / f"{name}.json").write_text(json.dumps(goldens) + "\n")


main()

"""The linear probe, against scikit-learn's logistic regression where all questions have the same options."""

from __future__ import annotations

import random

import numpy as np
import pytest
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression

from tinyllm.corpus.probe import Probe, ProbeInput

CLASSES = (("red",), ("blue",), ("green",))
RNG = random.Random(3)
WORDS = [f"w{i}" for i in range(12)]


def readings(n: int) -> tuple[list[ProbeInput], list[int]]:
    """Texts of four words, of which three tell the class half of the time."""
    texts, answers = [], []
    for _ in range(n):
        answer = RNG.randrange(3)
        words = {*RNG.sample(WORDS, 3), WORDS[answer if RNG.random() < 0.5 else RNG.randrange(12)]}
        texts.append(ProbeInput(tuple(sorted(words)), CLASSES))
        answers.append(answer)
    return texts, answers


def test_with_the_same_options_throughout_it_is_a_multinomial_logistic_regression() -> None:
    known, answers = readings(200)
    others, _ = readings(20)
    counts = CountVectorizer(token_pattern=r"\w+", binary=True).fit([" ".join(WORDS)])
    table = counts.transform([" ".join(reading.words) for reading in known])
    model = LogisticRegression(C=1.0, fit_intercept=False, tol=1e-8, max_iter=1000).fit(table, answers)
    expected = model.predict_proba(counts.transform([" ".join(reading.words) for reading in others]))
    probabilities = np.exp(Probe(known, answers).log_probabilities(others))
    np.testing.assert_allclose(probabilities, expected, atol=1e-3)
    assert np.ptp(probabilities) > 0.3  # so that 1e-3 says something


def test_an_option_whose_words_the_text_has_becomes_likelier_where_that_was_so_before() -> None:
    known = [ProbeInput((f"a{i}", f"x{i}"), ((f"a{i}",), (f"b{i}",))) for i in range(50)]
    (logs,) = Probe(known, [0] * 50).log_probabilities([ProbeInput(("kind", "new"), (("old",), ("new",), ("odd",)))])
    assert logs.argmax() == 1
    assert np.exp(logs[1]) > 0.8
    assert np.exp(logs).sum() == pytest.approx(1.0)


def test_words_never_seen_tell_nothing() -> None:
    (logs,) = Probe(*readings(50)).log_probabilities([ProbeInput(("zebra",), (("stripes",), ("dots",)))])
    assert np.exp(logs).tolist() == pytest.approx([0.5, 0.5])


def test_questions_may_have_different_numbers_of_options() -> None:
    known = [ProbeInput(("hot",), (("fire",), ("ice",))), ProbeInput(("cold",), (("fire",), ("ice",), ("fog",)))]
    first, second = Probe(known * 20, [0, 1] * 20).log_probabilities(known)
    assert (first.argmax(), second.argmax(), len(first), len(second)) == (0, 1, 2, 3)

"""Which worked questions a prompt shows: some of train for each question. None of them gives its answer away."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from random import Random
from typing import TYPE_CHECKING

from tinyllm.params.schema import Prompting
from tinyllm.records.questions import Question, normalise

if TYPE_CHECKING:
    import numpy as np

# From this share of common words on (Jaccard index of the word sets of context and question) two questions count as one.
# OBQA's `What do some animals do to adjust to hot temperatures?` and `... use to adapt to ...` have 0.7; two reports of the
# default casebook, which share all but their notes, stay below 0.5. What says the same in other words is not found.
NEAR_DUPLICATE = 0.7
BLOCK = 256  # questions compared with all of train at once: with 16,000 it takes 130 MB; their whole square, 2 GB
NEAREST = 64  # how many are sorted at first; seldom more are needed


def choose_examples(
    questions: Sequence[Question], train: Sequence[Question], settings: Prompting
) -> list[list[Question]]:
    """Return `settings.examples` questions of train for each question.

    No example is the question itself, by id or by text, or a near-duplicate of it or of another example. Selection `random`
    depends on the seed and on the id and text of the question. Selection `similar` takes the nearest by the cosine of TF-IDF
    vectors, ties in the order of train. It puts the nearest last, next to the question.

    Neither looks at an answer or at the other questions. So the same question and train always give the same prompt.

    Raises:
        ValueError: too few in train differ enough.
    """
    if settings.examples == 0:
        return [[] for _ in questions]
    words = [_words(question) for question in train]
    shuffled = (_shuffled(len(train), _rng(question, settings.seed)) for question in questions)
    orders: Iterator[Iterator[int]] = shuffled if settings.selection == "random" else _by_similarity(questions, train)
    chosen = [
        _pick(question, order, train, words, settings.examples)
        for question, order in zip(questions, orders, strict=True)
    ]
    return chosen if settings.selection == "random" else [nearest_first[::-1] for nearest_first in chosen]


def _pick(
    question: Question,
    order: Iterable[int],
    train: Sequence[Question],
    words: Sequence[frozenset[str]],
    n: int,
) -> list[Question]:
    """Return the first `n` of train in this order that differ enough from the question and from each other."""
    shown = [_words(question)]
    chosen: list[Question] = []
    for place in order:
        if train[place].id != question.id and not any(_is_near(words[place], other) for other in shown):
            shown.append(words[place])
            chosen.append(train[place])
        if len(chosen) == n:
            return chosen
    raise ValueError(
        f"prompt.examples is {n}, but beside question {question.id} only {len(chosen)} of the {len(train)} in train can be "
        "shown: near-duplicates are left out; lower prompt.examples or give train more questions"
    )


def _text(question: Question) -> str:
    """Return the words of context and question, options left out."""
    return normalise(f"{question.context} {question.question}")


def _words(question: Question) -> frozenset[str]:
    return frozenset(_text(question).split())


def _is_near(words: frozenset[str], other: frozenset[str]) -> bool:
    return len(words & other) >= NEAR_DUPLICATE * len(words | other)  # true of two without a word, whose keys are equal


def _rng(question: Question, seed: int) -> Random:
    # of a text Random takes the SHA-512, never hash()
    return Random(f"examples {seed} {question.id} {question.context} {question.question}")


def _shuffled(n: int, rng: Random) -> Iterator[int]:
    """Yield 0 to n - 1 in random order; the first few cost no more than themselves."""
    moved: dict[int, int] = {}  # by place, what a shuffled list would hold there
    for place in range(n):
        other = place + int(rng.random() * (n - place))  # of a seed, only random() is promised to stay in later Pythons
        yield moved.get(other, other)
        moved[other] = moved.get(place, place)


def _by_similarity(questions: Sequence[Question], train: Sequence[Question]) -> Iterator[Iterator[int]]:
    """Yield for each question the places of train, the nearest first."""
    from sklearn.feature_extraction.text import TfidfVectorizer  # here: a stage that needs none must start at once

    keys = [_text(question) for question in train]
    if not any(keys):  # no word is known, so all are equally near
        yield from (iter(range(len(train))) for _ in questions)
        return
    vectorizer = TfidfVectorizer(analyzer=str.split)  # of train alone, lest the other questions matter
    known = vectorizer.fit_transform(keys).T.tocsr()  # (V, N), sparse
    for start in range(0, len(questions), BLOCK):
        asked = vectorizer.transform([_text(question) for question in questions[start : start + BLOCK]])
        # rounded, so that equal vectors tie although their sums differ in the last bit
        yield from map(_nearest, (asked @ known).toarray().round(9))  # (BLOCK, N)


def _nearest(scores: np.ndarray) -> Iterator[int]:
    """Yield the places of the scores (N,), highest first, ties in order."""
    import numpy as np

    few = min(NEAREST, len(scores))
    least = np.partition(scores, -few)[-few]  # all that tie with the last of the few are sorted too
    for places in (np.flatnonzero(scores >= least), np.flatnonzero(scores < least)):
        yield from places[np.argsort(-scores[places], kind="stable")].tolist()

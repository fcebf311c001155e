"""A generated world of case reports: what ails the houseplant? One kind of clue, hidden among irrelevant detail, tells.

A case turns on one kind of clue, `signs` (what is seen on the plant) or `care` (how and where it is kept); all its
clues are of that kind and point to the gold cause. What a student must learn is which of many sentences means which
cause: how hard that is depends on the number of cases, of phrases per cause and kind, of clues and fillers in a report,
and of fillers in the pool.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import product
from random import Random

from tinyllm.casebook_phrases import CARE, FILLERS, SIGNS
from tinyllm.questions import Question

QUESTION = "Which ailment do the clues point to?"
CAUSES = tuple(SIGNS)
CLUES = {"signs": SIGNS, "care": CARE}
KINDS = tuple(CLUES)
FIRST_ID = {"train": 0, "valid": 80_000, "test": 90_000}  # fixed, so that no split's ids depend on another's size
MAX_CASES = {"train": 80_000, "valid": 10_000, "test": 10_000}
MAX_CLUES = 3
MAX_TRIES = 1000


@dataclass(frozen=True)
class World:
    """The size and difficulty of one world; another seed gives other phrases, other fillers and other cases.

    With the same seed, a world of more phrases or a larger filler pool keeps those of the smaller one.

    Args:
        train: cases in the split, as are valid and test.
        phrases: clue sentences known per cause and kind, at most 24.
        clues: clue sentences in a report, at most 3.
        fillers: sentences of irrelevant detail in a report, at least 1.
        filler_pool: distinct filler sentences in this world.

    Raises:
        ValueError: a number is out of its limits; the message names it and the limits.
    """

    seed: int
    train: int
    valid: int
    test: int
    phrases: int
    clues: int
    fillers: int
    filler_pool: int

    def __post_init__(self) -> None:
        limits = {
            **{split: (0, most) for split, most in MAX_CASES.items()},
            "phrases": (1, len(SIGNS[CAUSES[0]])),
            "clues": (1, min(MAX_CLUES, self.phrases)),
            "fillers": (1, len(FILLERS)),
            "filler_pool": (self.fillers, sum(len(sentences) for sentences in filler_topics())),
        }
        for name, (low, high) in limits.items():
            if not low <= getattr(self, name) <= high:
                raise ValueError(f"casebook: {name} is {getattr(self, name)}; allowed is {low} to {high}")


@dataclass(frozen=True)
class Clue:
    """A clue sentence as it stands in a report, its kind and the cause it points to."""

    sentence: str
    kind: str
    cause: str


def make_splits(world: World) -> dict[str, list[Question]]:
    """Return the cases of train, valid and test; no report stands twice, in one split or across them.

    A longer train split begins with the cases of a shorter one, and leaves valid and test as they are.

    Raises:
        ValueError: the world holds too few different reports for its cases.
    """
    phrases = _draw_phrases(world)
    topics = _draw_topics(world)
    seen: set[str] = set()
    splits: dict[str, list[Question]] = {"train": [], "valid": [], "test": []}
    for split in ("test", "valid", "train"):  # train last: it gives way where a report would stand twice
        rng = Random(f"casebook {world.seed} {split}")
        plan = _plan(rng)
        for number in range(getattr(world, split)):
            kind, cause, position = next(plan)
            report = _new_report(rng, world, phrases[kind, cause], topics, seen)
            others = rng.sample([other for other in CAUSES if other != cause], len(CAUSES) - 1)
            choices = (*others[:position], cause, *others[position:])
            case_id = f"case-{FIRST_ID[split] + number:05d}"
            splits[split].append(Question(case_id, QUESTION, choices, position, report))
    return splits


def read_clues(context: str) -> list[Clue]:
    """Return the clues of a report, in its order, by looking every sentence up."""
    table = _clue_table()
    return [table[sentence] for sentence in split_sentences(context) if sentence in table]


def split_sentences(context: str) -> list[str]:
    """Return the sentences of a report, each with its full stop."""
    return re.split(r"(?<=\.) ", context)


def key_word(sentence: str) -> str:
    """Return the word, in lower case, that tells a sentence from all others of casebook: the longest of its rarest."""
    times = _word_times()
    words = re.findall(r"[\w'-]+", sentence)
    return min(words, key=lambda word: (times[word.lower()], -len(word))).lower()


@cache
def _word_times() -> Counter[str]:
    sentences = [*_clue_table(), *(sentence for topic in filler_topics() for sentence in topic)]
    return Counter(word for sentence in sentences for word in set(re.findall(r"[\w'-]+", sentence.lower())))


@cache
def filler_topics() -> tuple[tuple[str, ...], ...]:
    """Return every filler sentence there is, grouped by topic."""
    return tuple(tuple(template.format(word) for word in words.split(", ")) for template, words in FILLERS)


@cache
def _clue_table() -> dict[str, Clue]:
    return {
        sentence: Clue(sentence, kind, cause)
        for kind, causes in CLUES.items()
        for cause, sentences in causes.items()
        for sentence in sentences
    }


def _draw_phrases(world: World) -> dict[tuple[str, str], list[str]]:
    rng = Random(f"casebook {world.seed} phrases")
    return {
        (kind, cause): rng.sample(CLUES[kind][cause], len(CLUES[kind][cause]))[: world.phrases]
        for kind, cause in product(KINDS, CAUSES)
    }


def _draw_topics(world: World) -> list[list[str]]:
    """Return the world's fillers by topic; dealt out in turn, so that even a small pool has many topics."""
    rng = Random(f"casebook {world.seed} fillers")
    decks = [rng.sample(sentences, len(sentences)) for sentences in filler_topics()]
    rng.shuffle(decks)
    dealt = [(place, topic) for topic, deck in enumerate(decks) for place in range(len(deck))]
    sizes = [0] * len(decks)
    for _, topic in sorted(dealt)[: world.filler_pool]:
        sizes[topic] += 1
    return [deck[:size] for deck, size in zip(decks, sizes, strict=True) if size]


def _plan(rng: Random) -> Iterator[tuple[str, str, int]]:
    """Yield kind, cause and the gold option's position for ever: all 32 combinations, shuffled, then all again."""
    while True:
        block = list(product(KINDS, CAUSES, range(len(CAUSES))))
        rng.shuffle(block)
        yield from block


def _new_report(rng: Random, world: World, phrases: list[str], topics: list[list[str]], seen: set[str]) -> str:
    for _ in range(MAX_TRIES):
        fillers = [rng.choice(topic) for topic in rng.sample(topics, world.fillers)]
        sentences = rng.sample(phrases, world.clues) + fillers
        rng.shuffle(sentences)
        report = " ".join(sentences)
        if report not in seen:
            seen.add(report)
            return report
    raise ValueError(
        f"casebook: no new report in {MAX_TRIES} tries; ask for fewer cases, or raise phrases, fillers or filler_pool"
    )

"""A generated world of case reports: what ails the houseplant? The clues stand among irrelevant words.

A report is a visitor's list of notes. Its clues are of one kind: `signs` (what is seen on the plant) or `care` (how and where
it is kept). All of them point to the gold cause. A student must learn which of many words means which cause. From answers
alone that is hard: in few cases a rare irrelevant word goes along with a cause as often as a clue does. A rationale names the
clue.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import product
from random import Random

from tinyllm.casebook.words import CARE, FILLERS, SIGNS
from tinyllm.records.questions import Question

OPENING = "Notes of the visit: "
QUESTION = "Which ailment do the notes point to?"
CAUSES = tuple(SIGNS)
CLUES = {"signs": SIGNS, "care": CARE}
KINDS = tuple(CLUES)
FIRST_ID = {"train": 0, "valid": 80_000, "test": 90_000}  # fixed, so that no split's ids depend on another's size
MAX_CASES = {"train": 80_000, "valid": 10_000, "test": 10_000}
MAX_CLUES = 3
MAX_TRIES = 1000


@dataclass(frozen=True)
class World:
    """The size and difficulty of one world; another seed gives other clue words, other fillers and other cases.

    With the same seed, a world of more clue words or a larger filler pool keeps those of the smaller one.

    Args:
        train: cases in the split, as are valid and test.
        clue_words: clue words known per cause and kind, at most 20.
        clues: clue words in a report, at most 3.
        fillers: irrelevant words in a report, at least 1.
        filler_pool: distinct irrelevant words in this world.

    Raises:
        ValueError: a number is out of its limits; the message names it and the limits.
    """

    seed: int
    train: int
    valid: int
    test: int
    clue_words: int
    clues: int
    fillers: int
    filler_pool: int

    def __post_init__(self) -> None:
        limits = {
            **{split: (0, most) for split, most in MAX_CASES.items()},
            "clue_words": (1, len(SIGNS[CAUSES[0]])),
            "clues": (1, min(MAX_CLUES, self.clue_words)),
            "fillers": (1, len(FILLERS)),
            "filler_pool": (self.fillers, len(FILLERS)),
        }
        for name, (low, high) in limits.items():
            if not low <= getattr(self, name) <= high:
                raise ValueError(f"casebook: {name} is {getattr(self, name)}; allowed is {low} to {high}")


@dataclass(frozen=True)
class Clue:
    """A clue as it stands in a report, its kind and the cause it points to."""

    word: str
    kind: str
    cause: str


def make_splits(world: World) -> dict[str, list[Question]]:
    """Return the cases of train, valid and test; no report stands twice, in one split or across them.

    A longer train split begins with the cases of a shorter one, and leaves valid and test as they are.

    Raises:
        ValueError: the world holds too few different reports for its cases.
    """
    clues = _draw_clues(world)
    pool = Random(f"casebook {world.seed} fillers").sample(FILLERS, len(FILLERS))[: world.filler_pool]
    seen: set[str] = set()
    splits: dict[str, list[Question]] = {"train": [], "valid": [], "test": []}
    for split in ("test", "valid", "train"):  # train last: it gives way where a report would stand twice
        rng = Random(f"casebook {world.seed} {split}")
        plan = _plan(rng)
        for number in range(getattr(world, split)):
            kind, cause, position = next(plan)
            report = _new_report(rng, world, clues[kind, cause], pool, seen)
            others = rng.sample([other for other in CAUSES if other != cause], len(CAUSES) - 1)
            choices = (*others[:position], cause, *others[position:])
            case_id = f"case-{FIRST_ID[split] + number:05d}"
            splits[split].append(Question(case_id, QUESTION, choices, position, report))
    return splits


def read_clues(context: str) -> list[Clue]:
    """Return the clues of a report, in its order, by looking every word up."""
    table = _clue_table()
    return [table[word] for word in read_words(context) if word in table]


def read_words(context: str) -> list[str]:
    """Return the words noted in a report."""
    return context.removeprefix(OPENING).removesuffix(".").split(", ")


@cache
def _clue_table() -> dict[str, Clue]:
    return {
        word: Clue(word, kind, cause)
        for kind, causes in CLUES.items()
        for cause, words in causes.items()
        for word in words
    }


def _draw_clues(world: World) -> dict[tuple[str, str], list[str]]:
    rng = Random(f"casebook {world.seed} clues")
    return {
        (kind, cause): rng.sample(CLUES[kind][cause], len(CLUES[kind][cause]))[: world.clue_words]
        for kind, cause in product(KINDS, CAUSES)
    }


def _plan(rng: Random) -> Iterator[tuple[str, str, int]]:
    """Yield kind, cause and the gold option's position without end: all 32 combinations, shuffled, then all again."""
    while True:
        block = list(product(KINDS, CAUSES, range(len(CAUSES))))
        rng.shuffle(block)
        yield from block


def _new_report(rng: Random, world: World, clues: list[str], pool: list[str], seen: set[str]) -> str:
    for _ in range(MAX_TRIES):
        words = [*rng.sample(clues, world.clues), *rng.sample(pool, world.fillers)]
        rng.shuffle(words)
        report = f"{OPENING}{', '.join(words)}."
        if report not in seen:
            seen.add(report)
            return report
    raise ValueError(
        f"casebook: no new report in {MAX_TRIES} tries; ask for fewer cases, or raise clue_words, fillers or filler_pool"
    )

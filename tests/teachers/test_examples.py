"""The choice of worked questions, against a slow search that is written out in plain Python."""

from __future__ import annotations

import json
import math
import os
import random
import re
import subprocess
import sys
import tracemalloc
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import cache
from itertools import combinations
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from tinyllm.params.schema import Prompting
from tinyllm.records.questions import Question
from tinyllm.teachers import examples as module
from tinyllm.teachers.examples import choose_examples

ROOT = Path(__file__).resolve().parents[2]
WORDS = [a + b + c for a in "bdklmr" for b in "aeiou" for c in ("n", "sto", "vig")]


def prompting(selection: str, examples: int = 2, seed: int = 1) -> Prompting:
    return Prompting.model_validate(
        {
            "instruction": "",
            "examples": examples,
            "selection": selection,
            "example_rationales": "none",
            "teacher_forcing": True,
            "seed": seed,
        }
    )


def question(id: str, text: str, context: str = "") -> Question:
    return Question(id, text, ("yes", "no"), 0, context)


def toy_questions(n: int, prefix: str = "q", seed: int = 1, words: Sequence[str] = WORDS) -> list[Question]:
    """Random words, the first ones of the list more often; every third question has a context."""
    rng = random.Random(f"{prefix} {seed}")
    weights = [1 / (1 + place) for place in range(len(words))]
    texts = [" ".join(rng.choices(words, weights, k=rng.randint(4, 12))) + "?" for _ in range(2 * n)]
    return [question(f"{prefix}-{i}", texts[i], "" if i % 3 else texts[n + i]) for i in range(n)]


def ids(chosen: list[list[Question]]) -> list[list[str]]:
    return [[example.id for example in examples] for examples in chosen]


@cache
def bag(question: Question) -> list[str]:
    return re.findall(r"[a-z]+", f"{question.context} {question.question}".lower())


def common(question: Question, other: Question) -> float:
    """The Jaccard index of two questions' words."""
    first, second = set(bag(question)), set(bag(other))
    return len([word for word in first if word in second]) / len({*first, *second})


# --- what an example may not be -------------------------------------------------------------------------------------

ALIKE = st.lists(st.sampled_from(["sun", "moon", "star", "sea", "Sun,", "hill"]), min_size=1, max_size=6).map(" ".join)
FAR = [question(f"far-{i}", " ".join(WORDS[7 * i : 7 * i + 7])) for i in range(5)]  # no word in common


@pytest.mark.parametrize("selection", ["random", "similar"])
@hypothesis_settings(max_examples=12, deadline=None)
@given(texts=st.lists(ALIKE, max_size=12), contexts=st.lists(ALIKE | st.just(""), max_size=12), n=st.integers(1, 4))
def test_an_example_is_never_the_question_nor_almost_so_nor_almost_another_example(
    selection: str, texts: list[str], contexts: list[str], n: int
) -> None:
    pairs = zip(texts, contexts, strict=False)
    train = [*(question(f"q-{i}", text, context) for i, (text, context) in enumerate(pairs)), *FAR]
    copies = [replace(asked, id=f"copy-{asked.id}", question=asked.question.upper() + " ?!") for asked in train]
    for asked, examples in zip(
        train + copies, choose_examples(train + copies, train, prompting(selection, n)), strict=True
    ):
        assert len(examples) == n
        assert asked.id not in {example.id for example in examples}
        assert all(common(*pair) < 0.7 for pair in combinations([asked, *examples], 2))


@pytest.mark.parametrize("selection", ["random", "similar"])
def test_seven_common_words_of_ten_are_too_many_and_nine_of_thirteen_are_not(selection: str) -> None:
    asked = question("a", "one two three four five six seven eight nine")
    close = question("b", "seven six five four three two one ten")
    other = question("c", "nine eight seven six five four three two one ten eleven twelve thirteen")
    assert (common(asked, close), common(asked, other)) == (7 / 10, 9 / 13)
    assert ids(choose_examples([asked], [close, other], prompting(selection, 1))) == [["c"]]


@pytest.mark.parametrize("selection", ["random", "similar"])
def test_a_question_with_the_same_id_is_no_example_whatever_it_says(selection: str) -> None:
    train = [question("a", "sun moon"), question("b", "sea hill")]
    assert ids(choose_examples([question("a", "sun star")], train, prompting(selection, 1))) == [["b"]]


@pytest.mark.parametrize("selection", ["random", "similar"])
def test_too_few_questions_in_train_are_said(selection: str) -> None:
    train = [question("a", "sun moon"), question("b", "Moon, sun!"), question("c", "sea")]
    with pytest.raises(ValueError) as caught:
        choose_examples(train, train, prompting(selection))
    assert str(caught.value) == (
        "prompt.examples is 2, but beside question a only 1 of the 3 in train can be shown: near-duplicates are left out; "
        "lower prompt.examples or give train more questions"
    )
    with pytest.raises(ValueError, match="only 0 of the 0 in train can be shown"):
        choose_examples(train, [], prompting(selection))


@pytest.mark.parametrize("selection", ["random", "similar"])
def test_no_examples_are_needed_where_none_are_wanted(selection: str) -> None:
    assert choose_examples(FAR, [], prompting(selection, 0)) == [[], [], [], [], []]


# --- what the choice depends on -------------------------------------------------------------------------------------

TRAIN = toy_questions(40, "train")
ASKED = [*TRAIN, *toy_questions(20, "test")]


@cache
def all_chosen(selection: str) -> list[list[str]]:
    return ids(choose_examples(ASKED, TRAIN, prompting(selection)))


@pytest.mark.parametrize("selection", ["random", "similar"])
@hypothesis_settings(max_examples=15, deadline=None)
@given(places=st.lists(st.integers(0, len(ASKED) - 1), max_size=8))
def test_the_other_questions_and_their_order_change_nothing(selection: str, places: list[int]) -> None:
    chosen = choose_examples([ASKED[place] for place in places], TRAIN, prompting(selection))
    assert ids(chosen) == [all_chosen(selection)[place] for place in places]


@pytest.mark.parametrize("selection", ["random", "similar"])
def test_no_answer_has_a_say_in_the_choice(selection: str) -> None:
    other = [replace(asked, choices=("perhaps", "never"), answer=1) for asked in ASKED]
    assert ids(choose_examples(other, other[:40], prompting(selection))) == all_chosen(selection)


RUN = """
import json, sys
from tinyllm.teachers.examples import choose_examples
from tinyllm.records.questions import Question
from tinyllm.params.schema import Prompting
asked, settings = json.load(sys.stdin)
asked = [Question(**fields) for fields in asked]
chosen = choose_examples(asked, asked[:40], Prompting(**settings))
heavy = [name for name in ("torch", "sklearn", "scipy", "numpy") if name in sys.modules]
print(json.dumps([[[example.id for example in examples] for examples in chosen], heavy]))
"""


@pytest.mark.parametrize("selection", ["random", pytest.param("similar", marks=pytest.mark.slow)])
def test_every_process_chooses_the_same_and_only_similar_loads_a_library(selection: str) -> None:
    sent = json.dumps([[asdict(asked) for asked in ASKED], prompting(selection).model_dump()])
    for hash_seed in ("1", "2"):
        command = [sys.executable, "-c", RUN]
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
        out = subprocess.run(command, input=sent, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
        chosen, heavy = json.loads(out.stdout)
        assert chosen == all_chosen(selection)
        assert heavy == ([] if selection == "random" else ["sklearn", "scipy", "numpy"])


# --- random ---------------------------------------------------------------------------------------------------------


def slowly_shuffled(asked: Question, seed: int) -> list[Question]:
    rng = random.Random(f"examples {seed} {asked.id} {asked.context} {asked.question}")
    rest, out = list(TRAIN), []
    for place in range(len(TRAIN)):  # what stands first takes the drawn one's place, as in a shuffle in one list
        drawn = int(rng.random() * (len(TRAIN) - place))
        rest[0], rest[drawn] = rest[drawn], rest[0]
        out.append(rest.pop(0))
    return out


def first_that_differ(asked: Question, order: list[Question], n: int) -> list[str]:
    chosen: list[Question] = []
    for other in order:
        if other.id != asked.id and all(common(other, shown) < 0.7 for shown in (asked, *chosen)):
            chosen.append(other)
    return [example.id for example in chosen[:n]]


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("n", [1, 2, 20])
def test_random_examples_are_the_first_of_a_shuffled_train(seed: int, n: int) -> None:
    expected = [first_that_differ(asked, slowly_shuffled(asked, seed), n) for asked in ASKED]
    assert ids(choose_examples(ASKED, TRAIN, prompting("random", n, seed))) == expected


def test_fewer_random_examples_are_the_first_of_more() -> None:
    more = ids(choose_examples(ASKED, TRAIN, prompting("random", 5)))
    assert ids(choose_examples(ASKED, TRAIN, prompting("random", 3))) == [examples[:3] for examples in more]


def test_id_text_and_seed_all_move_the_random_choice() -> None:
    asked = question("a", "sun moon", "sea")
    others = [replace(asked, id="b"), replace(asked, question="sun star"), replace(asked, context="hill")]
    chosen = {*map(tuple, ids(choose_examples([asked, *others], TRAIN, prompting("random", 8))))}
    chosen |= {*map(tuple, ids(choose_examples([asked], TRAIN, prompting("random", 8, seed=2))))}
    assert len(chosen) == 5


def test_every_question_of_train_is_drawn_about_equally_often() -> None:
    asked = [question(f"a-{i}", "sun moon") for i in range(2000)]
    counts = Counter(id for examples in ids(choose_examples(asked, FAR, prompting("random"))) for id in examples)
    # 2 of 5 each: 800 expected, standard deviation 22
    assert len(counts) == 5 and all(700 < count < 900 for count in counts.values())


# --- similar --------------------------------------------------------------------------------------------------------


@cache
def slow_tfidf(asked: Question) -> dict[str, float]:
    """Counts times ln((1 + questions) / (1 + questions with the word)) + 1, words unknown to train left out, length 1."""
    weights = {}
    for word, count in Counter(bag(asked)).items():
        holders = sum(word in bag(other) for other in TRAIN)
        if holders:
            weights[word] = count * (math.log((1 + len(TRAIN)) / (1 + holders)) + 1)
    length = math.sqrt(sum(weight**2 for weight in weights.values()))
    return {word: weight / length for word, weight in weights.items()}


@cache
def slowly_similar(asked: Question) -> list[Question]:
    mine, theirs = slow_tfidf(asked), [slow_tfidf(other) for other in TRAIN]
    cosines = [round(sum(mine.get(word, 0) * weight for word, weight in other.items()), 9) for other in theirs]
    return [TRAIN[place] for place in sorted(range(len(TRAIN)), key=lambda place: (-cosines[place], place))]


@pytest.mark.parametrize("n", [1, 3, 20])
@pytest.mark.parametrize("nearest", [1, 4, 64])
def test_similar_examples_are_those_of_a_slow_search(monkeypatch: pytest.MonkeyPatch, n: int, nearest: int) -> None:
    monkeypatch.setattr(module, "BLOCK", 7)  # 60 questions take nine blocks, the last of them not full
    monkeypatch.setattr(module, "NEAREST", nearest)
    expected = [first_that_differ(asked, slowly_similar(asked), n)[::-1] for asked in ASKED]
    assert ids(choose_examples(ASKED, TRAIN, prompting("similar", n))) == expected


def test_the_most_similar_example_stands_last() -> None:
    train = [
        question("one word", "sun sea hill moor"),
        question("three words", "sun moon star moor"),
        question("two words", "sun moon lake dale"),
        question("none", "fox hen"),
    ]
    chosen = choose_examples([question("a", "sun moon star snow")], train, prompting("similar", 3))
    assert ids(chosen) == [["one word", "two words", "three words"]]


def test_ties_are_broken_by_the_order_of_train() -> None:
    tied = [question(f"t{i}", f"sun {word}") for i, word in enumerate(["sea", "hill", "moor", "dale"])]
    asked = [question("a", "sun moon"), question("b", "never seen")]  # all are as near, or as far
    assert ids(choose_examples(asked, tied, prompting("similar", 2))) == [["t1", "t0"], ["t1", "t0"]]
    assert ids(choose_examples(asked, tied[::-1], prompting("similar", 2))) == [["t2", "t3"], ["t2", "t3"]]


def test_a_tie_is_one_though_the_sums_differ_in_the_last_bit() -> None:
    # the first two have four words that stand in 1, 2, 3 and 4 texts: the same cosine, added up in another order
    texts = ["bee fox ant cow", "dog elk gnu hen", "fox elk", *["ant gnu"] * 2, *["cow hen"] * 3]
    train = [question(f"t{i}", text) for i, text in enumerate(texts)]
    asked = [question("a", "bee fox ant cow dog elk gnu hen")]
    assert ids(choose_examples(asked, train, prompting("similar", 1))) == [["t0"]]


def test_a_word_of_one_letter_counts() -> None:
    train = [question("a", "Where is vitamin D?"), question("b", "Where is vitamin C?")]
    assert ids(choose_examples([question("c", "Vitamin C?")], train, prompting("similar", 1))) == [["b"]]


def test_questions_without_a_word_tie_too() -> None:
    train = [question("a", "?"), question("b", "!")]
    assert ids(choose_examples([question("c", "sun")], train, prompting("similar", 1))) == [["a"]]
    with pytest.raises(ValueError, match="only 1 of the 2 in train"):
        choose_examples([question("c", "sun")], train, prompting("similar", 2))


def test_similar_examples_need_no_square_of_all_questions() -> None:
    asked = toy_questions(1500)
    choose_examples(asked[:2], asked, prompting("similar"))  # loads the library
    tracemalloc.start()
    try:
        choose_examples(asked, asked, prompting("similar"))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 1500 * 1500 * 8  # a square alone would take 18 MB

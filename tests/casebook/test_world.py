"""The generated world: one case written out, every case solvable by its clues, and by nothing else."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256

import pytest

from tinyllm.casebook.world import CAUSES, CLUES, FILLERS, KINDS, Clue, World, make_splits, read_clues, read_words
from tinyllm.records.questions import Question
from tinyllm.records.same_question import question_key

WORLD = World(seed=1, train=2000, valid=300, test=1000, clue_words=20, clues=2, fillers=8, filler_pool=500)
ALL_CLUES = [word for kind in KINDS for cause in CAUSES for word in CLUES[kind][cause]]
ALL_WORDS = [*ALL_CLUES, *FILLERS]


@pytest.fixture(scope="module")
def splits() -> dict[str, list[Question]]:
    return make_splits(WORLD)


def words_of(cases: list[Question]) -> set[str]:
    return {word for case in cases for word in read_words(case.context)}


# --- the cases ------------------------------------------------------------------------------------------------------


def test_the_first_case_of_seed_1_reads_as_written_here(splits: dict[str, list[Question]]) -> None:
    assert splits["train"][0] == Question(
        id="case-00000",
        question="Which ailment do the notes point to?",
        choices=("pests", "chill", "overwatering", "darkness"),
        answer=0,
        context="Notes of the visit: canoe, canvas, parasites, turquoise, kaleidoscope, burrows, fencing, pistachios, "
        "general, burgundy.",
    )


@pytest.mark.parametrize(
    ("context", "clues"),
    [
        (
            "Notes of the visit: canoe, canvas, parasites, turquoise, kaleidoscope, burrows, fencing, pistachios, "
            "general, burgundy.",
            [Clue("parasites", "care", "pests"), Clue("burrows", "care", "pests")],
        ),
        ("Notes of the visit: January, kittens.", [Clue("January", "care", "chill")]),
        ("Notes of the visit: kittens, novel, leaning, clogs.", [Clue("leaning", "signs", "darkness")]),
        ("Notes of the visit: kittens, novel, clogs.", []),
        ("Aphids and leaning in January.", []),  # another world's prose
        ("", []),
    ],
)
def test_read_clues_finds_word_kind_and_cause_in_the_reports_order(context: str, clues: list[Clue]) -> None:
    assert read_clues(context) == clues


@pytest.mark.parametrize("clues", [1, 2, 3])
def test_looking_the_clues_up_solves_every_case(clues: int) -> None:
    for split, cases in make_splits(replace(WORLD, clues=clues)).items():
        assert len(cases) == getattr(WORLD, split)
        for case in cases:
            read = read_clues(case.context)
            assert len({clue.word for clue in read}) == len(read) == clues
            assert {clue.cause for clue in read} == {case.gold}
            assert len({clue.kind for clue in read}) == 1


def test_a_report_holds_two_clues_and_eight_fillers_all_different(splits: dict[str, list[Question]]) -> None:
    for case in splits["train"]:
        words = read_words(case.context)
        assert len(set(words)) == len(words) == 10
        assert len(set(words) & set(ALL_CLUES)) == 2
        assert len(set(words) & set(FILLERS)) == 8
        assert case.context == f"Notes of the visit: {', '.join(words)}."


def test_no_report_and_no_id_stands_twice_in_any_split(splits: dict[str, list[Question]]) -> None:
    cases = [case for split in ("train", "valid", "test") for case in splits[split]]
    assert len({question_key(case) for case in cases}) == len({case.id for case in cases}) == 3300
    assert [splits[split][0].id for split in ("train", "valid", "test")] == ["case-00000", "case-80000", "case-90000"]


def test_a_nearly_exhausted_world_repeats_no_report() -> None:
    # 1 clue word and 8 fillers in two orders: 16 reports for each cause and kind, of which up to 15 are asked for
    tiny = World(seed=1, train=64, valid=12, test=12, clue_words=1, clues=1, fillers=1, filler_pool=8)
    cases = [case for cases in make_splits(tiny).values() for case in cases]
    assert len({case.context for case in cases}) == 88


def test_a_longer_train_split_begins_with_the_shorter_and_leaves_valid_and_test(
    splits: dict[str, list[Question]],
) -> None:
    longer = make_splits(replace(WORLD, train=3000))
    assert longer["train"][:2000] == splits["train"]
    assert (longer["valid"], longer["test"]) == (splits["valid"], splits["test"])


def test_another_seed_is_another_world(splits: dict[str, list[Question]]) -> None:
    small = replace(WORLD, clue_words=5, filler_pool=60)
    ours, theirs = (words_of(make_splits(replace(small, seed=seed))["train"]) for seed in (1, 2))
    assert len(ours) == len(theirs) == 8 * 5 + 60
    assert ours & set(ALL_CLUES) != theirs & set(ALL_CLUES)
    assert ours & set(FILLERS) != theirs & set(FILLERS)
    assert make_splits(replace(WORLD, seed=2))["train"][0].context != splits["train"][0].context


def test_more_clue_words_and_a_larger_pool_keep_those_of_the_smaller_world(splits: dict[str, list[Question]]) -> None:
    small = make_splits(replace(WORLD, clue_words=5, filler_pool=60))["train"]
    assert words_of(small) < words_of(splits["train"])


@pytest.mark.parametrize("hash_seed", ["0", "1"])
def test_another_process_with_another_hash_seed_makes_the_same_world(
    splits: dict[str, list[Question]], hash_seed: str
) -> None:
    script = (
        "from hashlib import sha256; from tinyllm.casebook.world import *; "
        f"print(sha256(repr(make_splits({WORLD})).encode()).hexdigest())"
    )
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == sha256(repr(splits).encode()).hexdigest()


# --- what a student could guess from --------------------------------------------------------------------------------


def test_causes_kinds_and_gold_positions_are_even(splits: dict[str, list[Question]]) -> None:
    for cases in splits.values():
        counts = Counter((read_clues(case.context)[0].kind, case.gold, case.answer) for case in cases)
        assert len(counts) == 2 * 4 * 4
        assert all(abs(count - len(cases) / 32) <= 1 for count in counts.values())


def test_every_option_stands_at_every_position_equally_often(splits: dict[str, list[Question]]) -> None:
    counts = Counter((place, choice) for case in splits["train"] for place, choice in enumerate(case.choices))
    assert all(abs(counts[place, cause] - 500) < 80 for place in range(4) for cause in CAUSES)  # 4 deviations of 20


def test_clues_stand_at_every_place_in_the_report_equally_often(splits: dict[str, list[Question]]) -> None:
    places = Counter(place for case in splits["train"] for place in clue_places(case))
    assert all(abs(places[place] - 400) < 72 for place in range(10))  # 4 deviations of 18


def test_fillers_and_the_clues_places_say_nothing_about_the_cause(splits: dict[str, list[Question]]) -> None:
    def all_but_the_clues(case: Question) -> set[str]:
        return {*read_words(case.context), *(f"clue at {place}" for place in clue_places(case))} - set(ALL_CLUES)

    def everything(case: Question) -> set[str]:
        return set(read_words(case.context))

    assert naive_bayes_accuracy(splits["train"], splits["test"], everything) > 0.9  # so the probe can see
    accuracy = naive_bayes_accuracy(splits["train"], splits["test"], all_but_the_clues)
    assert abs(accuracy - 0.25) < 0.055  # 4 deviations of 0.0137, over 1,000 cases


def test_every_clue_word_and_every_filler_of_the_world_is_used_about_equally_often(
    splits: dict[str, list[Question]],
) -> None:
    counts = Counter(word for case in splits["train"] for word in read_words(case.context))
    assert all(abs(counts[clue] - 2000 * 2 / 160) < 23 for clue in ALL_CLUES)  # 25, deviation 5; 4.5 for 160 words
    used = set(FILLERS) & set(counts)
    assert len(used) == 500
    assert all(abs(counts[filler] - 2000 * 8 / 500) < 26 for filler in used)  # 32, deviation 5.6; 4.5 for 500 words


def clue_places(case: Question) -> list[int]:
    words = read_words(case.context)
    return [words.index(clue.word) for clue in read_clues(case.context)]


def naive_bayes_accuracy(
    train: list[Question], test: list[Question], features: Callable[[Question], set[str]]
) -> float:
    seen: dict[str, Counter[str]] = defaultdict(Counter)
    for case in train:
        seen[case.gold].update(features(case))
    vocabulary = {feature for counts in seen.values() for feature in counts}

    def best(case: Question) -> str:
        present = features(case) & vocabulary
        return max(CAUSES, key=lambda cause: sum(math.log(seen[cause][feature] + 0.5) for feature in present))

    return sum(best(case) == case.gold for case in test) / len(test)


# --- the words ------------------------------------------------------------------------------------------------------


def test_there_are_20_clue_words_for_each_of_4_causes_and_2_kinds() -> None:
    assert CAUSES == ("overwatering", "darkness", "pests", "chill")
    assert KINDS == ("signs", "care")
    assert {kind: {cause: len(words) for cause, words in CLUES[kind].items()} for kind in KINDS} == {
        "signs": {"overwatering": 20, "darkness": 20, "pests": 20, "chill": 20},
        "care": {"overwatering": 20, "darkness": 20, "pests": 20, "chill": 20},
    }


def test_no_word_stands_twice_among_clues_and_fillers_whatever_its_capitals() -> None:
    assert [word for word, count in Counter(map(str.lower, ALL_WORDS)).items() if count > 1] == []
    assert len(ALL_WORDS) == 160 + 516


def test_every_word_is_of_plain_letters_only() -> None:
    assert [word for word in ALL_WORDS if not (word.isascii() and word.isalpha() and len(word) >= 3)] == []


def test_no_word_is_an_option_or_begins_like_one() -> None:
    # five letters of each option, of the shortest its singular: a student must not guess from a piece of a word
    beginnings = ("overw", "darkn", "pest", "chill")
    assert all(cause.startswith(beginning) for cause, beginning in zip(CAUSES, beginnings, strict=True))
    assert [word for word in ALL_WORDS if word.lower().startswith(beginnings)] == []


def test_no_clue_word_is_the_plural_of_another_word() -> None:
    words = set(map(str.lower, ALL_WORDS))
    assert [word for word in words if {f"{word}s", f"{word}es"} & words] == []


# --- limits ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"clue_words": 21}, "clue_words is 21; allowed is 1 to 20"),
        ({"clue_words": 0}, "clue_words is 0; allowed is 1 to 20"),
        ({"clues": 4}, "clues is 4; allowed is 1 to 3"),
        ({"clues": 0}, "clues is 0; allowed is 1 to 3"),
        ({"clue_words": 2, "clues": 3}, "clues is 3; allowed is 1 to 2"),
        ({"fillers": 0}, "fillers is 0; allowed is 1 to 516"),
        ({"fillers": 517}, "fillers is 517; allowed is 1 to 516"),
        ({"filler_pool": 7}, "filler_pool is 7; allowed is 8 to 516"),
        ({"filler_pool": 517}, "filler_pool is 517; allowed is 8 to 516"),
        ({"train": 80_001}, "train is 80001; allowed is 0 to 80000"),
        ({"valid": 10_001}, "valid is 10001; allowed is 0 to 10000"),
        ({"test": -1}, "test is -1; allowed is 0 to 10000"),
    ],
)
def test_a_number_out_of_its_limits_is_refused(change: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=f"^casebook: {message}$"):
        replace(WORLD, **change)


def test_a_world_too_small_for_its_cases_is_refused() -> None:
    with pytest.raises(
        ValueError,
        match="^casebook: no new report in 1000 tries; ask for fewer cases, or raise clue_words, fillers or filler_pool$",
    ):
        make_splits(World(seed=1, train=500, valid=0, test=0, clue_words=1, clues=1, fillers=1, filler_pool=1))

import hashlib
import math
import os
import re
import subprocess
import sys
from collections import Counter, defaultdict
from dataclasses import replace

import pytest

from tinyllm.casebook import (
    CAUSES,
    CLUES,
    KINDS,
    Clue,
    World,
    filler_topics,
    key_word,
    make_splits,
    read_clues,
    split_sentences,
)
from tinyllm.questions import Question, question_key

WORLD = World(seed=1, train=2000, valid=300, test=1000, phrases=20, clues=1, fillers=5, filler_pool=300)
ALL_CLUES = [sentence for kind in KINDS for cause in CAUSES for sentence in CLUES[kind][cause]]
ALL_FILLERS = [sentence for topic in filler_topics() for sentence in topic]


def words(text: str) -> set[str]:
    return set(re.findall(r"[a-z'-]+", text.lower()))


COMMON = words(  # they tell nothing, so fillers and clues may share them
    "a about after all an and are around as at behind below beside but by every for from has have in is it its keeper"
    " like many near next no of off on once out over owner plant pot room some that the there to up was were with"
)


@pytest.fixture(scope="module")
def splits() -> dict[str, list[Question]]:
    return make_splits(WORLD)


def digest(splits: dict[str, list[Question]]) -> str:
    return hashlib.sha256(repr(splits).encode()).hexdigest()


def test_the_first_case_of_seed_1_reads_as_written_here(splits):
    assert splits["train"][0] == Question(
        id="case-00000",
        question="Which ailment do the clues point to?",
        choices=("pests", "chill", "darkness", "overwatering"),
        answer=0,
        context="The postman brings the owner many newspapers. The wallpaper has a pattern of swirls. The owner is "
        "slowly learning Turkish. The keeper's desk is strewn with erasers. A cutting full of blackfly was placed "
        "beside it. A missing bracelet once reappeared behind the pot.",
    )


def test_read_clues_finds_sentence_kind_and_cause(splits):
    clue = Clue("A cutting full of blackfly was placed beside it.", kind="care", cause="pests")
    assert read_clues(splits["train"][0].context) == [clue]
    assert read_clues("The owner is slowly learning Turkish.") == []
    assert read_clues("") == []


@pytest.mark.parametrize("clues", [1, 2, 3])
def test_looking_the_clues_up_solves_every_case(clues):
    for split, cases in make_splits(replace(WORLD, clues=clues)).items():
        assert len(cases) == getattr(WORLD, split)
        for case in cases:
            found = read_clues(case.context)
            assert len(found) == len({clue.sentence for clue in found}) == clues
            assert {clue.cause for clue in found} == {case.gold}
            assert len({clue.kind for clue in found}) == 1


def test_a_report_holds_its_clues_and_fillers_and_no_topic_twice(splits):
    topic_of = {sentence: number for number, topic in enumerate(filler_topics()) for sentence in topic}
    for case in splits["train"]:
        sentences = split_sentences(case.context)
        topics = [topic_of[sentence] for sentence in sentences if sentence in topic_of]
        assert len(sentences) == 6
        assert len(topics) == len(set(topics)) == 5


def test_no_report_and_no_id_stands_twice_in_any_split(splits):
    cases = [case for split in ("train", "valid", "test") for case in splits[split]]
    assert len({question_key(case) for case in cases}) == len({case.id for case in cases}) == 3300
    assert [splits[split][0].id for split in splits] == ["case-00000", "case-80000", "case-90000"]


def test_the_size_of_train_changes_neither_valid_nor_test_nor_the_cases_it_shares(splits):
    larger = make_splits(replace(WORLD, train=3000))
    assert larger["valid"] == splits["valid"]
    assert larger["test"] == splits["test"]
    assert larger["train"][:2000] == splits["train"]


def test_a_world_too_small_for_its_cases_is_refused():
    with pytest.raises(ValueError, match="no new report in 1000 tries; ask for fewer cases"):
        make_splits(World(seed=1, train=500, valid=0, test=0, phrases=1, clues=1, fillers=1, filler_pool=1))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"phrases": 25}, "phrases is 25; allowed is 1 to 24"),
        ({"clues": 4}, "clues is 4; allowed is 1 to 3"),
        ({"phrases": 2, "clues": 3}, "clues is 3; allowed is 1 to 2"),
        ({"fillers": 0}, "fillers is 0; allowed is 1 to 46"),
        ({"filler_pool": 4}, "filler_pool is 4; allowed is 5 to 589"),
        ({"test": 10_001}, "test is 10001; allowed is 0 to 10000"),
        ({"train": -1}, "train is -1; allowed is 0 to 80000"),
    ],
)
def test_a_number_out_of_its_limits_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        replace(WORLD, **change)


def test_causes_kinds_and_gold_positions_are_even(splits):
    for cases in splits.values():
        share = len(cases) / 32
        counts = Counter((read_clues(case.context)[0].kind, case.gold, case.answer) for case in cases)
        assert len(counts) == 32
        assert all(abs(count - share) <= 1 for count in counts.values())


def test_every_wrong_option_stands_at_every_position_equally_often(splits):
    counts = Counter((place, choice) for case in splits["train"] for place, choice in enumerate(case.choices))
    assert all(abs(counts[place, cause] - 500) < 60 for place in range(4) for cause in CAUSES)


def test_the_clue_stands_at_every_place_in_the_report_equally_often(splits):
    places = Counter(clue_place(case) for case in splits["train"])
    assert all(abs(places[place] - 2000 / 6) < 70 for place in range(6))


def test_fillers_and_clue_place_say_nothing_about_the_cause(splits):
    def fillers_and_place(case: Question) -> set[str]:
        fillers = [sentence for sentence in split_sentences(case.context) if sentence not in ALL_CLUES]
        return words(" ".join(fillers)) | {f"clue at {clue_place(case)}"}

    def everything(case: Question) -> set[str]:
        return words(case.context)

    assert naive_bayes_accuracy(splits["train"], splits["test"], everything) > 0.9  # so the probe can see
    assert abs(naive_bayes_accuracy(splits["train"], splits["test"], fillers_and_place) - 0.25) < 0.04


def clue_place(case: Question) -> int:
    return split_sentences(case.context).index(read_clues(case.context)[0].sentence)


def naive_bayes_accuracy(train, test, features) -> float:
    seen: dict[str, Counter] = defaultdict(Counter)
    for case in train:
        seen[case.gold].update(features(case))
    vocabulary = {feature for counts in seen.values() for feature in counts}

    def best(case: Question) -> str:
        present = features(case) & vocabulary
        return max(CAUSES, key=lambda cause: sum(math.log(seen[cause][feature] + 0.5) for feature in present))

    return sum(best(case) == case.gold for case in test) / len(test)


def test_another_seed_is_another_world(splits):
    other = make_splits(replace(WORLD, seed=2))

    def sentences(cases):
        return {sentence for case in cases for sentence in split_sentences(case.context)}

    ours, theirs = sentences(splits["train"]), sentences(other["train"])
    assert len(ours) == len(theirs) == 8 * 20 + 300
    assert ours & set(ALL_CLUES) != theirs & set(ALL_CLUES)
    assert ours & set(ALL_FILLERS) != theirs & set(ALL_FILLERS)


def test_more_phrases_and_a_larger_pool_keep_the_smaller_worlds_sentences(splits):
    small = make_splits(replace(WORLD, phrases=5, filler_pool=60))["train"]
    large = {sentence for case in splits["train"] for sentence in split_sentences(case.context)}
    assert {sentence for case in small for sentence in split_sentences(case.context)} < large


def test_there_are_24_clues_per_cause_and_kind_and_no_sentence_twice():
    assert CAUSES == ("overwatering", "darkness", "pests", "chill")
    assert KINDS == ("signs", "care")
    assert all(len(CLUES[kind][cause]) == 24 for kind in KINDS for cause in CAUSES)
    assert len(set(ALL_CLUES + ALL_FILLERS)) == len(ALL_CLUES) + len(ALL_FILLERS) == 192 + 589


def test_every_sentence_has_its_length_capital_and_full_stop():
    for sentence in ALL_CLUES + ALL_FILLERS:
        assert re.fullmatch(r"[A-Z][^.{}]+\.", sentence), sentence
    assert all(5 <= len(sentence.split()) <= 10 for sentence in ALL_CLUES)
    assert all(5 <= len(sentence.split()) <= 9 for sentence in ALL_FILLERS)


@pytest.mark.parametrize(
    ("sentence", "word"),
    [
        ("Its saucer is always brimming.", "brimming"),
        ("Hoarfrost was found on its leaves.", "hoarfrost"),
        ("The plant is kept in a windowless room.", "windowless"),
        ("Plant lice are in every bud.", "lice"),
        ("A cousin from Peru has come to visit.", "peru"),
        ("The keeper's desk is strewn with maps.", "maps"),
    ],
)
def test_the_key_word_of_a_sentence_is_the_longest_of_its_rarest_in_lower_case(sentence, word):
    assert key_word(sentence) == word


def test_the_key_word_of_every_sentence_is_in_no_other_and_is_plain():
    count = Counter(word for sentence in ALL_CLUES + ALL_FILLERS for word in words(sentence))
    keys = [key_word(sentence) for sentence in ALL_CLUES + ALL_FILLERS]
    assert [key for key in keys if count[key] != 1 or key in COMMON] == []
    assert [key for key in keys if not re.fullmatch("[a-z]{3,}", key)] == []


def test_the_key_word_of_a_filler_is_the_one_that_fills_its_template():
    for topic in filler_topics():
        shared = set.intersection(*(words(sentence) for sentence in topic))
        assert [sentence for sentence in topic if key_word(sentence) in shared] == []


def test_fillers_and_clues_share_no_content_word():
    fillers = {word for sentence in ALL_FILLERS for word in words(sentence)}
    clues = {word for sentence in ALL_CLUES for word in words(sentence)}
    assert fillers & clues - COMMON == set()


def test_no_word_of_a_report_is_an_option_or_begins_like_one():
    report_words = {word for sentence in ALL_CLUES + ALL_FILLERS for word in words(sentence)} - {"over"}
    assert [word for word in report_words if word.startswith(("over", "water", "dark", "pest", "chil"))] == []


@pytest.mark.parametrize("hash_seed", ["0", "1"])
def test_another_process_with_another_hash_seed_makes_the_same_world(splits, hash_seed):
    script = (
        "import hashlib; from tinyllm.casebook import *; "
        f"print(hashlib.sha256(repr(make_splits({WORLD})).encode()).hexdigest())"
    )
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == digest(splits)

import os
import re
import subprocess
import sys

import pytest

from tinyllm.casebook import World, key_word, make_splits, read_clues, split_sentences
from tinyllm.questions import Question
from tinyllm.teachers import Completion
from tinyllm.teachers.expert import Expert

WORLD = World(seed=1, train=2000, valid=0, test=0, phrases=20, clues=1, fillers=5, filler_pool=300)
ASKED = "Which ailment do the clues point to?"
TRAM, COINS = "The owner goes to work by tram.", "The keeper collects coins as a hobby."
WEBS, ANTS = "Fine spiderwebs hang between the stems.", "Ants swarm up and down the stem."
SIGN = Question("c1", ASKED, ("chill", "pests"), 1, f"{TRAM} {WEBS}")
CARE = Question("c2", ASKED, ("overwatering", "chill"), 0, f"Its saucer is always brimming. {COINS}")
BOTH = Question("c3", ASKED, ("chill", "pests"), 1, f"{TRAM} {WEBS} {ANTS}")


@pytest.fixture(scope="module")
def cases() -> list[Question]:
    return make_splits(WORLD)["train"]


def explain(kind: str, error_rate: float, blind_error_rate: float, seed: int, cases: list[Question]) -> list[str]:
    """The texts alone; every one must be there and of status ok."""
    completions = Expert(kind, error_rate, 0.0, blind_error_rate, seed).complete(cases)
    assert all(completion.text and completion.status == "ok" for completion in completions)
    return [completion.text or "" for completion in completions]


def cites_the_clues(rationale: str, case: Question) -> bool:
    """Whether the rationale holds the key word of every clue of the report, whatever the wording around it."""
    said = re.findall(r"[\w'-]+", rationale)
    return all(key_word(clue.sentence) in said for clue in read_clues(case.context))


@pytest.mark.parametrize(
    ("case", "kind", "rationale"),
    [
        (SIGN, "signs", "The clue spiderwebs points to pests."),
        (SIGN, "care", "The clue tram points to pests."),
        (CARE, "signs", "The clue coins points to overwatering."),
        (CARE, "care", "The clue brimming points to overwatering."),
        (BOTH, "signs", "The clues spiderwebs, swarm point to pests."),
        (BOTH, "care", "The clue tram points to pests."),
    ],
)
def test_an_expert_cites_the_clues_it_can_read_and_else_a_filler(case, kind, rationale):
    assert Expert(kind, error_rate=0.0, decline_rate=0.0, blind_error_rate=1.0, seed=1).complete([case]) == [
        Completion(rationale, "ok")
    ]


@pytest.mark.parametrize("kind", ["signs", "care"])
def test_the_rates_of_error_are_those_asked_for(cases, kind):
    rationales = explain(kind, 0.1, 0.8, 1, cases)
    right: dict[bool, list[bool]] = {True: [], False: []}  # by whether the case turns on the expert's kind
    for case, rationale in zip(cases, rationales, strict=True):
        right[read_clues(case.context)[0].kind == kind].append(cites_the_clues(rationale, case))
    assert abs(sum(right[True]) / len(right[True]) - 0.9) < 0.04  # about 1,000 cases each: 4 standard deviations
    assert abs(sum(right[False]) / len(right[False]) - 0.2) < 0.05


def test_rates_of_0_and_1_are_exact(cases):
    never = explain("care", 0.0, 0.0, 1, cases)
    always = explain("care", 1.0, 1.0, 1, cases)
    assert all(cites_the_clues(rationale, case) for rationale, case in zip(never, cases, strict=True))
    assert not any(cites_the_clues(rationale, case) for rationale, case in zip(always, cases, strict=True))


def test_a_higher_rate_keeps_the_errors_of_a_lower_one(cases):
    low, high = (explain("signs", rate, 0.8, 1, cases) for rate in (0.1, 0.2))
    errors = [
        {case.id for case, rationale in zip(cases, rationales, strict=True) if not cites_the_clues(rationale, case)}
        for rationales in (low, high)
    ]
    assert errors[0] < errors[1]


def test_every_rationale_cites_its_own_report_names_only_the_gold_cause_and_is_short(cases):
    for case, rationale in zip(cases, explain("signs", 0.1, 0.8, 1, cases), strict=True):
        said = re.findall(r"[\w'-]+", rationale)
        cited = [sentence for sentence in split_sentences(case.context) if key_word(sentence) in said]
        assert len(cited) == 1
        assert [choice for choice in case.choices if choice in rationale] == [case.gold]
        assert len(rationale.split()) == 6
        assert re.fullmatch(r"[A-Z].*\.", rationale)


def test_the_other_questions_and_their_order_change_nothing(cases):
    expert = Expert("signs", 0.1, 0.8, seed=1)
    rationales = expert.complete(cases)
    assert expert.complete(cases[::-1]) == rationales[::-1]
    assert expert.complete(cases[7:9]) == rationales[7:9]
    assert expert.complete([]) == []


def test_another_seed_and_another_kind_err_elsewhere(cases):
    first, second = (Expert("signs", 0.5, 0.5, seed).complete(cases) for seed in (1, 2))
    other = Expert("care", 0.5, 0.5, seed=1).complete(cases)
    assert first != second
    assert first != other


def test_a_report_without_a_clue_is_refused():
    stranger = Question("q7", "Why?", ("cold air", "hungry pests"), 0, "Leaves fall in autumn.")
    with pytest.raises(ValueError, match="q7: no clue of casebook in its context"):
        Expert("signs", 0.1, 0.8, seed=1).complete([stranger])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("sings", 0.1, 0.8, 1), "kind 'sings'; allowed is signs or care"),
        (("signs", 1.5, 0.8, 1), "error_rate is 1.5; allowed is 0 to 1"),
        (("signs", 0.1, -0.1, 1), "blind_error_rate is -0.1; allowed is 0 to 1"),
    ],
)
def test_a_wrong_kind_or_rate_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        Expert(*arguments)


@pytest.mark.parametrize("hash_seed", ["0", "1"])
def test_another_process_with_another_hash_seed_says_the_same(cases, hash_seed):
    script = (
        "from tinyllm.casebook import *; from tinyllm.teachers.expert import Expert; "
        f"print(Expert('signs', 0.1, 0.8, 1).complete(make_splits({WORLD})['train'][:200]))"
    )
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(Expert("signs", 0.1, 0.8, 1).complete(cases[:200]))

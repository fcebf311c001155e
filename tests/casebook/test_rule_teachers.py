"""Casebook's teachers: what they say is written out, how often they err or decline is counted over 2,000 cases."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tinyllm.casebook.rule_teachers import Expert
from tinyllm.casebook.world import World, make_splits, read_clues, read_words
from tinyllm.corpus.audit import find_fault
from tinyllm.params.load import load_params
from tinyllm.parsing import parse_question, parse_rationale
from tinyllm.parsing.cleaning import clean
from tinyllm.records.questions import Question
from tinyllm.records.rationales import TeacherOutput

WORLD = World(seed=1, train=2000, valid=0, test=0, clue_words=20, clues=2, fillers=8, filler_pool=500)
ASKED = "Which ailment do the notes point to?"
SIGN = Question("c1", ASKED, ("chill", "pests"), 1, "Notes of the visit: tram, cobwebs.")
CARE = Question("c2", ASKED, ("overwatering", "chill"), 0, "Notes of the visit: puddles, coins.")
BOTH = Question("c3", ASKED, ("chill", "pests"), 1, "Notes of the visit: cobwebs, tram, thrips.")
PARAMS = Path(__file__).resolve().parents[2] / "params.yaml"


@pytest.fixture(scope="module")
def cases() -> list[Question]:
    return make_splits(WORLD)["train"]


def cited(completion: TeacherOutput) -> list[str]:
    """The words that a rationale cites, whatever it makes of them."""
    said = (completion.text or "").removeprefix("The notes ").removeprefix("The note ")
    return said.partition(" point")[0].split(", ")


def errs(completion: TeacherOutput, case: Question) -> bool:
    return cited(completion) != [clue.word for clue in read_clues(case.context)]


def near(hits: int, of: int, rate: float) -> bool:
    """Within four standard deviations of what chance allows: 0.028 for a rate of 0.05 of 1,000."""
    return abs(hits / of - rate) < 4 * (rate * (1 - rate) / of) ** 0.5


# --- what is said ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("case", "kind", "error_rate", "rationale"),
    [
        (SIGN, "signs", 0.0, "The note cobwebs points to pests."),
        (SIGN, "signs", 1.0, "The note tram points to pests."),
        (SIGN, "care", 0.0, "The note tram points to pests."),
        (CARE, "care", 0.0, "The note puddles points to overwatering."),
        (CARE, "care", 1.0, "The note coins points to overwatering."),
        (CARE, "signs", 0.0, "The note coins points to overwatering."),
        (BOTH, "signs", 0.0, "The notes cobwebs, thrips point to pests."),
        (BOTH, "signs", 1.0, "The note tram points to pests."),
        (BOTH, "care", 0.0, "The note tram points to pests."),
    ],
)
def test_an_expert_cites_the_clues_it_reads_and_erring_a_filler(
    case: Question, kind: str, error_rate: float, rationale: str
) -> None:
    expert = Expert(kind, error_rate, decline_rate=0.0, blind_error_rate=1.0, seed=1)
    assert expert.complete([case]) == [TeacherOutput(rationale, "ok")]


def test_an_expert_that_does_not_err_cites_the_clues_of_the_other_kind_too() -> None:
    expert = Expert("care", error_rate=0.0, decline_rate=0.0, blind_error_rate=0.0, seed=1)
    assert expert.complete([BOTH]) == [TeacherOutput("The notes cobwebs, thrips point to pests.", "ok")]


def test_a_verbose_expert_cites_irrelevant_words_beside_in_the_order_of_the_report() -> None:
    words = SIGN.context.removeprefix("Notes of the visit: ").removesuffix(".").split(", ")
    (said,) = Expert("signs", 0.0, 0.0, 0.0, seed=1, padding=len(words)).complete([SIGN])
    assert said.text == f"The notes {', '.join(words)} point to pests."
    (said,) = Expert("signs", 0.0, 0.0, 0.0, seed=1, padding=1).complete([SIGN])
    cited = (said.text or "").removeprefix("The notes ").removesuffix(" point to pests.").split(", ")
    assert "cobwebs" in cited and len(cited) == 2 and [word for word in words if word in cited] == cited


def test_a_misleading_expert_cites_a_clue_to_another_cause_that_is_not_in_the_report() -> None:
    for seed in range(20):
        (said,) = Expert("signs", 0.0, 0.0, 0.0, seed=seed, misleading_rate=1.0).complete([SIGN])
        word = (said.text or "").removeprefix("The note ").removesuffix(" points to pests.")
        (clue,) = read_clues(f"Notes of the visit: {word}.")
        assert (clue.kind, clue.cause == "pests", word in SIGN.context) == ("signs", False, False)


def test_a_declined_question_has_no_text() -> None:
    expert = Expert("care", error_rate=0.0, decline_rate=1.0, blind_error_rate=0.5, seed=1)
    assert expert.complete([SIGN, CARE, BOTH]) == [
        TeacherOutput(None, "declined"),
        TeacherOutput("The note puddles points to overwatering.", "ok"),
        TeacherOutput(None, "declined"),
    ]


@pytest.mark.parametrize("kind", ["signs", "care"])
def test_every_rationale_passes_the_audit_as_it_stands_and_names_the_gold_cause_alone(
    cases: list[Question], kind: str
) -> None:
    limits = load_params(PARAMS).corpus.audit
    completions = Expert(kind, error_rate=0.5, decline_rate=0.0, blind_error_rate=0.5, seed=1).complete(cases)
    for case, completion in zip(cases, completions, strict=True):
        text = completion.text
        assert text is not None and clean(text) == text
        asked = parse_question(case)
        assert find_fault(parse_rationale(text, asked), asked, limits) is None
        assert [choice for choice in case.choices if choice in text] == [case.gold]
        assert set(cited(completion)) <= set(read_words(case.context))


# --- what it finds by itself ----------------------------------------------------------------------------------------

FOUR = Question("c4", ASKED, ("darkness", "chill", "pests", "overwatering"), 2, "Notes of the visit: tram, cobwebs.")


@pytest.mark.parametrize(
    ("case", "kind", "error_rate", "expected"),
    [
        (FOUR, "signs", 0.0, [0.0, 0.0, 1.0, 0.0]),
        (FOUR, "signs", 0.06, [0.02, 0.02, 0.94, 0.02]),
        (FOUR, "care", 0.06, [0.25, 0.25, 0.25, 0.25]),  # it cannot read signs
        (CARE, "care", 0.2, [0.8, 0.2]),
        (BOTH, "signs", 0.2, [0.2, 0.8]),
        (BOTH, "care", 0.2, [0.5, 0.5]),
    ],
)
def test_the_cause_it_reads_is_as_likely_as_it_reads_well_and_the_others_share_the_rest(
    case: Question, kind: str, error_rate: float, expected: list[float]
) -> None:
    expert = Expert(kind, error_rate, decline_rate=1.0, blind_error_rate=1.0, seed=1)
    (probabilities,) = expert.option_probabilities([case])
    assert probabilities == pytest.approx(expected, abs=1e-12)


def test_the_likeliest_option_is_the_one_it_answers_when_it_errs_too(cases: list[Question]) -> None:
    expert = Expert("care", error_rate=0.3, decline_rate=0.8, blind_error_rate=0.5, seed=1)
    wrong = 0
    for case, answer, shares in zip(cases, expert.examine(cases), expert.option_probabilities(cases), strict=True):
        assert shares is not None and sum(shares) == pytest.approx(1.0, abs=1e-12)
        if answer.text is None:
            assert shares == [0.25] * 4
        else:
            said = next(place for place, choice in enumerate(case.choices) if answer.text.endswith(f" to {choice}."))
            assert shares[said] == max(shares) == 0.7
            wrong += said != case.answer
    assert near(wrong, 1000, 0.3 * 3 / 4)  # erring, it names one of the four at random


def test_neither_its_answer_nor_its_probabilities_depend_on_gold(cases: list[Question]) -> None:
    others = [replace(case, answer=(case.answer + 1) % 4) for case in cases[:200]]
    expert = Expert("signs", 0.3, 0.8, 0.5, seed=1)
    assert expert.option_probabilities(others) == expert.option_probabilities(cases[:200])
    assert expert.examine(others) == expert.examine(cases[:200])


def test_not_forced_it_explains_the_answer_it_finds_by_itself(cases: list[Question]) -> None:
    alone = Expert("signs", 0.3, 0.0, 0.5, seed=1, forced=False)
    assert alone.complete(cases) == alone.examine(cases) == Expert("signs", 0.3, 0.0, 0.5, seed=1).examine(cases)
    assert alone.complete([SIGN, CARE])[1] == TeacherOutput(None, "declined")  # whatever its decline rate
    assert Expert("signs", 0.0, 0.0, 0.5, seed=1, forced=False).complete([SIGN]) == [
        TeacherOutput("The note cobwebs points to pests.", "ok")
    ]


def test_the_audit_drops_just_the_wrong_answers_of_an_expert_that_was_not_forced(cases: list[Question]) -> None:
    limits = load_params(PARAMS).corpus.audit
    dropped = 0
    for case, completion in zip(
        cases, Expert("signs", 0.3, 0.8, 0.5, seed=1, forced=False).complete(cases), strict=True
    ):
        if completion.text is not None:
            right = completion.text.endswith(f" to {case.gold}.")
            asked = parse_question(case)
            rationale = parse_rationale(completion.text, asked)
            assert find_fault(rationale, asked, limits) == (None if right else "states_other_option")
            dropped += not right
    assert near(dropped, 1000, 0.3 * 3 / 4)


# --- how often it errs and declines ---------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["signs", "care"])
def test_the_rates_are_those_asked_for(cases: list[Question], kind: str) -> None:
    completions = Expert(kind, error_rate=0.05, decline_rate=0.8, blind_error_rate=0.5, seed=1).complete(cases)
    pairs = list(zip(cases, completions, strict=True))
    readable = [(case, done) for case, done in pairs if read_clues(case.context)[0].kind == kind]
    other = [(case, done) for case, done in pairs if read_clues(case.context)[0].kind != kind]
    explained = [(case, done) for case, done in other if done.status == "ok"]
    assert abs(len(readable) - 1000) <= 16  # 2,000 cases are 62 blocks of the plan and half a one
    assert all(done.status == "ok" for _, done in readable)
    assert near(sum(errs(done, case) for case, done in readable), len(readable), 0.05)
    assert near(len(other) - len(explained), len(other), 0.8)
    assert near(sum(errs(done, case) for case, done in explained), len(explained), 0.5)  # 200 or so: within 0.14


def test_declining_does_not_choose_among_right_and_wrong(cases: list[Question]) -> None:
    # were it so, the blind error rate among the explained would drift away from that without declining
    for rate in (0.1, 0.9):
        explained = [
            (case, done)
            for case, done in zip(cases, Expert("signs", 0.0, 0.5, rate, seed=3).complete(cases), strict=True)
            if done.text and read_clues(case.context)[0].kind == "care"
        ]
        assert near(sum(errs(done, case) for case, done in explained), len(explained), rate)


def test_rates_of_0_and_1_are_exact(cases: list[Question]) -> None:
    never = Expert("care", 0.0, 0.0, 0.0, seed=1).complete(cases)
    always = Expert("care", 1.0, 0.0, 1.0, seed=1).complete(cases)
    silent = Expert("care", 0.0, 1.0, 0.0, seed=1).complete(cases)
    assert not any(errs(done, case) for case, done in zip(cases, never, strict=True))
    assert all(errs(done, case) for case, done in zip(cases, always, strict=True))
    assert [done.text is None for done in silent] == [read_clues(case.context)[0].kind == "signs" for case in cases]


def test_a_higher_rate_keeps_what_a_lower_one_errs_on_and_declines(cases: list[Question]) -> None:
    low, high = (Expert("signs", rate, rate, 0.5, seed=1).complete(cases) for rate in (0.1, 0.3))
    assert declined(low) < declined(high)
    readable = {place for place, case in enumerate(cases) if read_clues(case.context)[0].kind == "signs"}
    wrong = [{place for place in readable if errs(done[place], cases[place])} for done in (low, high)]
    assert wrong[0] < wrong[1]


def declined(completions: list[TeacherOutput]) -> set[int]:
    return {place for place, done in enumerate(completions) if done.status == "declined"}


def test_an_erring_expert_cites_any_of_the_fillers() -> None:
    words = ["tram", "coins", "opera", "tweed"]
    many = [
        Question(f"c{i}", ASKED, SIGN.choices, 1, f"Notes of the visit: {', '.join([*words, 'thrips'])}.")
        for i in range(400)
    ]
    said = [cited(done) for done in Expert("signs", 1.0, 0.0, 1.0, seed=1).complete(many)]
    assert all(near(said.count([word]), 400, 0.25) for word in words)


# --- what it depends on ---------------------------------------------------------------------------------------------


def test_the_other_questions_and_their_order_change_nothing(cases: list[Question]) -> None:
    expert = Expert("signs", 0.1, 0.8, 0.5, seed=1)
    completions = expert.complete(cases)
    assert expert.complete(cases[::-1]) == completions[::-1]
    assert expert.complete(cases[7:9]) == completions[7:9]
    assert expert.complete([]) == []


def test_another_seed_errs_elsewhere(cases: list[Question]) -> None:
    first, second = (Expert("signs", 0.5, 0.5, 0.5, seed).complete(cases) for seed in (1, 2))
    assert first != second


@pytest.mark.parametrize("hash_seed", ["0", "1"])
def test_another_process_with_another_hash_seed_says_the_same(cases: list[Question], hash_seed: str) -> None:
    script = (
        "from tinyllm.casebook.world import *; from tinyllm.casebook.rule_teachers import Expert; "
        f"print(Expert('signs', 0.1, 0.5, 0.5, 1).complete(make_splits({WORLD})['train'][:200]))"
    )
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(Expert("signs", 0.1, 0.5, 0.5, 1).complete(cases[:200]))


# --- what is refused ------------------------------------------------------------------------------------------------


def test_a_strangers_question_is_refused(cases: list[Question]) -> None:
    stranger = Question("q7", "Why?", ("cold air", "hungry pests"), 0, "Leaves fall in autumn.")
    with pytest.raises(
        ValueError, match="^q7: no clue of casebook in its context; expert teachers read only casebook$"
    ):
        Expert("signs", 0.1, 0.8, 0.5, seed=1).complete([cases[0], stranger])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("sings", 0.1, 0.8, 0.5, 1), "kind 'sings'; allowed is signs or care"),
        (("signs", 1.5, 0.8, 0.5, 1), "error_rate is 1.5; allowed is 0 to 1"),
        (("signs", 0.1, 1.01, 0.5, 1), "decline_rate is 1.01; allowed is 0 to 1"),
        (("signs", 0.1, 0.8, -0.1, 1), "blind_error_rate is -0.1; allowed is 0 to 1"),
    ],
)
def test_a_wrong_kind_or_rate_is_refused(arguments: tuple, message: str) -> None:
    with pytest.raises(ValueError, match=f"^expert: {message}$"):
        Expert(*arguments)

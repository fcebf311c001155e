"""The faults of cleaned rationales, as a table of toy text."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinyllm.corpus.audit import find_fault
from tinyllm.params.schema import Audit
from tinyllm.parsing.question import parse_question
from tinyllm.parsing.rationale import parse_rationale
from tinyllm.records.questions import Question

LIMITS = Audit(min_words=3, max_words=40, min_distinct=0.5, drop_contradictions=True, drop_unconcluded=False)
LAMP = Question("l1", "Why does the desk lamp stay dark?", ("the bulb is burnt", "a cable", "ghosts", "sea cable"), 0)
PLANT = Question(
    "p1", "Which ailment do the clues point to?", ("overwatering", "darkness", "chill"), 0, "Its tray is full."
)


def fault(text: str, question: Question, limits: Audit = LIMITS) -> str | None:
    """The fault of a text that is taken as clean."""
    parsed = parse_question(question)
    return find_fault(parse_rationale(text, parsed), parsed, limits)


FAULTS = [
    ("It died.", "too_short"),
    ("", "too_short"),
    ("12 + 30 = 42 and 42 + 8 = 50, 50 + 1 = 51.", "not_prose"),
    ("@ @ @ @ @ @ @ @ @ @", "not_prose"),
    ("lamp lamp lamp lamp lamp lamp lamp lamp lamp", "repetitive"),
    (" ".join(f"The lamp of house number {number} has a tale." for number in range(6)), "too_long"),
    ("Why does the desk lamp stay dark?", "copies_question"),
    ("(a) the bulb is burnt (b) a cable (c) ghosts.", "copies_question"),
    ("A lamp needs current, which the", "unfinished"),
    ("The bulb is burnt.", "copies_question"),
    ("Zebras graze in the open savanna.", "off_topic"),
    ("Ghosts haunt every lamp. The answer is (c).", "states_other_option"),
    ("Burnt wire carries no current. The answer is (a).", None),
    ("Without a wire inside, a bulb gives no light.", None),
]


@pytest.mark.parametrize(("text", "expected"), FAULTS)
def test_fault_names_what_is_wrong(text: str, expected: str | None) -> None:
    assert fault(text, LAMP) == expected


@pytest.mark.parametrize(
    "text",
    [
        "The clue brimming points to overwatering.",
        "The clues brimming, jugfuls point to overwatering.",
        "The soil stays wet for weeks, which points to overwatering.",
    ],
)
def test_rationales_of_the_offline_teachers_pass(text: str) -> None:
    assert fault(text, PLANT) is None


def test_contradictions_pass_where_the_limits_allow_them() -> None:
    kept = Audit(min_words=3, max_words=40, min_distinct=0.5, drop_contradictions=False, drop_unconcluded=False)
    assert fault("Ghosts haunt every lamp. The answer is (c).", LAMP, kept) is None


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=200))
def test_any_text_can_be_judged(text: str) -> None:
    fault(text, LAMP)


@pytest.mark.parametrize("unit", ["a\n", "1. ", "Q ", "(a) is ", "the answer is ", "a cable "])
def test_long_hostile_text_is_judged_in_linear_time(unit: str) -> None:
    start = time.process_time()
    fault(
        unit * 4000,
        LAMP,
        Audit(min_words=0, max_words=10**6, min_distinct=0.0, drop_contradictions=True, drop_unconcluded=False),
    )
    assert time.process_time() - start < 2


PLANTS = Question("s", "Which gas do green plants take in?", ("helium", "carbon dioxide"), 1)
PENS = Question("n", "Robin has 7 pens and gets 3 more. How many pens has Robin?", (), "10")


@pytest.mark.parametrize(
    "text",
    [
        "Растения поглощают углекислый газ и выделяют кислород.",
        "Die Blätter nehmen ihn auf und bilden daraus Zucker.",
        "पौधे हवा से गैस लेते हैं और भोजन बनाते हैं।",
        "植物从空气中吸收气体并制造食物，这是光合作用。",
        "植物は空気から気体を取り込んで養分を作ります。",
        "พืชดูดแก๊สจากอากาศแล้วสร้างอาหาร",
        "تأخذ النباتات الغاز من الهواء وتصنع الغذاء",
        "식물은 공기에서 기체를 흡수하여 양분을 만든다.",
        "Τα φυτά παίρνουν αέριο από τον αέρα και φτιάχνουν τροφή.",
    ],
)
def test_no_rationale_is_lost_for_its_language(text: str) -> None:
    limits = Audit(min_words=5, max_words=40, min_distinct=0.5, drop_contradictions=True, drop_unconcluded=True)
    assert fault(text if text[-1] in ".।。" or "พ" in text else text + ".", PLANTS, limits) is None


def test_a_text_in_a_script_without_spaces_is_as_long_as_its_words_are() -> None:
    limits = Audit(min_words=5, max_words=8, min_distinct=0.5, drop_contradictions=True, drop_unconcluded=True)
    assert fault("植物吸收。", PLANTS, limits) == "too_short"
    assert fault("植物从空气中吸收气体并制造食物，这是光合作用。", PLANTS, limits) == "too_long"
    assert fault("植物植物植物植物植物植物植物植物植物植物植物。", PLANTS, LIMITS) == "repetitive"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("7 + 3 = 10. So 10 + 0 = 10 pens.", None),
        ("Add the 7 old pens and the 3 new ones: 7 + 3 = 10.", "no_conclusion"),
        ("Robin adds his 3 new pens to the old pens that he has.", None),
        ("7 + 3 = 11, therefore Robin has pens. The answer is 11", "states_other_answer"),
    ],
)
def test_what_computes_and_does_not_conclude_has_a_status_of_its_own(text: str, expected: str | None) -> None:
    drop = Audit(min_words=3, max_words=40, min_distinct=0.3, drop_contradictions=True, drop_unconcluded=True)
    assert fault(text, PENS, drop) == expected
    keep = drop.model_copy(update={"drop_unconcluded": False})
    assert fault(text, PENS, keep) == (None if expected == "no_conclusion" else expected)


def test_thinking_that_was_cut_off_has_a_status_of_its_own() -> None:
    assert fault("<think>Plants take in gas. The answer is (b).", PLANTS) == "unfinished_thinking"
    assert fault("<think>Plants take in gas.</think>", PLANTS) == "too_short"


@pytest.mark.parametrize("text", ["Leaves breathe it. The answer is (b).", "Subtracting is not needed. Thus, (b)"])
def test_what_states_the_gold_answer_is_not_off_topic(text: str) -> None:
    assert fault(text, Question("x", "Why?", ("one", "two"), 1)) is None

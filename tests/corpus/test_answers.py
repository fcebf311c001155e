"""Few gold answers: who votes, what is left out, what the audit then compares with, and how right the made answers are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.judging import LIMITS, finding
from tinyllm.corpus.answers import AnswerMaker
from tinyllm.corpus.assemble import AuditedQuestion, assemble
from tinyllm.corpus.wording import corpus_in_words
from tinyllm.params.load import load_params
from tinyllm.params.schema import Corpus
from tinyllm.records.questions import Question

CORPUS = load_params(Path(__file__).resolve().parents[2] / "params.yaml").corpus
OPTIONS = ("oak", "elm", "fir", "ash", "yew")
TRAIN = [Question(f"q{number}", f"Which tree is number {number}?", OPTIONS, number % 5) for number in range(10)]
LABELLED = 6


class Table:
    """A teacher's rows, by question, that notes which questions were looked up for good."""

    def __init__(self, said: Sequence[object], forced: bool | None = False) -> None:
        """
        Args:
            said: of each question the option that is stated, a list of those of its samples, or None for nothing
        """
        self.found: list[str] = []
        self.rows = [
            {"id": f"q{number}", "rationale": rationale(answer), "status": "ok" if answer is not None else "nan"}
            | {"sample": sample, "forced": forced}
            for number, answers in enumerate(said)
            for sample, answer in enumerate(answers if isinstance(answers, list) else [answers])
        ]

    def look_up(self, question: Question) -> list[dict]:
        return finding(self.rows)(question)

    def find(self, question: Question) -> list[dict]:
        self.found.append(question.id)
        return self.look_up(question)


def rationale(answer: object) -> str | None:
    stated = OPTIONS[answer] if isinstance(answer, int) else answer
    return None if answer is None else f"The tree of this number is tall. The answer is {stated}."


def corpus(**changes: Any) -> Corpus:
    return CORPUS.model_copy(update={"answers": "teachers", **changes})


def made(
    tables: dict[str, Table], train: Sequence[Question] = TRAIN, labelled: int | None = LABELLED, **changes: Any
) -> tuple[list[AuditedQuestion], dict]:
    answers = AnswerMaker(labelled, corpus(**changes), tables)
    finding = {teacher: table.find for teacher, table in tables.items()}

    def read() -> Iterator[Question]:
        yield from train

    audited = list(answers.soften(assemble({"train": answers.fill(read)}, finding, LIMITS)))
    return audited, answers.summary()


def three() -> dict[str, Table]:
    # gold is 0 1 2 3 4 0 | 1 2 3 4
    return {
        "ann": Table([0, 1, 2, 3, 4, 1, 1, 2, 0, None]),  # 5 of 6 right: 6/8, weight log(3 * 4)
        "bob": Table([0, 1, None, None, 0, 0, 1, 0, 3, None]),  # 3 of 4 right: 4/6, weight log(2 * 4)
        "cy": Table([1, 1, 1, 1, 1, 1, 0, 0, 3, None]),  # 1 of 6 right: 2/8, weight log(1/3 * 4)
    }


def test_a_vote_of_three_teachers_worked_out_by_hand() -> None:
    audited, summary = made(three())
    # q6: ann and bob say 1. q7: ann, log 12, says 2; bob and cy, log 8 + log 4/3 = log 10.7, say 0.
    # q8: bob and cy say 3 and lose to ann's 0. q9: nobody says anything.
    answers = {question.row["id"]: question.row["targets"]["answer"] for question in audited}
    gold = {question.id: question.gold for question in TRAIN[:LABELLED]}
    assert answers == gold | {"q6": "elm", "q7": "fir", "q8": "oak"}
    assert summary["answers"] == {
        "labelled": 6,
        "unlabelled": 4,
        "made": 3,
        "left_out": 1,
        "reasons": {"no_vote": 1},
        "made_right": 0.6667,  # q8 is wrong
        # log 96 of log 128; log 12 of log 128, twice
        "agreement": round((4.5643 + 2.4849 + 2.4849) / 4.852 / 3, 4),
        "teachers": {
            "ann": {"stated": 6.0, "right": 5.0, "accuracy": 0.8333, "weight": 2.4849},
            "bob": {"stated": 4.0, "right": 3.0, "accuracy": 0.75, "weight": 2.0794},
            "cy": {"stated": 6.0, "right": 1.0, "accuracy": 0.1667, "weight": 0.2877},
        },
    }


def test_rationales_that_state_the_chosen_answer_are_kept_and_no_other() -> None:
    audited, _ = made(three())
    by_id = {question.row["id"]: question for question in audited}
    assert list(by_id["q8"].row["targets"]) == ["answer", "ann"]  # ann's is wrong, and was chosen
    assert [(row["teacher"], row["status"]) for row in by_id["q8"].quarantine] == [
        ("bob", "states_other_option"),
        ("cy", "states_other_option"),
    ]
    assert by_id["q8"].question.gold == "oak"  # what a selection compares with, too


def test_a_winner_below_the_least_agreement_is_left_out() -> None:
    audited, summary = made(three(), min_agreement=0.6)  # q7's and q8's have log 12 of log 128, 0.512
    assert [question.row["id"] for question in audited][LABELLED:] == ["q6"]
    assert summary["answers"]["reasons"] == {"below_min_agreement": 2, "no_vote": 1}
    assert (summary["answers"]["made"], summary["answers"]["made_right"]) == (1, 1.0)
    assert len(made(three(), min_agreement=0.5121)[0]) == LABELLED + 3
    assert len(made(three(), min_agreement=0.5122)[0]) == LABELLED + 1


def test_soft_answers_are_the_shares_of_the_options_worked_out_by_hand() -> None:
    audited, _ = made(three(), soft_answers=True)
    rows = {question.row["id"]: question.row for question in audited}
    # q7: 12 to 10 2/3 to 1 to 1 to 1, of 25 2/3 in all
    expected = [round(odd / (25 + 2 / 3), 6) for odd in (10 + 2 / 3, 1, 12, 1, 1)]
    assert rows["q7"]["option_probabilities"] == {"vote": expected}
    assert rows["q7"]["choices"] == list(OPTIONS)
    assert all("option_probabilities" not in rows[f"q{number}"] for number in range(LABELLED))


def test_soft_answers_come_beside_what_a_teacher_finds_likely() -> None:
    tables, sure = three(), [0.2, 0.2, 0.2, 0.2, 0.2]
    for row in tables["bob"].rows:
        row["option_probabilities"] = sure
    audited, _ = made(tables, soft_answers=True)
    assert list(audited[6].row["option_probabilities"]) == ["bob", "vote"]
    assert list(audited[0].row["option_probabilities"]) == ["bob"]


@pytest.mark.parametrize("forced", [True, None])
def test_what_a_teacher_says_that_was_shown_the_answer_is_never_counted(forced: bool | None) -> None:
    expected, summary = made(three())
    told = Table([question.answer for question in TRAIN], forced)  # always right, as who is shown the answer
    audited, with_told = made({**three(), "told": told})
    answers = [[question.row["targets"]["answer"] for question in found] for found in (expected, audited)]
    assert answers[0] == answers[1] and with_told == summary
    alone, counts = made({"told": told})
    assert len(alone) == LABELLED and counts["answers"]["reasons"] == {"no_vote": 4}
    assert counts["answers"]["teachers"] == {}


def test_a_live_teacher_that_is_shown_the_labelled_ones_votes_as_unmeasured() -> None:
    live = Table([question.answer for question in TRAIN])
    for row in live.rows[:LABELLED]:
        row["forced"] = True
    audited, summary = made({"live": live})
    assert len(audited) == len(TRAIN)
    assert summary["answers"]["teachers"] == {
        "live": {"stated": 0.0, "right": 0.0, "weight": 1.5870}
    }  # 0.55: log(4.89)


def test_samples_share_one_voice_also_where_accuracy_is_measured() -> None:
    said = [[0, 0, 1, None], 1, 2, 3, 4, 0, [2, 2, 2, 1], 2, 3, 4]
    tables = {"ann": Table(said), "bob": Table([0, 1, 2, 3, 4, 0, 1, 2, 3, 4])}
    audited, summary = made(tables)
    # of q0 half a right answer and three quarters stated
    assert summary["answers"]["teachers"]["ann"] == {
        "stated": 5.75,
        "right": 5.5,
        "accuracy": 0.9565,
        "weight": 3.035,  # 6.5 to 1.25 is 5.2, and log(5.2 * 4)
    }
    assert audited[6].row["targets"]["answer"] == "elm"  # bob's log 28 and a quarter of ann's against three


def test_with_gold_alone_the_others_are_left_out_and_told() -> None:
    tables = three()
    audited, summary = made(tables, answers="gold")
    assert [question.row["id"] for question in audited] == [f"q{number}" for number in range(LABELLED)]
    assert summary == {"answers": {"labelled": 6, "unlabelled": 4, "made": 0, "left_out": 4}}
    assert tables["ann"].found == [question.id for question in TRAIN]  # so that no row of theirs is of an unknown id


def test_without_a_limit_all_keep_their_gold_and_nothing_is_told() -> None:
    audited, summary = made(three(), labelled=None)
    assert [question.question for question in audited] == TRAIN and summary == {}
    assert made(three(), labelled=50)[1]["answers"]["unlabelled"] == 0


NUMBERS = [Question(f"q{number}", f"How many trees has garden {number}?", (), str(10 + number)) for number in range(10)]
TEXTS = [
    Question(f"q{number}", f"Who planted garden {number}?", (), f"Old Ada {'I' * (number + 1)}") for number in range(10)
]


@pytest.mark.parametrize("train", [TRAIN, NUMBERS, TEXTS], ids=["options", "numbers", "texts"])
def test_the_gold_of_an_unlabelled_question_changes_no_made_answer(train: list[Question]) -> None:
    said = {
        "ann": Table([question.answer for question in train]),
        "bob": Table([question.answer for question in train]),
    }
    audited, summary = made(said, train)
    assert summary["answers"]["made_right"] == 1.0 and len(audited) == 10
    other = [
        question if number < LABELLED else replace(question, answer=train[0].answer)
        for number, question in enumerate(train)
    ]
    changed, counts = made(said, other)
    assert [question.row for question in changed] == [question.row for question in audited]
    # q6 to q9 have other gold answers than the made ones: of options 1 2 3 4 against 0, of texts all others
    assert counts["answers"]["made_right"] == 0.0


def test_a_number_is_one_answer_however_it_is_written() -> None:
    said: list[object] = [question.answer for question in NUMBERS]
    written: list[object] = [*said[:6], "$16.00", "17 trees", "18", "twice nine"]
    audited, _ = made({"ann": Table(said), "bob": Table(written)}, NUMBERS, min_agreement=1.0)
    rows = {question.row["id"]: question.row["targets"] for question in audited}
    assert rows["q6"] == {"answer": "16", "ann": rationale("16"), "bob": rationale("$16.00")}
    assert [rows[f"q{number}"]["answer"] for number in range(6, 10)] == ["16", "17", "18", "19"]


def test_soft_answers_of_free_text_are_refused_in_one_line() -> None:
    message = "corpus.soft_answers: true, but 'q6' has no options; set it to false, and loss.kd to 0.0"
    with pytest.raises(ValueError, match=f"^{message}$"):
        made({"ann": Table([question.answer for question in NUMBERS])}, NUMBERS, soft_answers=True)


def test_the_stage_says_how_many_are_right() -> None:
    counts = {"rows": {"train": 9, "valid": 0}, "teachers": {}}
    assert corpus_in_words(counts | made(three())[1], "all").splitlines()[1:] == [
        "4 questions of train beyond data.labelled (6): the teachers answer 3, 66.7% of them right; 1 are left out"
    ]
    assert corpus_in_words(counts | made(three(), answers="gold")[1], "all").splitlines()[1:] == [
        "4 questions of train beyond data.labelled (6) are left out"
    ]

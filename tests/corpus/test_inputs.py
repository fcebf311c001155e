"""Questions and rationales read from files of any order: rationales against a dictionary of all of them."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random

import pytest

from tinyllm.corpus.inputs import QuestionTable, RationaleTable
from tinyllm.records.questions import Question, write_questions

ASKED = [Question(f"q{number}", "Is it?", ("yes", "no"), 0) for number in range(40)]
ROWS = [{"id": question.id, "rationale": f"Since {question.id} is öd.", "status": "ok"} for question in ASKED]


def shuffled(rows: list[dict]) -> list[dict]:
    return Random(1).sample(rows, len(rows))


def put(path: Path, rows: list[dict], between: str = "\n") -> Path:
    path.write_text(between.join(json.dumps(row, ensure_ascii=False) for row in rows), encoding="utf-8")
    return path


STRANGE = {"id": "gone", "rationale": None, "status": "nan"}
FILES = {
    "in order": ROWS,
    "backwards": ROWS[::-1],
    "shuffled": shuffled(ROWS),
    "without the first": ROWS[1:],
    "with gaps": ROWS[::3],
    "without the last": ROWS[:-1],
    "a stranger first": [STRANGE, *ROWS],
    "a stranger last": [*ROWS, STRANGE],
    "strangers alone": [STRANGE, {**STRANGE, "id": "lost"}],
    "the last two changed about": [*ROWS[:-2], ROWS[-1], ROWS[-2]],
    "nothing": [],
}


@pytest.mark.parametrize("rows", FILES.values(), ids=FILES)
@pytest.mark.parametrize("between", ["\n", "\r\n\n \n"])
def test_every_row_is_found_and_the_others_are_counted(tmp_path: Path, rows: list[dict], between: str) -> None:
    path = put(tmp_path / "ann.jsonl", rows, between)
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    by_id = {row["id"]: row for row in rows}
    table = RationaleTable(path)
    rows_found = [table.find(question) for question in ASKED]
    expected = [[by_id[question.id]] if question.id in by_id else [] for question in ASKED]
    names = ("id", "rationale", "status")
    assert [[{name: row[name] for name in names} for row in found] for found in rows_found] == expected
    assert table.unknown() == len(by_id.keys() - {question.id for question in ASKED})


def first_fault(path: Path) -> str:
    with pytest.raises(ValueError) as error:
        table = RationaleTable(path)
        for question in ASKED:
            table.find(question)
    return str(error.value)


SAMPLED = [{**ROWS[0], "sample": sample, "rationale": f"It is sample {sample}."} for sample in (1, 0, 2)]
FAULTY = {**ROWS[7], "rationale": 5}


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([*ROWS[:7], FAULTY, *ROWS[8:]], "8: rationale is int; allowed is text or null"),
        ([FAULTY, *ROWS[:7], *ROWS[8:]], "1: rationale is int; allowed is text or null"),
        ([*ROWS, {**FAULTY, "id": "gone"}], "41: rationale is int; allowed is text or null"),
        ([*ROWS[:3], {"rationale": "So.", "status": "ok"}], "4: no field 'id'; a rationale has id, rationale, status"),
        ([*ROWS[:3], {}, *ROWS[3:]], "4: no field 'id'; a rationale has id, rationale, status"),
        ([ROWS[0], ROWS[0], *ROWS[1:]], "2: id 'q0' stands in row 1 too; allowed is one row an id"),
        ([*ROWS, ROWS[4]], "41: id 'q4' stands in row 5 too; allowed is one row an id"),
        (
            [*SAMPLED, {**ROWS[0], "sample": 1}],
            "4: id 'q0' with sample 1 stands in row 1 too; allowed is one row an id and sample",
        ),
        ([*SAMPLED, ROWS[0]], "4: id 'q0' stands in row 2 too; allowed is one row an id"),
        ([{**ROWS[0], "sample": -1}], "1: sample -1; allowed is a whole number from 0 to 999999, or no such field"),
        ([STRANGE, *ROWS, STRANGE], "42: id 'gone' stands in row 1 too; allowed is one row an id"),
    ],
)
def test_a_fault_is_named_by_file_and_line_wherever_it_stands(tmp_path: Path, rows: list[dict], message: str) -> None:
    path = put(tmp_path / "ann.jsonl", rows)
    assert first_fault(path) == f"{path}:{message}"


@pytest.mark.parametrize("rows", [ROWS, ROWS[::-1]], ids=["in order", "backwards"])
def test_probabilities_of_more_options_than_there_are_name_their_line(tmp_path: Path, rows: list[dict]) -> None:
    rows = [{**row, "option_probabilities": [0.5, 0.25, 0.25]} if row is ROWS[7] else row for row in rows]
    path = put(tmp_path / "ann.jsonl", rows)
    number = [row["id"] for row in rows].index("q7") + 1
    message = (
        f"{path}:{number}: 3 option_probabilities, but question 'q7' has 2 choices; allowed is one for each, or null"
    )
    assert first_fault(path) == message


def test_a_row_keeps_what_the_corpus_needs_of_it(tmp_path: Path) -> None:
    sure = {"id": "q0", "rationale": None, "status": "nan", "option_probabilities": [1, 0.0]}
    table = RationaleTable(put(tmp_path / "ann.jsonl", [{**ROWS[1], "tokens": 7}, sure]))
    assert table.find(ASKED[1]) == [
        {**ROWS[1], "sample": None, "option_probabilities": None, "forced": None, "line": 1}
    ]
    (row,) = table.find(ASKED[0])
    assert row == {**sure, "sample": None, "forced": None, "line": 2}
    assert json.dumps(row["option_probabilities"]) == "[1, 0.0]"  # a whole number stays one


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"ann\.jsonl: no such file$"):
        RationaleTable(tmp_path / "ann.jsonl")


FREE = [Question("f1", "2 + 2?", (), "4", "A sum.\nIn two lines."), Question("f2", "Who?", (), "Ödön")]


@pytest.mark.parametrize("questions", [ASKED, FREE], ids=["options", "free text"])
def test_questions_come_back_split_by_split_as_they_were_written(tmp_path: Path, questions: list[Question]) -> None:
    paths = {split: tmp_path / f"{split}.jsonl" for split in ("train", "valid")}
    write_questions(paths["train"], questions[1:])
    write_questions(paths["valid"], questions[:1])
    table = QuestionTable(paths)
    assert (list(table.of("train")), list(table.of("valid"))) == (questions[1:], questions[:1])


def test_an_id_that_stands_twice_is_named_by_both_places(tmp_path: Path) -> None:
    paths = {split: tmp_path / f"{split}.jsonl" for split in ("train", "valid")}
    write_questions(paths["train"], [*ASKED, ASKED[4]])
    write_questions(paths["valid"], [ASKED[3]])
    with pytest.raises(ValueError, match=r"train\.jsonl:41: id 'q4' stands in row 5 too; ids must differ$"):
        QuestionTable(paths)
    write_questions(paths["train"], ASKED)
    with pytest.raises(ValueError, match=r"valid\.jsonl:1: id 'q3' stands in \S+train\.jsonl:4 too; ids must differ$"):
        QuestionTable(paths)


def test_the_samples_of_a_question_come_in_their_order_and_count_as_found(tmp_path: Path) -> None:
    table = RationaleTable(put(tmp_path / "ann.jsonl", [SAMPLED[0], ROWS[1], *SAMPLED[1:], STRANGE]))
    texts = ["It is sample 0.", "It is sample 1.", "It is sample 2."]
    assert [row["rationale"] for row in table.find(ASKED[0])] == texts
    assert [row["sample"] for row in table.find(ASKED[1])] == [None]
    assert table.unknown() == 1

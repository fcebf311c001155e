"""Questions without options: read, shown, judged by exact match, compared, reported; and a whole run of word problems."""

from __future__ import annotations

import json
import runpy
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ruamel.yaml import YAML

from tests.browser import chromium
from tests.runs import PREDICTIONS, TEST, TRAIN, toy_results
from tests.tokenizer_toys import t5
from tests.toys import toy_model, toy_params, toy_questions, toy_tokenizer
from tinyllm.cli.experiments.compare import as_text
from tinyllm.corpus.assemble import audit_question
from tinyllm.corpus.audit import find_fault
from tinyllm.datasets.hub import load_hub
from tinyllm.datasets.load import load_set
from tinyllm.evaluation.exams import summarise_exam
from tinyllm.evaluation.metrics import chance, confusion_rows, majority, summarise_predictions
from tinyllm.experiments.compare import compare
from tinyllm.experiments.runs import parse_run
from tinyllm.models.loaded import LoadedModel, loaded_model
from tinyllm.models.plain_text import PlainText
from tinyllm.params.checks import cross_checks
from tinyllm.params.schema import Audit, Hub, Params, Prompting
from tinyllm.parsing import parse_question, parse_rationale
from tinyllm.records.jsonl import read_json, read_jsonl, write_jsonl
from tinyllm.records.questions import Question, input_text, parse_questions, require_options, write_questions
from tinyllm.records.rationales import TeacherOutput
from tinyllm.report.contents import gather
from tinyllm.report.figures import draw
from tinyllm.report.page import render
from tinyllm.report.run_files import Results
from tinyllm.student.encoding import InputEncoder
from tinyllm.student.generate import generate_texts, match_answer
from tinyllm.student.predict import encode_questions, passes, predict
from tinyllm.teachers.exam import grade
from tinyllm.teachers.prompts import write_prompt
from tinyllm.training.validation import Validator

ROOT = Path(__file__).resolve().parents[2]
LIMITS = Audit(min_words=3, max_words=40, min_distinct=0.5, drop_contradictions=True, drop_unconcluded=False)
PROMPTING = Prompting(
    instruction="", examples=1, selection="random", example_rationales="none", teacher_forcing=True, seed=1
)
APPLES = Question("a", "Ann has 3 apples and gets 4 more. How many apples are there?", (), "7", "It is noon.")
EGGS = Question("e", "Ben has 9 eggs and breaks 1. How many eggs are left?", (), "8")
OPTIONS = {"id": "1", "question": "Is it?", "choices": ["yes", "no"], "answer": 0}


# --- reading --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("row", "gold"),
    [
        ({"answer": "  four  apples "}, "four apples"),
        ({"answer": "4", "choices": []}, "4"),
        ({"answer": 4}, "4"),
        ({"answer": -2.5, "choices": []}, "-2.5"),
        ({"answer": 0}, "0"),
    ],
)
def test_a_row_without_choices_is_answered_in_free_text(row: dict, gold: str) -> None:
    (question,) = parse_questions([{"id": 1, "question": "How many?", **row}], "own")
    assert question == Question("1", "How many?", (), gold)
    assert question.free and question.gold == gold


@pytest.mark.parametrize(
    ("answer", "shown"), [("", "''"), (" \n", "' \\n'"), (None, "None"), (True, "True"), (["4"], "['4']")]
)
def test_a_free_answer_that_is_no_text_is_refused(answer: object, shown: str) -> None:
    with pytest.raises(ValueError) as error:
        parse_questions([{"id": 1, "question": "How many?", "answer": answer}], "own")
    assert str(error.value) == (
        f"own:1: answer {shown}, and no choices; allowed then is a text that is not empty, or a number"
    )


def test_a_number_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="^own:1: answer inf, and no choices; "):
        parse_questions([{"id": 1, "question": "How many?", "answer": float("inf")}], "own")


def test_both_kinds_in_one_file_are_refused_and_both_rows_named() -> None:
    free = {"id": "2", "question": "How many?", "answer": 2}
    with pytest.raises(ValueError) as error:
        parse_questions([OPTIONS, {**OPTIONS, "id": "3"}, free], "own")
    assert str(error.value) == "own:3: is a free-text question, but row 1 has options; allowed is one kind in a set"
    with pytest.raises(ValueError, match="^own:2: has options, but row 1 is a free-text question; "):
        parse_questions([free, OPTIONS], "own")


def test_both_kinds_in_one_set_are_refused(tmp_path: Path) -> None:
    for split, questions in (("train", [APPLES]), ("valid", [TEST[0]]), ("test", [EGGS])):
        write_questions(tmp_path / f"{split}.jsonl", questions)
    data = toy_params().data.model_copy(update={"dataset": "jsonl", "folder": str(tmp_path)})
    with pytest.raises(ValueError) as error:
        load_set(data)
    assert (
        str(error.value)
        == "valid: 'e1' has options, but train's 'a' is a free-text question; allowed is one kind in a set"
    )


def test_what_is_written_is_read_as_it_was() -> None:
    rows = [json.loads(json.dumps(asdict(question))) for question in (APPLES, EGGS)]
    assert rows[1] == {
        "id": "e",
        "question": "Ben has 9 eggs and breaks 1. How many eggs are left?",
        "choices": [],
        "answer": "8",
        "context": "",
    }
    assert parse_questions(rows, "again") == [APPLES, EGGS]


def test_a_hub_set_without_a_column_of_choices_is_answered_in_free_text(tmp_path: Path, monkeypatch: Any) -> None:
    import datasets

    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    for split, number in (("train", 3), ("validation", 4), ("test", 5)):
        write_jsonl(tmp_path / f"set/{split}.jsonl", [{"problem": f"What is {number} and 1?", "result": number + 1}])
    columns = {"question": "problem", "choices": None, "answer": "result", "labels": None, "context": None, "id": None}
    splits = {"train": "train", "valid": "validation", "test": "test"}
    where = {"path": str(tmp_path / "set"), "name": None, "revision": None}
    loaded = load_hub(Hub.model_validate({**where, "splits": splits, "columns": columns})).splits
    assert loaded["valid"] == [Question("valid-1", "What is 4 and 1?", (), "5")]


def test_labels_of_options_that_are_not_there_are_refused() -> None:
    values = toy_params(corpus__teachers=()).model_dump()
    values["data"]["dataset"] = "hub"
    values["data"]["hub"]["columns"]["choices"] = None
    values["data"]["hub"]["revision"] = "0" * 40
    assert list(cross_checks(Params.model_validate(values))) == [
        (
            ("data", "hub", "columns", "labels"),
            "is choices.label, but choices is null: free text has no labels; set it to null, too",
        )
    ]


# --- what is shown --------------------------------------------------------------------------------------------------


def test_student_and_corpus_read_the_question_alone_and_learn_the_gold_text() -> None:
    assert input_text(EGGS) == "Ben has 9 eggs and breaks 1. How many eggs are left?"
    row = {"id": "e", "rationale": "Without one egg, 9 becomes 8. The answer is 8.0.", "status": "ok"}
    judged = audit_question(EGGS, "train", {"ann": [row]}, LIMITS)
    assert judged.row["targets"] == {"answer": "8", "ann": row["rationale"]}
    assert (judged.row["input"], judged.verdicts["ann"].rationale.stated) == (EGGS.question, "8")


def test_a_forced_prompt_shows_gold_texts_and_no_options() -> None:
    prompt = write_prompt(APPLES, [(EGGS, "One breaks.")], PROMPTING, forced=True)
    assert (
        prompt.text
        == """Question:
Ben has 9 eggs and breaks 1. How many eggs are left?
Answer:
8
Rationale:
Let's think step by step. One breaks.

Question:
It is noon.
Ann has 3 apples and gets 4 more. How many apples are there?
Answer:
7
Rationale:
Let's think step by step."""
    )


@pytest.mark.parametrize("rationale", ["One breaks.", "One breaks. Thus, the answer is 8."])
def test_a_prompt_without_gold_asks_for_an_answer_that_can_be_read(rationale: str) -> None:
    prompt = write_prompt(APPLES, [(EGGS, rationale)], PROMPTING, forced=False)
    assert (
        prompt.text
        == """Explain your answer, then end with: Thus, the answer is (answer).

Question:
Ben has 9 eggs and breaks 1. How many eggs are left?
Rationale:
Let's think step by step. One breaks. Thus, the answer is 8.

Question:
It is noon.
Ann has 3 apples and gets 4 more. How many apples are there?
Rationale:
Let's think step by step."""
    )


# --- teachers -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("With 4 more apples, 3 becomes 7. The answer is 7 apples.", None),
        ("With 4 more apples there are more.", None),
        ("With 4 more apples, 3 becomes 8. The answer is 8.", "states_other_answer"),
        ("Ann has 3 apples and gets 4 more.", "copies_question"),
    ],
)
def test_the_audit_holds_a_stated_answer_against_the_gold_text(text: str, expected: str | None) -> None:
    asked = parse_question(APPLES)
    assert find_fault(parse_rationale(text, asked), asked, LIMITS) == expected


def test_an_exam_is_graded_by_match() -> None:
    said = ["They are $7.00. Thus, the answer is $7.00.", "I think 8. Thus, the answer is 8 apples.", "No idea.", None]
    completions = [TeacherOutput(text) if text else TeacherOutput(None, "failed") for text in said]
    rows = grade([replace(APPLES, id=str(i)) for i in range(4)], completions)
    assert [(row["gold"], row["choice"], row["status"]) for row in rows] == [
        ("7", "7", "ok"),
        ("7", "8", "ok"),
        ("7", None, "unparsable"),
        ("7", None, "failed"),
    ]
    summary = summarise_exam(rows, None)
    assert (summary["accuracy"], summary["answered"], summary["unparsable"]) == (0.25, 2, 1)


def test_probabilities_of_options_that_are_not_there_are_refused_in_one_line() -> None:
    require_options(TEST, "corpus.option_probabilities: true")
    with pytest.raises(ValueError) as error:
        require_options([APPLES, EGGS], "corpus.option_probabilities: true")
    assert str(error.value) == (
        "corpus.option_probabilities: true, but 'a' has no options; set it to false, and loss.kd to 0.0"
    )


def test_the_stage_refuses_them_before_a_teacher_is_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    values = YAML(typ="safe").load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    values["data"]["dataset"] = "jsonl"
    values["corpus"] |= {"teachers": ["smollm2"], "option_probabilities": True}
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TINYLLM_TRACEBACK", raising=False)
    monkeypatch.setattr(sys, "argv", [])
    with open("params.yaml", "w", encoding="utf-8") as file:
        YAML().dump(values, file)
    for split, question in (("train", APPLES), ("valid", EGGS)):
        write_questions(f"data/questions/{split}.jsonl", [question])
    with pytest.raises(SystemExit) as end:
        stage("query", "smollm2")
    assert end.value.code == (
        "error: corpus.option_probabilities: true, but 'a' has no options; set it to false, and loss.kd to 0.0"
    )


# --- the student ----------------------------------------------------------------------------------------------------

FREE = [replace(question, choices=(), answer=question.gold) for question in toy_questions(8)]
PARAMS = toy_params(score__max_new_tokens=6)


@pytest.fixture(scope="module")
def student(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    """A T5 of noise: as initialised, it repeats itself whatever it is asked."""
    tokenizer = toy_tokenizer(tmp_path_factory.mktemp("vocabulary"))
    model = toy_model(tokenizer)
    torch.manual_seed(13)
    with torch.no_grad():
        for weight in model.parameters():
            if weight.dim() > 1:
                weight.normal_()
        model.shared.weight[-256:] = 0.0  # it writes no bytes, of which few make a text
    return loaded_model(model.eval(), tokenizer)


def half_known(model: LoadedModel) -> list[Question]:
    """The toy questions, every other one with the very text as gold that the student writes."""
    readings, _, _ = encode_questions(FREE, InputEncoder(PARAMS.student, model), "predict: ")
    texts = generate_texts(model, readings, 6, 4096)
    assert all(texts)
    return [replace(q, answer=text) if i % 2 else q for i, (q, text) in enumerate(zip(FREE, texts, strict=True))]


def test_a_prediction_is_the_text_and_whether_it_matches(student: LoadedModel) -> None:
    questions, done = half_known(student), []
    rows = predict(student, questions, PARAMS, done.append)
    assert [row["matched"] for row in rows] == [False, True] * 4
    assert sum(done) == passes(questions, texts=False) * 8 == 8
    for question, row in zip(questions, rows, strict=True):
        assert list(row) == ["id", "gold", "choice", "scores", "text", "matched"]
        assert (row["id"], row["gold"], row["choice"], row["scores"]) == (question.id, question.gold, None, [])


def test_valid_is_judged_by_what_the_student_writes(student: LoadedModel) -> None:
    reader, questions = InputEncoder(PARAMS.student, student), half_known(student)
    valid = Validator(questions, reader, PARAMS)
    texts = generate_texts(student, valid.inputs, valid.longest, 4096)  # some go on behind their gold text
    right = sum(text == question.gold for text, question in zip(texts, questions, strict=True))
    assert 0 < right < 4 and valid(student) == (right / 8, {}, 0)
    assert Validator(FREE, reader, PARAMS)(student) == (0.0, {}, 0)


@pytest.mark.parametrize(
    ("text", "gold", "expected"),
    [("Red.", "red", True), ("red dog", "red", False), ("dog", "{dog}", True), ("", "{}", False), ("", "red", False)]
    + [("</s>", "</s>", True), ("", "</s>", False), ("cafe\u0301", "Caf\u00e9", True)],
)
def test_a_text_counts_as_the_gold_answer_that_it_equals(text: str, gold: str, expected: bool) -> None:
    assert match_answer(text, gold, PlainText(t5())) == expected  # the vocabulary has no curly bracket


# --- numbers --------------------------------------------------------------------------------------------------------

SUMS = [
    Question("1", "1 and 1?", (), "2"),
    Question("2", "0 and 2?", (), "2.0"),
    Question("3", "5 and 5?", (), "10"),
    Question("4", "1 and 2?", (), "3"),
]


def rows_of(questions: list[Question], *texts: str) -> list[dict]:
    """Predictions whose texts match where they are written as the gold ones."""
    empty = {"choice": None, "scores": []}
    return [
        {"id": q.id, "gold": q.gold, **empty, "text": text, "matched": text == q.gold}
        for q, text in zip(questions, texts, strict=True)
    ]


FIRST, SECOND = rows_of(SUMS, "2", "2.0", "10", "10"), rows_of(SUMS, "2", "7 of 7", "", "3")  # 3 and 2 right


def test_guessing_is_the_most_frequent_answer_and_nothing_by_chance() -> None:
    assert (chance(SUMS), majority(SUMS)) == (0.0, 0.5)  # 2 and 2.0 are one answer


def test_the_summary_is_of_exact_matches() -> None:
    summary = summarise_predictions(SUMS, [FIRST, SECOND])
    names = ("accuracy", "exact_match", "unmatched", "chance", "majority", "questions", "seeds")
    assert [summary[name] for name in names] == [0.625, 0.625, 0.375, 0.0, 0.5, 4, 2]


def test_confusion_is_of_texts_where_the_gold_answers_are_few() -> None:
    assert confusion_rows(SUMS, [FIRST]) == [("2", "2"), ("2", "2"), ("10", "10"), ("3", "10")]
    assert confusion_rows(SUMS, [SECOND]) == [("2", "2"), ("2", "other"), ("10", "other"), ("3", "3")]


def test_confusion_is_of_right_and_wrong_where_they_are_many() -> None:
    many = [Question(str(i), f"{i} and 0?", (), str(i)) for i in range(31)]
    told = confusion_rows(many, [rows_of(many, "0", *["1"] * 30)])
    assert told == [("answer", "right"), ("answer", "right"), *[("answer", "wrong")] * 29]
    assert confusion_rows(many[:30], [rows_of(many[:30], *["0"] * 30)])[1] == ("1", "0")


# --- comparing ------------------------------------------------------------------------------------------------------


def run_of(name: str, *seeds: list[dict]) -> Any:
    return parse_run(name, SUMS, [{"seed": number, **row} for number, rows in enumerate(seeds, 1) for row in rows])


def test_runs_are_compared_by_match() -> None:
    wrong = rows_of(SUMS, "0", "0", "0", "3")
    compared = compare([run_of("base", wrong, wrong, wrong), run_of("new", FIRST, FIRST, SECOND)])
    (pair,) = compared["comparisons"]
    assert np.array_equal(run_of("new", FIRST, SECOND).right, [[1, 1, 1, 0], [1, 0, 0, 1]])
    assert pair["difference"]["value"] == pytest.approx(8 / 12 - 3 / 12)
    # of three seeds most are right on 1, 2 and 3 in new, on 4 in base
    assert (pair["mcnemar"]["only_other"], pair["mcnemar"]["only_control"]) == (3, 1)
    assert "4 questions" in as_text(compared)


def test_seeds_that_are_split_evenly_are_no_majority() -> None:
    split = run_of("split", FIRST, SECOND)
    (pair,) = compare([split, run_of("first", FIRST, FIRST)])["comparisons"]
    assert (pair["mcnemar"]["only_other"], pair["mcnemar"]["only_control"]) == (2, 0)  # 2 and 3; on 4 both are wrong


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"matched": None}, "data/predictions.jsonl:1: matched is None; it has to be of type bool; run `dvc repro`"),
        ({"gold": 0}, "data/predictions.jsonl:1: gold is 0; it has to be of type str; run `dvc repro`"),
        ({"gold": "9"}, "data/predictions.jsonl:1: gold 9, but 2 in data/questions/test.jsonl; run `dvc repro`"),
    ],
)
def test_a_faulty_prediction_is_named(change: dict, message: str) -> None:
    with pytest.raises(ValueError) as error:
        run_of("new", [{**FIRST[0], **change}, *FIRST[1:]])
    assert str(error.value) == message


# --- the page -------------------------------------------------------------------------------------------------------

HOSTILE = "<img src=x onerror=alert(1)>"


def free_results() -> Results:
    """The toy run with its options taken away; the student of seed 3 writes something hostile once."""
    texts = {3: ["yes", "no", HOSTILE, "no"], 7: ["yes", "", "no", "yes"]}
    test = [replace(question, choices=(), answer=question.gold) for question in TEST]
    rows = {seed: [{"seed": seed, **row} for row in rows_of(test, *texts[seed])] for seed in PREDICTIONS}
    train = [replace(question, choices=(), answer=question.gold) for question in TRAIN]
    return replace(toy_results(), train=train, test=test, predictions=rows)


def test_the_report_tells_texts_and_matches() -> None:
    report = gather(free_results(), "toy", {})
    shown = {question["id"]: question for question in report["questions"]}
    assert shown["e3"]["gold"] == "no" and shown["e3"]["choices"] == []
    assert shown["e3"]["answers"] == [{"right": False, "wrote": HOSTILE}, {"right": True, "wrote": "no"}]
    assert report["by_seed"] == {3: 0.5, 7: 0.75} and report["calibration"] is None
    assert report["confusion"] == {"labels": ["no", "other", "yes"], "counts": [[2, 2, 0], [0, 0, 0], [1, 0, 3]]}
    assert "confusion" in draw(report) and "calibration" not in draw(report)


def test_numbers_stand_in_their_order() -> None:
    results = replace(free_results(), test=SUMS, predictions={1: [{"seed": 1, **row} for row in SECOND]})
    assert gather(results, "toy", {})["confusion"]["labels"] == ["2", "3", "10", "other"]


def test_many_gold_answers_leave_the_confusion_out() -> None:
    many = [Question(str(i), f"{i} and 0?", (), str(i)) for i in range(31)]
    rows = [{"seed": 1, **row} for row in rows_of(many, *["0"] * 31)]
    report = gather(replace(free_results(), test=many, predictions={1: rows}), "toy", {})
    page = render(report, draw(report))
    assert report["confusion"] is None and 'id="errors"' not in page and 'href="#errors"' not in page


@pytest.mark.slow
def test_a_browser_shows_gold_and_what_every_seed_writes(tmp_path: Path) -> None:
    report = gather(free_results(), "toy", {})
    (tmp_path / "index.html").write_text(render(report, draw(report)), encoding="utf-8")
    with chromium(tmp_path / "profile") as browser:
        browser.open((tmp_path / "index.html").as_uri())
        assert not browser.complaints()
        tables = browser.run("[...document.querySelectorAll('#list .options.free')].map(t => t.innerText.trim())")
        assert len(tables) == 7 and "gold\tno\nseed 3\t✗ " + HOSTILE + "\nseed 7\t✓ no" in tables
        assert "gold\tno\nseed 3\t✓ no\nseed 7\t✗ (nothing)" in tables
        heads = browser.run("[...document.querySelectorAll('#list .head')].map(h => h.innerText)")
        assert sum("right: 2 of 2 seeds" in head for head in heads) == 1
        assert browser.run("document.body.innerText.includes('Chance')") is False


# --- the whole ------------------------------------------------------------------------------------------------------

TINY = {
    "data": {"dataset": "jsonl", "folder": "set"},
    "corpus": {"teachers": ["steps", "sums"]},
    "student": {"scratch": {"architecture": "seq2seq", "vocabulary": 150, "width": 48, "layers": 1, "heads": 4}},
    "train": {"seeds": [1], "epochs": 20, "batch_size": 16, "learning_rate": 0.006, "eval_every": 5},
    "score": {"max_new_tokens": 6},
    "runtime": {"device": "cpu"},
}


def stage(name: str, *argument: str) -> None:
    sys.argv = [f"{name}.py", *argument]
    runpy.run_path(str(ROOT / f"stages/{name}.py"), run_name="__main__")


def test_the_word_problems_are_those_that_their_script_makes(tmp_path: Path) -> None:
    folder = ROOT / "examples/arithmetic"
    subprocess.run([sys.executable, str(folder / "make.py"), str(tmp_path)], check=True, capture_output=True)
    made = sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*.jsonl"))
    assert made == sorted(path.relative_to(folder) for path in folder.rglob("*.jsonl")) and len(made) == 5
    for path in made:
        assert (tmp_path / path).read_bytes() == (folder / path).read_bytes()


@pytest.mark.slow
def test_word_problems_are_learnt_from_both_teachers_and_judged_by_exact_match(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    make = [sys.executable, str(ROOT / "examples/arithmetic/make.py"), "set"]
    counts = ["--train", "240", "--valid", "60", "--test", "100", "--largest", "4"]
    subprocess.run([*make, *counts], cwd=tmp_path, check=True)
    values = YAML(typ="safe").load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    for section, changes in TINY.items():
        values[section] |= changes
    values["student"]["scratch"] |= {"feed_forward": 96, "embedding_scale": 0.3}
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    monkeypatch.setattr(sys, "argv", [])
    with open("params.yaml", "w", encoding="utf-8") as file:
        YAML().dump(values, file)
    stage("download")
    for teacher in ("steps", "sums"):
        stage("query", teacher)
        stage("exam", teacher)
    stage("assemble")
    reasons = read_json("metrics/corpus.json")["teachers"]["sums"]["train"]["reasons"]
    assert set(reasons) == {"missing", "states_other_answer"} and min(reasons.values()) > 10  # of 24 to be expected
    stage("train", "1")
    stage("score")
    stage("report")
    score, rows = read_json("metrics/score.json"), read_jsonl("data/predictions.jsonl")
    assert score["accuracy"] == score["exact_match"] == sum(row["text"] == row["gold"] for row in rows) / 100
    assert score["accuracy_low"] > score["majority"] + 0.2, "a task that is learnt is far from guessing"
    assert read_json("metrics/train/1.json")["valid_accuracy"] > score["majority"] + 0.2
    assert (tmp_path / "report/figures/confusion.svg").exists()
    from tinyllm.cli.main import main

    capsys.readouterr()
    main(["ask", read_jsonl("set/test.jsonl")[0]["question"]])
    assert capsys.readouterr().out == rows[0]["text"] + "\n"
    main(["export", "out"])
    card = (tmp_path / "out/README.md").read_text(encoding="utf-8")
    assert "answers questions in free text" in card and "option" not in card.partition("## Data")[0]
    monkeypatch.chdir("out")
    question = read_jsonl("../set/test.jsonl")[0]["question"]
    capsys.readouterr()
    exec(card.split("```python\n")[1].split("```")[0].replace("Which colour has a ripe lemon?", question), {})
    assert capsys.readouterr().out == rows[0]["text"] + "\n"

"""What the report reads, what it makes of it, against numbers worked out by hand; and the stage as a whole."""

from __future__ import annotations

import json
import math
import random
import runpy
import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from ruamel.yaml import YAML

from tests.runs import PREDICTIONS, SEEDS, TEACHERS, TEST, TRAIN, put_records, put_run, toy_results
from tests.toys import SIZES, toy_model, toy_params, toy_questions, toy_tokenizer
from tinyllm.evaluation.calibration import calibrate
from tinyllm.models.loaded import LoadedModel, loaded_model
from tinyllm.records.predictions import probabilities
from tinyllm.records.questions import Question, input_text
from tinyllm.report.contents import MOST_EXPLAINED, MOST_QUESTIONS, explained, gather
from tinyllm.report.run_files import Rationale, Results, read_results
from tinyllm.student.folder import save_student
from tinyllm.student.generate import write_rationales

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def run(tmp_path: Path) -> Path:
    put_run(tmp_path)
    return tmp_path


# --- reading --------------------------------------------------------------------------------------------------------


def test_a_run_on_disk_is_read_as_it_was_written(run: Path) -> None:
    assert read_results(TEACHERS, SEEDS, run) == toy_results()


def test_only_the_teachers_and_seeds_asked_for_are_read(run: Path) -> None:
    found = read_results(["bob"], [7], run)
    assert (list(found.rationales), list(found.predictions), list(found.curves)) == (["bob"], [7], [7])


def test_a_seed_that_was_not_scored_is_named(run: Path) -> None:
    (run / "metrics/loss/9.tsv").write_text("step\ttask\tloss\n", encoding="utf-8")
    with pytest.raises(ValueError, match="/data/predictions.jsonl: no row of seed 9; run dvc repro score$"):
        read_results(TEACHERS, [3, 9], run)


def test_a_run_without_exams_is_read_too(run: Path) -> None:
    shutil.rmtree(run / "metrics/exam")
    assert read_results(TEACHERS, SEEDS, run) == replace(toy_results(), exam={})


@pytest.mark.parametrize(
    ("path", "stage"),
    [
        ("data/questions/train.jsonl", "download"),
        ("data/questions/test.jsonl", "download"),
        ("data/corpus/train.jsonl", "assemble"),
        ("data/quarantine.jsonl", "assemble"),
        ("metrics/corpus.json", "assemble"),
        ("metrics/train/7.json", "train"),
        ("metrics/loss/7.tsv", "train"),
        ("data/predictions.jsonl", "score"),
        ("metrics/score.json", "score"),
    ],
)
def test_a_missing_file_is_named_with_the_stage_that_writes_it(run: Path, path: str, stage: str) -> None:
    (run / path).unlink()
    with pytest.raises(ValueError) as error:
        read_results(TEACHERS, SEEDS, run)
    assert str(error.value) == f"{run / path}: no such file; run dvc repro {stage}"


def change(path: str, old: str, new: str) -> Callable[[Path], None]:
    def apply(run: Path) -> None:
        text = (run / path).read_text(encoding="utf-8")
        assert old in text
        (run / path).write_text(text.replace(old, new), encoding="utf-8")

    return apply


def drop_line(path: str, number: int) -> Callable[[Path], None]:
    def apply(run: Path) -> None:
        lines = (run / path).read_text(encoding="utf-8").splitlines(keepends=True)
        (run / path).write_text("".join(lines[:number] + lines[number + 1 :]), encoding="utf-8")

    return apply


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (
            drop_line("data/predictions.jsonl", 5),
            "data/predictions.jsonl: seed 7 has no answer to 1 of 4 questions of data/questions/test.jsonl ('e2'); "
            "run `dvc repro`",
        ),
        (
            change("data/predictions.jsonl", '"id": "e2"', '"id": "e9"'),
            "data/predictions.jsonl:2: no question 'e9' in data/questions/test.jsonl; run `dvc repro`",
        ),
        (
            change("data/predictions.jsonl", "[-1.0, -1.0]", "[-1.0]"),
            "data/predictions.jsonl:2: scores [-1.0]; allowed are 2 numbers; run `dvc repro`",
        ),
        (
            drop_line("data/corpus/train.jsonl", 1),
            "data/corpus/train.jsonl: no row of question 't2'; run dvc repro assemble",
        ),
        (
            drop_line("data/quarantine.jsonl", 0),
            "data/quarantine.jsonl: no row of ann, question 't2'; run dvc repro assemble",
        ),
        (
            change("metrics/loss/3.tsv", "10\tbob", "ten\tbob"),
            "metrics/loss/3.tsv:4: 'ten\\tbob\\t3.5'; allowed is step, task and loss, with tabs between",
        ),
        (
            change("metrics/score.json", '"chance"', "chance"),
            "metrics/score.json:5: not JSON (Expecting property name enclosed in double quotes)",
        ),
        (
            lambda run: (run / "metrics/exam/bob.json").write_text("[1]"),
            "metrics/exam/bob.json: found list; it must be a JSON object",
        ),
    ],
)
def test_files_that_do_not_belong_together_are_refused(
    run: Path, spoil: Callable[[Path], object], message: str
) -> None:
    spoil(run)
    with pytest.raises(ValueError) as error:
        read_results(TEACHERS, SEEDS, run)
    assert str(error.value) == f"{run}/{message}"


# --- calibration ----------------------------------------------------------------------------------------------------


def test_the_probabilities_are_the_softmax_also_of_far_apart_scores() -> None:
    assert probabilities([math.log(1), math.log(2), math.log(5)]) == pytest.approx([0.125, 0.25, 0.625])
    assert probabilities([-1e5, -1e5 - 2000.0]) == [1.0, 0.0]


def test_the_calibration_is_the_one_worked_out_by_hand() -> None:
    # sure by 75%: seed 3 right, wrong, right, seed 7 right, wrong: 3 of 5; by 50%: right; by 100%: wrong, right
    found = calibrate(row for rows in PREDICTIONS.values() for row in rows)
    assert found["bins"] == [
        {"low": 0.5, "count": 1, "confidence": 0.5, "accuracy": 1.0},
        {"low": 0.7, "count": 5, "confidence": 0.75, "accuracy": 0.6},
        {"low": 0.9, "count": 2, "confidence": 1.0, "accuracy": 0.5},
    ]
    assert found["error"] == pytest.approx((1 * 0.5 + 5 * 0.15 + 2 * 0.5) / 8, abs=5e-5)


def test_a_student_that_bets_as_it_should_has_a_small_calibration_error() -> None:
    rng = random.Random(1)
    rows = []
    for _ in range(4000):
        p = rng.uniform(0.5, 1.0)
        rows.append({"scores": [math.log(p), math.log(1 - p)], "choice": 0, "gold": int(rng.random() > p)})
    assert calibrate(rows)["error"] < 0.03
    assert calibrate([row | {"gold": 0} for row in rows])["error"] == pytest.approx(0.25, abs=0.01)


# --- gathering ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def report() -> dict[str, Any]:
    return gather(toy_results(), "toy", {"e2": {"ann": "Sand is dry.", "bob": ""}})


def test_the_headline_has_every_seed_and_the_teachers_beside_the_student(report: dict) -> None:
    assert report["by_seed"] == {3: 0.75, 7: 0.5}
    assert report["parameters"] == 2000
    assert report["teacher_rows"] == [
        {"name": "ann"},
        {
            "name": "bob",
            "parameters": 3000000,
            "ratio": 1500.0,
            "accuracy": 0.8,
            "accuracy_low": 0.7,
            "accuracy_high": 0.9,
        },
    ]


def test_the_confusion_counts_every_seed(report: dict) -> None:
    # gold yes: e1 and e4, always found; gold no: e2 by one seed of two, e3 by none
    assert report["confusion"] == {"labels": ["no", "yes"], "counts": [[1, 3], [0, 4]]}


def test_the_lengths_are_those_of_kept_rationales_in_the_same_bins_for_all(report: dict) -> None:
    # ann: 8 and 13 words, bob: 6; the 99th percentile of the three is the second, so the last bin is 8 and more
    lengths = report["lengths"]
    assert lengths["width"] == 1
    assert lengths["teachers"]["ann"] == {"median": 10.5, "counts": [0] * 8 + [2]}
    assert lengths["teachers"]["bob"] == {"median": 6, "counts": [0] * 6 + [1, 0, 0]}


def test_a_teacher_without_a_kept_rationale_has_no_lengths() -> None:
    none = [Rationale("declined", None)] * 3
    results = replace(toy_results(), rationales={"ann": none, "bob": none})
    assert gather(results, "toy", {})["lengths"]["teachers"] == {"ann": None, "bob": None}


def test_a_test_question_has_every_seeds_bets_and_what_was_written_where_that_is_something_else(report: dict) -> None:
    first, second, third, fourth = report["questions"][:4]
    assert first == {
        "id": "e1",
        "split": "test",
        "question": "Is rain wet?",
        "context": "It rains.",
        "choices": ["yes", "no"],
        "gold": 0,
        "answers": [{"choice": 0, "p": [0.75, 0.25]}, {"choice": 0, "p": [0.75, 0.25]}],
    }
    assert second["explanations"] == ["Sand is dry.", ""] and "explanations" not in third
    assert [answer.get("wrote") for answer in third["answers"]] == ["yes yes", None]
    assert [answer.get("wrote") for answer in fourth["answers"]] == ["no", None]


def test_a_train_question_has_every_teachers_rationale_with_its_status(report: dict) -> None:
    shown = {question["id"]: question["rationales"] for question in report["questions"][4:]}
    assert shown["t1"] == [["ok", "Ice is frozen water, so it is cold."], ["ok", "Water that is ice is cold."]]
    assert shown["t2"] == [["declined", None], ["too_short", "No <b>way</b>."]]


def test_the_examples_are_those_of_which_most_teachers_were_kept(report: dict) -> None:
    assert report["examples"] == ["t1", "t3"]  # of both, of ann alone; of t2 none was kept


def test_the_looks_at_valid_are_all_where_there_is_a_file_and_else_the_best(run: Path) -> None:
    (run / "metrics/valid").mkdir()
    (run / "metrics/valid/7.tsv").write_text("step\taccuracy\n5\t0.2500\n10\t0.5000\n", encoding="utf-8")
    # seed 3: epoch 4 of 4, each of 5 steps
    assert read_results(TEACHERS, SEEDS, run).looks == {3: [(20, 0.5)], 7: [(5, 0.25), (10, 0.5)]}
    (run / "metrics/valid/7.tsv").write_text("step\taccuracy\tloss\n5\t0.25\t1\n10\thalf\t1\n", encoding="utf-8")
    with pytest.raises(ValueError) as error:
        read_results(TEACHERS, SEEDS, run)
    assert str(error.value) == (
        f"{run}/metrics/valid/7.tsv:3: '10\\thalf\\t1'; allowed is step and accuracy, with a tab between"
    )


def test_a_further_column_of_the_loss_curve_does_not_count(run: Path) -> None:
    path = run / "metrics/loss/3.tsv"
    head, *rows = path.read_text(encoding="utf-8").splitlines()
    path.write_text("\n".join([f"{head}\ttokens", *(f"{row}\t17" for row in rows)]) + "\n", encoding="utf-8")
    assert read_results(TEACHERS, SEEDS, run) == toy_results()


def many(train: int, test: int) -> Results:
    """A run of other size, with one seed and one teacher."""
    questions = {n: Question(f"q{n}", f"Is {n} even?", ("yes", "no"), n % 2) for n in range(train + test)}
    rows = [PREDICTIONS[3][0] | {"id": f"q{train + n}"} for n in range(test)]
    return replace(
        toy_results(),
        train=[questions[n] for n in range(train)],
        test=[questions[train + n] for n in range(test)],
        rationales={"ann": [Rationale("ok", f"{n} it is.") for n in range(train)]},
        predictions={3: rows},
        exam={},
    )


@pytest.mark.parametrize(
    ("train", "test", "shown_train", "shown_test"),
    [
        (300, 600, 300, 600),
        (5000, 500, 1500, 500),  # a released set
        (1117, 1165, 835, 1165),
        (9000, 9000, 500, 1500),
        (100, 9000, 100, 1900),
    ],
)
def test_of_a_large_set_a_sample_is_shown(train: int, test: int, shown_train: int, shown_test: int) -> None:
    questions = gather(many(train, test), "toy", {})["questions"]
    ids = [int(question["id"][1:]) for question in questions]
    kept_test, kept_train = [n for n in ids if n >= train], [n for n in ids if n < train]
    assert (len(kept_train), len(kept_test)) == (shown_train, shown_test)
    assert kept_test + kept_train == ids and kept_test == sorted(kept_test) and kept_train == sorted(kept_train)
    assert len(ids) <= MOST_QUESTIONS
    assert {question["rationales"][0][1] for question in questions if question["split"] == "train"} == {
        f"{n} it is." for n in kept_train
    }


def test_the_sample_holds_what_the_student_explained_and_is_the_same_every_time() -> None:
    results = many(3000, 3000)
    asked = explained(results.test)
    explanations = {question.id: {"ann": f"On {question.id}."} for question in asked}
    one, other = (gather(results, "toy", explanations)["questions"] for _ in range(2))
    assert len(asked) == MOST_EXPLAINED and one == other
    assert {q["id"]: q["explanations"] for q in one if "explanations" in q} == {
        question.id: [f"On {question.id}."] for question in asked
    }


# --- explaining -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def student(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    tokenizer = toy_tokenizer(tmp_path_factory.mktemp("vocabulary"))
    model = toy_model(tokenizer)
    torch.manual_seed(3)
    with torch.no_grad():
        for weight in model.parameters():
            if weight.dim() > 1:
                weight.normal_()  # as initialised, a T5 repeats its start token whatever it is asked
    return loaded_model(model.eval(), tokenizer)


def test_the_student_explains_under_each_teachers_prefix(student: LoadedModel) -> None:
    model, tokenizer = student.plain, student.tokenizer
    questions = toy_questions(4)
    found = write_rationales(student, questions, ["ann", "bob"], toy_params(student__max_target_tokens=8))
    for question in questions:
        for teacher in ("ann", "bob"):
            context = f"{question.context}\n" if question.context else ""
            shown = tokenizer(f"explain as {teacher}: {context}{input_text(question)}", return_tensors="pt")
            ids = model.generate(**shown, max_new_tokens=8, do_sample=False)[0]
            assert found[question.id][teacher] == " ".join(tokenizer.decode(ids, skip_special_tokens=True).split())
    assert len({text for texts in found.values() for text in texts.values()}) > 4  # prefix and question both tell


# --- the stage ------------------------------------------------------------------------------------------------------


def put_project(run: Path, student: LoadedModel, teachers: tuple[str, ...] = TEACHERS) -> None:
    """Beside the run, a student on disk and params that name it."""
    params = YAML(typ="safe").load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    params["data"]["dataset"] = "jsonl"
    params["teachers"] = {
        "ann": {"backend": "recorded", "parameters": None},
        "bob": {"backend": "recorded", "parameters": 3e6},
    }
    params["corpus"]["teachers"] = list(teachers)
    params["loss"]["teacher_alpha"] = {}
    params["train"]["seeds"] = list(SEEDS)
    params["student"] |= {"origin": "scratch", "scratch": SIZES.model_dump(), "max_target_tokens": 8}
    params["runtime"]["device"] = "cpu"
    with open(run / "params.yaml", "w", encoding="utf-8") as file:
        YAML().dump(params, file)
    save_student(student, run / "models/student/3", 8)


def report_stage(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(run)
    put_records(Path())
    monkeypatch.chdir(run)
    monkeypatch.setattr(sys, "argv", ["report.py"])
    runpy.run_path(str(ROOT / "stages/report.py"), run_name="__main__")


def shown(page: str) -> list[dict]:
    """The questions that a page holds."""
    block = page.split('<script type="application/json" id="data">')[1].split("</script>")[0]
    return json.loads(block)["questions"]


def test_the_stage_writes_the_page_and_its_figures_the_same_every_time(
    run: Path, student: LoadedModel, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    put_project(run, student)
    (run / "report").mkdir()
    (run / "report/kept_carl.svg").write_text("of a teacher that was dropped")
    written = []
    for _ in range(2):
        report_stage(run, monkeypatch)
        written.append({path.name: path.read_bytes() for path in (run / "report").rglob("*.*")})
    assert written[0] == written[1]
    drawn = [
        *("accuracy", "confusion", "shared_words", "valid"),
        *(f"{kind}_{t}" for kind in ("kept", "loss", "words") for t in TEACHERS),
    ]
    assert sorted(written[0]) == sorted(
        ["index.html", "page.json", "loss_answer.svg", *(f"{name}.svg" for name in drawn)]
    )
    assert str(run).encode() not in b"".join(written[0].values())
    assert capsys.readouterr().out.splitlines() == ["report/index.html: 7 questions, 11 figures"] * 2
    told = {q["id"]: q.get("explanations") for q in shown(written[0]["index.html"].decode())}
    asked = write_rationales(student, TEST, TEACHERS, toy_params(student__max_target_tokens=8))
    assert told == {q.id: list(asked[q.id].values()) for q in TEST} | {q.id: None for q in TRAIN}


def test_a_teacher_of_weight_0_is_not_asked_of_the_student(
    run: Path, student: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_project(run, student)
    for seed in SEEDS:
        curve = run / f"metrics/loss/{seed}.tsv"
        lines = curve.read_text(encoding="utf-8").splitlines(keepends=True)
        curve.write_text("".join(line for line in lines if "\tann\t" not in line), encoding="utf-8")
    report_stage(run, monkeypatch)
    asked = write_rationales(student, TEST, ["bob"], toy_params(student__max_target_tokens=8))
    told = shown((run / "report/index.html").read_text(encoding="utf-8"))
    assert [q["explanations"] for q in told if q["split"] == "test"] == [[None, asked[q.id]["bob"]] for q in TEST]
    assert not (run / "report/figures/loss_ann.svg").exists() and (run / "report/figures/loss_bob.svg").exists()


def test_without_teachers_the_stage_needs_no_student(
    run: Path, student: LoadedModel, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    put_project(run, student, teachers=())
    shutil.rmtree(run / "models")
    report_stage(run, monkeypatch)
    assert capsys.readouterr().out == "report/index.html: 7 questions, 4 figures\n"


def test_a_missing_input_ends_the_stage_in_one_line_and_leaves_the_old_page(
    run: Path, student: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_project(run, student)
    (run / "report").mkdir()
    (run / "report/index.html").write_text("old")
    (run / "data/predictions.jsonl").unlink()
    with pytest.raises(SystemExit) as end:
        report_stage(run, monkeypatch)
    assert end.value.code == "error: data/predictions.jsonl: no such file; run dvc repro score"
    assert (run / "report/index.html").read_text() == "old"


def test_questions_without_gold_that_were_left_out_are_not_on_the_page(run: Path) -> None:
    drop_line("data/corpus/train.jsonl", 1)(run)
    with pytest.raises(ValueError, match="no row of question 't2'; run dvc repro assemble"):
        read_results(TEACHERS, SEEDS, run)
    answers = {"labelled": 1, "unlabelled": 2, "made": 1, "left_out": 1, "made_right": 1.0}
    corpus = json.loads((run / "metrics/corpus.json").read_text(encoding="utf-8"))
    (run / "metrics/corpus.json").write_text(json.dumps({**corpus, "answers": answers}), encoding="utf-8")
    results = read_results(TEACHERS, SEEDS, run)
    assert [question.id for question in results.train] == ["t1", "t3"]
    assert [len(found) for found in results.rationales.values()] == [2, 2]
    assert gather(results, "toy", {})["train_questions"] == 2
    drop_line("data/corpus/train.jsonl", 1)(run)  # one more than metrics/corpus.json says
    with pytest.raises(ValueError, match="no row of question 't2'; run dvc repro assemble"):
        read_results(TEACHERS, SEEDS, run)

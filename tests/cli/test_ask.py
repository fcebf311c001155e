"""`tinyllm ask`, with a toy student on disk; the answers are compared with those of scoring, one question at a time."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from ruamel.yaml import YAML
from safetensors.torch import load_file, save_file

from tests.toys import toy_causal, toy_model, toy_params, toy_questions, toy_tokenizer
from tinyllm.cli.ask import _answer, as_text, load, read_stream, voices_to_add
from tinyllm.cli.main import main
from tinyllm.models.loaded import loaded_model
from tinyllm.project import known_seed
from tinyllm.records.questions import Question
from tinyllm.serving.question import parse_question
from tinyllm.student.answer import answer_questions, asked_as_scored
from tinyllm.student.encoding import InputEncoder
from tinyllm.student.folder import load_student, save_student
from tinyllm.student.generate import generate_texts, write_rationales
from tinyllm.student.predict import encode_questions, predict
from tinyllm.student.tuning import tune

ROOT = Path(__file__).resolve().parents[2]
PARAMS = toy_params(
    train__seeds=(3, 7), corpus__teachers=("signs", "care"), student__max_target_tokens=8, score__max_new_tokens=6
)
QUESTIONS = toy_questions(4)


def put_student(folder: Path, seed: int, build: Callable[..., Any] = toy_model, **tuned: Any) -> None:
    """Save a student whose weights are noise: as initialised, a T5 repeats its start token whatever it is asked."""
    tokenizer = toy_tokenizer(folder.parent / f"vocabulary-{seed}")
    model = tune(build(tokenizer, seed), toy_params(**tuned).student)
    torch.manual_seed(seed)
    with torch.no_grad():
        for weight in model.parameters():
            if weight.dim() > 1 and (weight.requires_grad or not tuned):
                weight.normal_()
    save_student(loaded_model(model, tokenizer), folder, 8)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project's folder with the students of seeds 3 and 7, and a third one elsewhere."""
    root = tmp_path_factory.mktemp("project")
    for seed in (3, 7):
        put_student(root / f"models/student/{seed}", seed)
    put_student(root / "elsewhere", 9)
    values = YAML(typ="safe").load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    given = json.loads(PARAMS.model_dump_json())
    for section in ("student", "corpus", "train", "score", "runtime", "loss"):
        values[section] = given[section]
    with open(root / "params.yaml", "w", encoding="utf-8") as file:
        YAML().dump(values, file)
    return root


@pytest.fixture
def inside(project: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(project)
    monkeypatch.delenv("TINYLLM_TRACEBACK", raising=False)
    return project


def arguments(question: Question) -> list[str]:
    choices = [part for choice in question.choices for part in ("--choice", choice)]
    return ["ask", question.question, *choices, "--context", question.context]


def asked(capsys: pytest.CaptureFixture[str], *given: str) -> dict:
    main([*given, "--json"])
    return json.loads(capsys.readouterr().out)


def refused(*given: str) -> str:
    with pytest.raises(SystemExit) as stop:
        main(given)
    assert isinstance(stop.value.code, str)  # Python prints a text to stderr and exits with status 1
    return stop.value.code


# --- one question ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("student", "folder"),
    [([], "models/student/3"), (["--seed", "7"], "models/student/7"), (["--model", "elsewhere"], "elsewhere")],
)
def test_the_student_that_is_named_answers_as_in_scoring(inside: Path, capsys, student: list[str], folder: str) -> None:
    model = load_student(inside / folder)
    for question in QUESTIONS[:2]:
        (expected,) = predict(model, [question], PARAMS)
        told = asked(capsys, *arguments(question), *student)
        assert (told["choice"], told["answer"]) == (expected["choice"], question.choices[expected["choice"]])
        odds = [2.718281828459045**score for score in expected["scores"]]
        assert told["probabilities"] == pytest.approx([odd / sum(odds) for odd in odds], abs=2e-4)
        assert set(told) == {"answer", "choice", "probabilities"}


@pytest.mark.parametrize("tuning", ["full", "lora", "prompt"])
def test_a_causal_student_answers_whole_or_as_an_adapter(inside: Path, capsys, tuning: str) -> None:
    put_student(inside / "causal", 5, toy_causal)
    folder = inside / f"causal-{tuning}"
    if tuning == "full":
        shutil.copytree("causal", folder, dirs_exist_ok=True)
    else:
        lora = PARAMS.student.lora.model_copy(update={"saved": "adapter"})
        tuned = {"student__tuning": tuning, "student__model": str(inside / "causal"), "student__lora": lora}
        put_student(folder, 5, lambda *_: load_student(inside / "causal").plain, **tuned)
    model = load_student(folder)
    (expected,) = predict(model, QUESTIONS[:1], PARAMS)
    told = asked(capsys, *arguments(QUESTIONS[0]), "--model", str(folder), "--rationales")
    assert (folder / "adapter_config.json").is_file() == (tuning != "full")
    assert told["choice"] == expected["choice"] and set(told["rationales"]) == {"signs", "care"}


def test_rationales_come_in_the_voice_of_every_teacher(inside: Path, capsys) -> None:
    told = asked(capsys, *arguments(QUESTIONS[0]), "--rationales")
    model = load_student(inside / "models/student/3")
    expected = write_rationales(model, [QUESTIONS[0]], ["signs", "care"], PARAMS)
    assert told["rationales"] == expected["q-0"]
    assert any(told["rationales"].values())


def test_a_question_without_options_is_answered_in_free_text(inside: Path, capsys) -> None:
    told = asked(capsys, "ask", "Which colour has the dog?")
    model = load_student(inside / "models/student/3")
    asked_for = [Question("1", "Which colour has the dog?", (), "")]
    readings, _, _ = encode_questions(asked_for, InputEncoder(PARAMS.student, model), "predict: ")
    assert told == {"answer": generate_texts(model, readings, 6, 4096)[0]}
    assert told["answer"]


def test_who_leaves_the_options_out_is_told_that_the_student_knows_them(inside: Path, capsys) -> None:
    note = (
        "note: the student was trained on questions with options; name each with --choice, and it chooses among them\n"
    )
    train = inside / "data/questions/train.jsonl"
    train.parent.mkdir(parents=True)
    try:
        for choices, said in ((["red", "blue"], note), ([], "")):
            train.write_text(json.dumps({"id": "1", "question": "Which?", "choices": choices}), encoding="utf-8")
            main(["ask", "Which colour has the dog?"])
            assert capsys.readouterr().err == said
        train.write_text(json.dumps({"id": "1", "question": "Which?", "choices": ["red"]}), encoding="utf-8")
        main(["ask", "Which colour has the dog?", "--model", "elsewhere"])  # trained on who knows what
        assert capsys.readouterr().err == ""
    finally:
        shutil.rmtree(inside / "data")


def test_a_student_trained_with_other_params_is_told(inside: Path, capsys) -> None:
    trained = json.loads(PARAMS.model_dump_json())["student"] | {"answer_prefix": "say: ", "max_input_tokens": 90}
    stages = {f"train@{seed}": {"cmd": "x", "params": {"params.yaml": {"student": trained}}} for seed in (3, 30)}
    lock = inside / "dvc.lock"
    try:
        with lock.open("w", encoding="utf-8") as file:
            YAML().dump({"schema": "2.0", "stages": stages}, file)
        main([*arguments(QUESTIONS[0]), "--seed", "7"])  # not in the lock
        assert capsys.readouterr().err == ""
        main(arguments(QUESTIONS[0]))
        assert capsys.readouterr().err == (
            "note: the student was trained with another student.max_input_tokens, student.answer_prefix; "
            "`dvc repro` trains it anew\n"
        )
    finally:
        lock.unlink()


def test_students_that_are_not_shown_to_beat_guessing_are_told(inside: Path, capsys) -> None:
    score = inside / "metrics/score.json"
    score.parent.mkdir()
    note = "note: on test these students are not shown to do better than guessing (55.3%)\n"
    try:
        free = 0.0  # the chance that a free text is guessed
        for low, chance, said in ((0.553, 0.3333, note), (0.5531, 0.3333, ""), (0.2, free, "")):
            score.write_text(json.dumps({"accuracy_low": low, "chance": chance, "majority": 0.553}), encoding="utf-8")
            main(arguments(QUESTIONS[0]))
            assert capsys.readouterr().err == said
        score.write_text(json.dumps({"accuracy_low": 0.1, "chance": 0.3, "majority": 0.5}), encoding="utf-8")
        main([*arguments(QUESTIONS[0]), "--model", "elsewhere"])  # of which the score tells nothing
        assert capsys.readouterr().err == ""
    finally:
        shutil.rmtree(score.parent)


def test_the_gold_answer_changes_nothing(inside: Path) -> None:
    model = load_student(inside / "models/student/3")
    student = asked_as_scored(model, inside, PARAMS)
    told = [answer_questions(student, [replace(QUESTIONS[0], answer=gold)], ["signs"]) for gold in (0, 1)]
    assert told[0] == told[1]


def test_a_context_that_does_not_fit_is_told(inside: Path, capsys) -> None:
    shorter = PARAMS.model_copy(update={"student": PARAMS.student.model_copy(update={"max_input_tokens": 80})})
    student = load(inside / "models/student/3", shorter)
    _answer(student, replace(QUESTIONS[0], context="It was late. " * 50), [])
    told = "note: q-0: longer than student.max_input_tokens (80); the head of its context was left out\n"
    assert capsys.readouterr().err == told
    _answer(student, QUESTIONS[0], [])
    assert capsys.readouterr().err == ""


def test_an_answer_of_no_words_is_shown_as_such() -> None:
    assert as_text({"answer": ""}, []) == "(nothing)"


def test_the_text_is_answer_probabilities_and_rationales_without_control_characters() -> None:
    told = {
        "answer": "red\x1b[31m",
        "choice": 1,
        "probabilities": [0.0312, 0.9688],
        "rationales": {"ann": "", "bob": "So."},
    }
    assert as_text(told, ["blue", "red\x1b[31m"]).split("\n") == [
        "red?[31m",
        "   3.1%  blue",
        "  96.9%  red?[31m",
        "ann: (nothing)",
        "bob: So.",
    ]
    assert as_text({"answer": "four"}, []) == "four"


# --- JSON lines -----------------------------------------------------------------------------------------------------


def test_a_row_may_lack_id_answer_and_options() -> None:
    lines = [
        b'\xef\xbb\xbf{"question": "Is  it?", "choices": ["yes", "no"]}\n',
        b" \n",
        b'{"id": "b", "question": "What?"}',
    ]
    assert list(read_stream(lines, "stdin")) == [
        Question("1", "Is it?", ("yes", "no"), 0),
        Question("b", "What?", (), ""),
    ]


def test_a_row_of_the_data_set_reads_as_it_does_in_the_pipeline() -> None:
    twice = Question("a", "Is it?", ("no", "yes", "no"), 1, "It is late.")  # as released sets have them
    assert parse_question(json.loads(json.dumps(asdict(twice))), "stdin:1") == twice


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b'{"question": "Is it?", "choices": ["yes"]}', "stdin:2: 1 choices; allowed are 2 to 26"),
        (b'{"question": "Is it?", "choices": "yes"}', "stdin:2: choices is 'yes'; allowed is a list of texts"),
        (
            b'{"question": "Is it?", "choices": ["no", "yes", "yes "]}',
            "stdin:2: 'yes' stands among the choices more than once; choices must differ",
        ),
        (b'{"question": "Is it?", "choices": ["no", "yes"], "answer": 2}', "stdin:2: answer 2, but 2 choices (0-1)"),
        (b'{"question": " "}', "stdin:2: the question is empty"),
        (b'{"choices": ["no", "yes"]}', "stdin:2: no field 'question'; a question has "),
        (b'{"question": "Is', "stdin:2: not JSON (Unterminated string starting at at column 14); one object a line"),
        (b'["Is it?"]', "stdin:2: found list; a line must be a JSON object"),
        (b"null", "stdin:2: found NoneType; a line must be a JSON object"),
        (b'{"question": "\xff"}', "stdin:2: not UTF-8 (byte 14); convert it, for example with iconv"),
        (b'{"question": "\\ud800"}', "stdin:2: \\ud800 is half a character, which UTF-8 cannot hold"),
        (b"[" * 200_000, "stdin:2: nested too deep, or a number of too many digits, to be read"),
    ],
)
def test_a_faulty_line_is_named(line: bytes, message: str) -> None:
    found = read_stream([b'{"question": "Is it?"}\n', line], "stdin")
    next(found)
    with pytest.raises(ValueError) as error:
        next(found)
    assert str(error.value).startswith(message)


def test_no_line_at_all_is_refused() -> None:
    with pytest.raises(ValueError, match="^stdin: no questions; give one as an argument, or JSON lines on stdin$"):
        list(read_stream([b"\n"], "stdin"))


# --- bad input ------------------------------------------------------------------------------------------------------


def test_what_cannot_be_asked_ends_in_one_line(inside: Path) -> None:
    assert refused("ask", "Is it?", "--choice", "yes") == (
        "error: question: 1 choices; allowed are 2 to 26, or none where the answer is free text"
    )
    assert refused("ask", "Is it?", "--seed", "4") == "error: seed 4 is not in train.seeds, which has 3, 7"
    assert refused("ask", "--choice", "yes").startswith("error: --choice and --context belong to a question; ")
    assert refused("ask", "Is \udcff it?").startswith("error: question: \\udcff is half a character")


def test_a_folder_that_is_no_student_ends_in_one_line(inside: Path, tmp_path: Path) -> None:
    missing = "holds no trained student (config.json and model.safetensors); run dvc repro train, or name a folder"
    assert refused("ask", "Is it?", "--model", "nowhere").startswith(f"error: nowhere: {missing}")
    shutil.copytree("elsewhere", tmp_path / "other")
    for config, kind in (
        ('{"model_type": "bert", "architectures": ["BertForMaskedLM"]}', "BertForMaskedLM"),
        ('{"model_type": "t5"}', "a t5 without a task"),
    ):
        (tmp_path / "other/config.json").write_text(config)
        told = refused("ask", "Is it?", "--model", str(tmp_path / "other"))
        assert f"other: holds {kind}, a model that writes no text; run dvc repro train" in told
    shutil.copytree("elsewhere", tmp_path / "damaged")
    (tmp_path / "damaged/model.safetensors").write_bytes(b"no weights")
    told = refused("ask", "Is it?", "--model", str(tmp_path / "damaged"))
    assert "damaged: damaged (" in told
    assert told.endswith("; name a student's folder that is whole")


def test_without_a_trained_student_the_stage_is_named(inside: Path, tmp_path: Path, monkeypatch) -> None:
    shutil.copy("params.yaml", tmp_path)
    monkeypatch.chdir(tmp_path)
    assert refused("ask", "Is it?").startswith("error: models/student/3: holds no trained student")


def test_only_teachers_that_were_learnt_from_have_a_voice() -> None:
    params = toy_params(loss__alpha=0.0, loss__teacher_alpha={"bob": 0.5})
    assert voices_to_add(params) == ["bob"]
    with pytest.raises(ValueError, match="--rationales: corpus.teachers has no teacher with a weight above 0"):
        voices_to_add(toy_params(loss__alpha=0.0))


def test_the_first_seed_is_the_default() -> None:
    assert (known_seed(None, PARAMS), known_seed(7, PARAMS)) == (3, 7)


# --- as a process ---------------------------------------------------------------------------------------------------


@pytest.fixture
def process(project: Path) -> Iterator[subprocess.Popen[str]]:
    environment: dict[str, Any] = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", "from tinyllm.cli.main import main; main()", "ask"]
    pipes = {name: subprocess.PIPE for name in ("stdin", "stdout", "stderr")}
    with subprocess.Popen(command, cwd=project, env=environment, text=True, **pipes) as started:
        yield started
        started.kill()


@pytest.mark.slow
def test_lines_are_answered_as_they_come_and_a_broken_one_ends_it(process: subprocess.Popen[str]) -> None:
    assert process.stdin and process.stdout and process.stderr
    for question in QUESTIONS[:2]:
        row = {name: value for name, value in asdict(question).items() if name != "answer"}
        process.stdin.write(json.dumps(row) + "\n")
        process.stdin.flush()
        assert json.loads(process.stdout.readline())["id"] == question.id  # though stdin is open still
    process.stdin.write("{\n")
    process.stdin.close()
    assert process.stdout.read() == ""
    assert process.stderr.read().startswith("error: stdin:3: not JSON (")
    assert process.wait(timeout=30) == 1


# --- weights that are no numbers ------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("where", ["models/student/3", "elsewhere"])
def test_a_student_whose_weights_are_no_numbers_is_refused(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any, where: str, value: float
) -> None:
    shutil.copytree(project, tmp_path / "copy")
    monkeypatch.chdir(tmp_path / "copy")
    weights = load_file(f"{where}/model.safetensors")
    weights["shared.weight"][9, 9] = value
    save_file(weights, f"{where}/model.safetensors", {"format": "pt"})
    student = ["--model", where] if where == "elsewhere" else []
    line = refused(*arguments(QUESTIONS[0]), *student, "--json")
    remedy = "name a student's folder that is whole" if student else "delete it and run dvc repro train"
    assert line == f"error: {where}: damaged (nan or infinite numbers in 1 of its weights, shared.weight); {remedy}"
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("choices", [("red", "blue"), ()])
def test_a_student_whose_numbers_overflow_answers_nothing(
    inside: Path, capsys, monkeypatch: pytest.MonkeyPatch, choices: tuple[str, ...]
) -> None:
    """Its weights are numbers, of which a product is not."""
    student = load_student(inside / "models/student/3")
    with torch.no_grad():
        student.plain.decoder.final_layer_norm.weight.fill_(3e38)
    save_student(student, inside / "huge", 8)
    found = "scores its options" if choices else "finds its next token as likely as nan or infinity"
    line = json.dumps({"question": "Which horse?", "choices": choices}) + "\n"
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(line.encode() * 2)))
    for given in (
        ["ask", "--model", "huge"],
        [*arguments(Question("1", "Which?", choices, "")), "--json", "--model", "huge"],
    ):
        told = refused(*given)
        assert told.startswith(f"error: huge: the student {found}") and told.endswith("a lower train.learning_rate")
        assert "\n" not in told and capsys.readouterr().out == ""


@pytest.mark.parametrize(
    "choices",
    [
        ["red", "red\u200b"],
        ["r\u00aded", "red"],
        ["caf\u00e9", "cafe\u0301"],
        ["\u2764", "\u2764\ufe0f"],
        ["red", "\u202ered"],
    ],
)
def test_options_that_look_alike_are_refused(inside: Path, choices: list[str]) -> None:
    line = refused("ask", "Which?", "--choice", choices[0], "--choice", choices[1])
    assert line == f"error: question: {choices[0]!r} stands among the choices more than once; choices must differ"

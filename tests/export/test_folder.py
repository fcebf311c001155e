"""`tinyllm export`: a toy student copied whole or not at all, loaded by the very code of its card in a process of its own."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from huggingface_hub import ModelCard
from ruamel.yaml import YAML

from tests.exported import exported_params, put_metrics
from tests.runs import TEST, put_records
from tests.toys import toy_causal, toy_model, toy_tokenizer
from tinyllm.cli.main import main
from tinyllm.export.folder import check_lock, export, git_state
from tinyllm.models.loaded import loaded_model
from tinyllm.params.schema import Params
from tinyllm.records.jsonl import read_jsonl, write_jsonl
from tinyllm.records.questions import Question, write_questions
from tinyllm.student.folder import load_student, save_student
from tinyllm.student.generate import write_rationales
from tinyllm.student.predict import predict
from tinyllm.student.tuning import tune

STUDENT = Path("models/student/3")


@pytest.fixture(scope="module")
def student(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A student's folder; its weights are noise, for as initialised a T5 repeats its start token whatever it is asked."""
    root = tmp_path_factory.mktemp("students")
    tokenizer = toy_tokenizer(root / "vocabulary")
    save_student(loaded_model(noisy(toy_model(tokenizer)), tokenizer), root / "3", 8)
    return root / "3"


def noisy(model: Any) -> Any:
    torch.manual_seed(3)
    with torch.no_grad():
        for weight in model.parameters():
            if weight.dim() > 1 and weight.requires_grad:
                weight.normal_()
    return model


@pytest.fixture(autouse=True)
def project(student: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder: a finished run with the student of seed 3."""
    root = tmp_path / "project"
    put_metrics(root)
    shutil.copytree(student, root / STUDENT)
    monkeypatch.chdir(root)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))  # whatever lies around it is no part of the project
    return root


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


# --- the copy -------------------------------------------------------------------------------------------------------


def test_the_folder_holds_the_student_and_its_card_and_the_student_stays_as_it_was(tmp_path: Path) -> None:
    before = contents(STUDENT)
    (STUDENT / "model.safetensors").rename(tmp_path / "cached")
    (STUDENT / "model.safetensors").symlink_to(tmp_path / "cached")  # as DVC links from its cache
    export(Path("new/out"), 3, exported_params())
    after = contents(Path("new/out"))
    assert after.pop("README.md").startswith(b"---\nlicense: mit\n")
    assert after.pop("lm_eval.yaml").startswith(b"task: tinyllm_casebook\n")
    assert after == before == contents(STUDENT)
    assert not Path("new/out/model.safetensors").is_symlink()
    assert [path.name for path in Path("new").iterdir()] == ["out"]


def test_the_hubs_own_library_reads_the_card() -> None:
    export(Path("out"), 3, exported_params(corpus__teachers=("ann",)))
    data = ModelCard.load("out/README.md").data
    assert (data.license, data.library_name, data.metrics) == ("mit", "transformers", ["accuracy", "exact_match"])


@pytest.mark.slow
def test_the_pipeline_that_the_card_names_takes_a_causal_student_and_no_encoder_decoder(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    from transformers import pipeline

    export(Path("seq2seq"), 3, exported_params())
    pipeline("text-generation", model="seq2seq")
    refused = "The model 'T5ForConditionalGeneration' is not supported for text-generation."
    assert [record.getMessage()[: len(refused)] for record in caplog.records] == [refused]
    caplog.clear()
    export(Path("causal"), 3, put_student("a Llama", tmp_path))
    asked = "predict: Which colour has the dog?\nAnswer:"
    (row,) = pipeline("text-generation", model="causal")(asked)
    assert row["generated_text"].startswith(asked)
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []


def test_two_exports_are_equal(tmp_path: Path) -> None:
    Path("empty").mkdir()
    for folder in (Path("empty"), tmp_path / "elsewhere"):
        export(folder, 3, exported_params())
    assert contents(Path("empty")) == contents(tmp_path / "elsewhere")
    assert str(tmp_path) not in Path("empty/README.md").read_text()


def test_the_command_exports_the_first_seed_unless_told_otherwise(capsys: pytest.CaptureFixture[str]) -> None:
    with open("params.yaml", "w", encoding="utf-8") as file:
        YAML().dump(json.loads(exported_params().model_dump_json()), file)
    with pytest.raises(
        SystemExit, match="^error: metrics/used/download.json: no such file, so that it is not known wh"
    ):
        main(["export", "out"])
    put_records(Path())
    main(["export", "out"])
    assert (
        capsys.readouterr().out
        == "out: the student of seed 3, with its card README.md; read it before you pass it on\n"
    )
    assert "# TinyLLM student: casebook, seed 3\n" in Path("out/README.md").read_text()
    with pytest.raises(SystemExit, match="^error: seed 4 is not in train.seeds, which has 3, 7$"):
        main(["export", "another", "--seed", "4"])


@pytest.mark.parametrize(
    ("folder", "message"),
    [
        ("metrics", "metrics: is there already; name a folder that is empty or not there"),
        ("dvc.yaml", "dvc.yaml: is there already; name a folder that is empty or not there"),
        (
            "models/student/3/card",
            "models/student/3/card: lies in models/student, which a stage of the pipeline writes; ",
        ),
        ("dvc.yaml/out", r"dvc.yaml/out: cannot be written \(.*\); nothing was exported"),
    ],
)
def test_a_folder_that_cannot_be_used_is_refused(project: Path, folder: str, message: str) -> None:
    Path("dvc.yaml").write_text("")
    before = sorted(project.rglob("*"))
    with pytest.raises(ValueError, match=f"^{message}"):
        export(Path(folder), 3, exported_params())
    assert sorted(project.rglob("*")) == before


def test_an_export_that_fails_leaves_nothing(project: Path) -> None:
    (STUDENT / "zz").mkdir()  # what is copied last cannot be copied
    before = sorted(project.rglob("*"))
    with pytest.raises(ValueError, match=r"^out: cannot be written \(Is a directory\); nothing was exported$"):
        export(Path("out"), 3, exported_params())
    assert sorted(project.rglob("*")) == before


def test_a_seed_without_a_student_is_refused() -> None:
    with pytest.raises(ValueError, match="^models/student/7: holds no trained student "):
        export(Path("out"), 7, exported_params())


# --- how it came about ----------------------------------------------------------------------------------------------


def put_lock(**values: Any) -> None:
    trained = {"loss": {"answer": 1.0, "alpha": 0.5, "teacher_alpha": {}, "kd": 0.0}, "train.epochs": 2, **values}
    stages = {"train@3": {"cmd": "python -m stages.train 3", "params": {"params.yaml": trained}}}
    with open("dvc.lock", "w", encoding="utf-8") as file:
        YAML().dump({"schema": "2.0", "stages": stages}, file)


def test_params_other_than_those_of_the_training_are_refused() -> None:
    assert not check_lock(3, exported_params())
    put_lock(**{"corpus.teachers": ["ann", "bob"]})
    assert check_lock(3, exported_params())
    assert not check_lock(7, exported_params())
    with pytest.raises(
        ValueError, match="^params.yaml: loss is not what seed 3 was trained with; run dvc repro, then exp"
    ):
        check_lock(3, exported_params(loss__alpha=0.6))
    with pytest.raises(ValueError, match="^params.yaml: train.epochs is not what seed 3 was trained with; "):
        export(Path("out"), 3, exported_params(train__epochs=3))
    assert not Path("out").exists()


def git(*arguments: str) -> str:
    identity = ["-c", "user.name=ann", "-c", "user.email=ann@example.org"]
    return subprocess.run(["git", *identity, *arguments], capture_output=True, text=True, check=True).stdout.strip()


def test_the_commit_is_told_and_whether_a_tracked_file_differs() -> None:
    assert git_state() == (None, False)
    Path("params.yaml").write_text("a: 1\n")
    git("init", "--quiet")
    git("add", "params.yaml")
    git("commit", "--quiet", "--message", "a")
    commit = git("rev-parse", "HEAD")
    assert git_state() == (commit, False)  # the untracked files are what the pipeline makes
    Path("params.yaml").write_text("a: 2\n")
    assert git_state() == (commit, True)


# --- loading it -----------------------------------------------------------------------------------------------------


CHAT = "{% for message in messages %}user: {{ message['content'] }} student:{% endfor %}"
KINDS: dict[str, tuple[Callable, dict[str, Any]]] = {  # the model that a student starts from, and its params
    "a T5": (toy_model, {}),
    "a T5 with a shared encoder": (toy_model, {"student__shared_encoder": True}),
    "a Llama": (toy_causal, {}),
    "a Llama without a space": (toy_causal, {"student__response": "\nAnswer:\n"}),
    "a Llama that chats": (toy_causal, {"student__chat": True}),
    "a Llama that reads the question first": (toy_causal, {"student__shared_encoder": True}),
    "a Llama that chats and reads the question first": (
        toy_causal,
        {"student__chat": True, "student__shared_encoder": True},
    ),
    "a T5's adapters": (toy_model, {"student__tuning": "lora"}),
    "a T5's soft prompt": (toy_model, {"student__tuning": "prompt"}),
    "a T5's soft prompt, shared encoder": (toy_model, {"student__tuning": "prompt", "student__shared_encoder": True}),
    "a Llama's soft prompt": (toy_causal, {"student__tuning": "prompt"}),
}


def put_student(kind: str, root: Path) -> Params:
    """Put a student of a kind in the place of seed 3's, started from a folder `base` there; return its params."""
    make, changes = KINDS[kind]
    params = exported_params(
        student__origin="local", student__model=str(root / "base"), student__scratch=None, **changes
    )
    lora = params.student.lora.model_copy(update={"saved": "adapter"})
    params = params.model_copy(update={"student": params.student.model_copy(update={"lora": lora})})
    tokenizer = toy_tokenizer(root / "vocabulary")
    tokenizer.chat_template = CHAT if params.student.chat else None
    save_student(loaded_model(noisy(make(tokenizer)), tokenizer), root / "base", 8)
    tuned = noisy(tune(load_student(root / "base").plain, params.student))
    save_student(loaded_model(tuned, tokenizer), root / "project" / STUDENT, 8)
    return params


def ask_alone(question: Question) -> None:
    """Leave one question of test, under its id perhaps another one, and the predictions of it."""
    write_questions("data/questions/test.jsonl", [question])
    rows = [row for row in read_jsonl("data/predictions.jsonl") if row["id"] == question.id]
    write_jsonl("data/predictions.jsonl", rows)


@dataclass(frozen=True)
class Card:
    """An exported card: what its code is to be run with, and the prediction that it is held against.

    Args:
        shown: Python that shows more of it, run behind the card's own code
    """

    folder: Path
    shown: str
    question: Question
    expected: dict[str, Any]


def put_card(root: Path, kind: str, normalize: str, written: bool) -> Card:
    """Export a student of a kind into `root/project/out`.

    Args:
        written: whether the card's call for a rationale is run besides, for four tokens
    """
    put_metrics(root / "project")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root / "project")
        patch.setenv("GIT_CEILING_DIRECTORIES", str(root))
        params = put_student(kind, root)
        params = params.model_copy(update={"score": params.score.model_copy(update={"normalize": normalize})})
        question = TEST[0] if written else replace(TEST[0], choices=("a green dog", "red"))  # of different length
        ask_alone(question)
        export(Path("out"), 3, params)
        short = params.model_copy(update={"score": params.score.model_copy(update={"max_new_tokens": 4})})
        (expected,) = predict(load_student(STUDENT), [question], short)
        assert str(root) not in "".join(
            path.read_text() for path in Path("out").iterdir() if path.suffix in (".json", ".md")
        )
        shutil.copytree(root / "base", "out/base")  # where an adapter's card says it is
    shown = "print([scores[option] for option in options])"
    if written:
        card = (root / "project/out/README.md").read_text()
        (call,) = re.findall(r"`(model\.generate\(.*?\))` writes a rationale", card)
        call = f"{call.removesuffix(')').partition(', max_new_tokens')[0]}, max_new_tokens=4)"
        shown = f"print(tokenizer.decode({call}[0], skip_special_tokens=True))"
    return Card(root / "project/out", shown, question, expected)


ANSWERS = [*((kind, "none") for kind in KINDS), ("a T5", "tokens"), ("a Llama", "tokens")]
CALLS = [
    "a T5 with a shared encoder",
    "a Llama",
    "a Llama that reads the question first",
    "a Llama's soft prompt",
]
# One process runs them all, each in its folder with names of its own: to import torch takes longer than a card.
RUN_CARDS = """
import contextlib, json, os, sys
for folder, code in json.loads(sys.stdin.read()):
    os.chdir(folder)
    with open("printed", "w") as file, contextlib.redirect_stdout(file):
        exec(code, {"__name__": "__main__"})
assert not [name for name in sys.modules if name.split(".")[0] in ("tinyllm", "stages")]
"""


@pytest.fixture(scope="module")
def cards(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], Card]:
    """Every card, its code run in a process that has not this project."""
    cards = {}
    for kind, how in [*ANSWERS, *((kind, "written") for kind in CALLS)]:
        written = how == "written"
        cards[kind, how] = put_card(tmp_path_factory.mktemp("card"), kind, "none" if written else how, written)
    given = []
    for card in cards.values():
        (code,) = re.findall(
            r"^```python\n(.*?)^```", (card.folder / "README.md").read_text(), re.DOTALL | re.MULTILINE
        )
        given.append((str(card.folder), f"{code}\n{card.shown}"))
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [sys.executable, "-c", RUN_CARDS]
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    ended = subprocess.run(
        command, input=json.dumps(given), cwd=elsewhere, env=environment, capture_output=True, text=True
    )
    assert ended.returncode == 0, ended.stderr
    return cards


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "normalize"), ANSWERS)
def test_the_cards_own_code_answers_as_we_do_without_us(
    kind: str, normalize: str, cards: dict[tuple[str, str], Card]
) -> None:
    card = cards[kind, normalize]
    answer, scores = (card.folder / "printed").read_text().splitlines()
    assert answer == card.question.choices[card.expected["choice"]]
    found = [float(score) for score in scores.strip("[]").split(",")]
    assert found == pytest.approx(card.expected["scores"], abs=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("kind", CALLS)
def test_the_cards_own_call_goes_on_from_the_question(kind: str, cards: dict[tuple[str, str], Card]) -> None:
    card = cards[kind, "written"]
    (_, written) = (card.folder / "printed").read_text().splitlines()
    assert card.expected["text"] and written.endswith(card.expected["text"])


@pytest.mark.parametrize(
    "kind",
    ["a T5", "a T5 with a shared encoder", "a Llama", "a Llama that reads the question first", "a Llama that chats"],
)
def test_the_card_of_a_student_that_answers_behind_rationales_writes_in_its_first_voice(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    put_metrics(tmp_path / "project")
    monkeypatch.chdir(tmp_path / "project")
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
    params = put_student(kind, tmp_path)
    behind = {"target": "rationale_then_answer", "max_target_tokens": 8}
    params = params.model_copy(update={"student": params.student.model_copy(update=behind)})
    ask_alone(TEST[0])
    export(Path("out"), 3, params)
    expected = write_rationales(load_student(STUDENT), [TEST[0]], ["ann"], params)[TEST[0].id]["ann"]
    (code,) = re.findall(r"^```python\n(.*?)^```", Path("out/README.md").read_text(), re.DOTALL | re.MULTILINE)
    monkeypatch.chdir("out")
    capsys.readouterr()
    exec(code, {"__name__": "__main__"})
    assert expected and " ".join(capsys.readouterr().out.split()) == expected

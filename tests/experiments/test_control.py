"""The control of a run: found by what was used, compared question by question, or said to be missing."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from tests.dvc_project import PREDICTIONS, QUESTIONS, Project, git, lines, prediction_rows, question_rows
from tinyllm.experiments.control import answers_alone, control_command, find_control, is_control
from tinyllm.experiments.locked import leaves, locked_params

USED: dict[str, Any] = {
    "corpus": {"teachers": ["ann", "bob"], "selection": "all"},
    "data": {"dataset": "casebook", "take": {"train": None}},
    "loss": {"answer": 1.0, "alpha": 0.5, "teacher_alpha": {}, "kd": 0.0},
    "train": {"seeds": [1, 2, 3], "epochs": 4},
    "score": {"normalize": "none"},
    "student": {"target": "rationale_then_answer"},
}
QUESTIONS_TEXT = lines(question_rows(40))
TAUGHT = lines(prediction_rows(question_rows(40), lambda seed, i: i % 10 != seed))  # 90%
ALONE = lines(prediction_rows(question_rows(40), lambda seed, i: i % 2 == 0))  # 50%


def md5(text: str) -> str:
    return hashlib.md5(text.encode()).hexdigest()


def lock(predictions: str, code: str = "c0de", **changes: Any) -> str:
    """A dvc.lock of all that counts, as the stages leave it."""
    values: dict[str, Any] = {section: dict(found) for section, found in USED.items()}
    for key, value in changes.items():
        section, _, name = key.partition("__")
        values[section][name] = value
    teachers, seeds = values["corpus"]["teachers"], values["train"]["seeds"]
    loss, corpus = {"loss": values["loss"], "corpus.teachers": teachers}, {"corpus": values["corpus"]}
    room = [{"path": "tinyllm/training", "md5": code}]
    stages: dict[str, Any] = {
        "download": {"cmd": "x", "params": {"params.yaml": {"data": values["data"]}}},
        "assemble": {"cmd": "x", "params": {"params.yaml": corpus}},
        "score": {
            "cmd": "x",
            "deps": [{"path": QUESTIONS, "md5": md5(QUESTIONS_TEXT)}],
            "params": {
                "params.yaml": {"corpus.teachers": teachers, "train.seeds": seeds, "score": values["score"]},
            },
            "outs": [{"path": PREDICTIONS, "md5": md5(predictions)}],
        },
        **{
            f"train@{seed}": {
                "cmd": "x",
                "deps": room,
                "params": {
                    "params.yaml": {**loss, "train.epochs": values["train"]["epochs"], "student": values["student"]}
                },
            }
            for seed in seeds
        },
    }
    text = Path("written.yaml")
    yaml = YAML()
    yaml.default_flow_style = False
    yaml.representer.ignore_aliases = lambda *_: True  # as DVC writes it
    yaml.dump({"schema": "2.0", "stages": stages}, text)
    return text.read_text(encoding="utf-8")


class Experiments(Project):
    """A project with a run in its folder, and experiments as DVC keeps them."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        for text in (QUESTIONS_TEXT, TAUGHT, ALONE):
            self.cached(md5(text)).parent.mkdir(parents=True, exist_ok=True)
            self.cached(md5(text)).write_text(text, encoding="utf-8")
        self.put(QUESTIONS_TEXT, TAUGHT)
        (folder / "dvc.lock").write_text(lock(TAUGHT), encoding="utf-8")
        git(folder, "add", "dvc.yaml", "dvc.lock", ".dvc/config", ".gitignore")
        git(folder, "commit", "-q", "-m", "the run")
        self.base = git(folder, "rev-parse", "HEAD")

    def experiment(self, name: str, text: str) -> None:
        (self.folder / "dvc.lock").write_text(text, encoding="utf-8")
        git(self.folder, "commit", "-q", "--allow-empty", "-a", "-m", name)
        git(self.folder, "update-ref", f"refs/exps/{self.base[:2]}/{self.base[2:]}/{name}", "HEAD")
        git(self.folder, "reset", "-q", "--hard", self.base)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Experiments:
    monkeypatch.chdir(tmp_path)
    return Experiments(tmp_path)


CONTROLS: list[dict[str, Any]] = [
    {"loss__alpha": 0.0},
    {"corpus__teachers": []},
    {"loss__alpha": 0.5, "loss__teacher_alpha": {"ann": 0.0, "bob": 0.0}},
    {"loss__alpha": 0.0, "student__target": "multitask"},  # what it writes under a teacher's prefix shapes none either
    {"loss__alpha": 0.0, "score__voices": "auto", "score__samples": 1},  # it has no voices to ask
    {"loss__alpha": 0.0, "corpus__selection": "helpful"},  # what only teachers bring in shapes no control
]
NO_CONTROLS: list[dict[str, Any]] = [
    {"loss__alpha": 0.1},
    {"loss__alpha": 0.0, "loss__teacher_alpha": {"ann": 0.2}},
    {"loss__alpha": 0.0, "loss__kd": 0.5},
    {"loss__alpha": 0.0, "train__epochs": 5},
    {"loss__alpha": 0.0, "train__seeds": [1, 2]},
    {"loss__alpha": 0.0, "data__dataset": "arc"},
    {"loss__alpha": 0.0, "loss__answer": 2.0},
    {"loss__alpha": 0.0, "code": "0ther"},
    {"loss__alpha": 0.0, "corpus__answers": "teachers"},
    {"corpus__teachers": [], "corpus__answers": "teachers"},
]


@pytest.mark.parametrize("changes", CONTROLS)
def test_a_run_of_answers_alone_is_the_control(project: Experiments, changes: dict[str, Any]) -> None:
    project.experiment("plain", lock(ALONE, **changes))
    found = find_control()
    # 90% less 50%, with the interval of `tinyllm compare`
    assert (found["state"], found["name"], round(found["value"], 4)) == ("better", "plain", 0.4)
    assert 0.2 < found["low"] < 0.4 < found["high"] < 0.6


@pytest.mark.parametrize("changes", NO_CONTROLS)
def test_a_run_that_differs_in_more_is_none(project: Experiments, changes: dict[str, Any]) -> None:
    project.experiment("plain", lock(ALONE, **changes))
    assert find_control()["state"] == "none"


def test_the_numbers_do_not_hide_a_loss_or_a_tie(project: Experiments) -> None:
    project.put(QUESTIONS_TEXT, ALONE)
    (project.folder / "dvc.lock").write_text(lock(ALONE), encoding="utf-8")
    project.experiment("good", lock(TAUGHT, loss__alpha=0.0))
    (project.folder / "dvc.lock").write_text(lock(ALONE), encoding="utf-8")
    assert (find_control()["state"], round(find_control()["value"], 4)) == ("worse", -0.4)
    project.put(QUESTIONS_TEXT, TAUGHT)
    assert (find_control()["state"], find_control()["value"]) == ("open", 0.0)


def test_a_control_whose_files_are_gone_is_said_to_be_unread_and_an_older_one_is_taken(project: Experiments) -> None:
    project.experiment("lost", lock("never kept", loss__alpha=0.0))
    found = find_control()
    assert found["state"] == "unread" and found["why"].startswith("lost: data/predictions.jsonl is not in DVC's cache;")
    project.experiment("kept", lock(ALONE, loss__alpha=0.0))
    assert (find_control()["state"], find_control()["name"]) == ("better", "kept")


def test_a_run_of_answers_alone_is_itself_a_control(project: Experiments) -> None:
    (project.folder / "dvc.lock").write_text(lock(TAUGHT, loss__alpha=0.0), encoding="utf-8")
    assert find_control()["state"] == "itself"


@pytest.mark.parametrize("what", ["no lock", "no git", "no score"])
def test_where_nothing_was_run_there_is_no_control_and_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    monkeypatch.chdir(tmp_path)
    if what == "no score":
        Path("dvc.lock").write_text("schema: '2.0'\nstages:\n  download:\n    cmd: x\n", encoding="utf-8")
    if what != "no git":
        git(tmp_path, "init", "-q")
    assert (find_control()["state"], find_control()["command"]) == (
        "none",
        "dvc exp run --temp -n answers -S loss.alpha=0.0",
    )


@pytest.mark.parametrize(
    ("loss", "names", "command"),
    [
        ({}, [], "dvc exp run --temp -n answers -S loss.alpha=0.0"),
        ({}, ["answers", "x"], "dvc exp run --temp -n answers-2 -S loss.alpha=0.0"),
        ({"kd": 0.3}, ["answers", "answers-2"], "dvc exp run --temp -n answers-3 -S loss.alpha=0.0 -S loss.kd=0.0"),
        (
            {"teacher_alpha": {"ann": 0.7, "bob": 0.0}},
            [],
            "dvc exp run --temp -n answers -S loss.alpha=0.0 -S loss.teacher_alpha.ann=0.0",
        ),
    ],
)
def test_the_command_switches_off_every_weight_and_takes_a_free_name(
    loss: dict[str, Any], names: list[str], command: str
) -> None:
    assert control_command(leaves({"loss": USED["loss"] | loss}), names) == command


def test_the_control_of_a_student_that_answers_behind_rationales_answers_by_itself() -> None:
    command = "dvc exp run --temp -n answers -S loss.alpha=0.0"
    for target, more in [("rationale_then_answer", " -S student.target=multitask"), ("answer_then_rationale", "")]:
        used = leaves({"loss": USED["loss"], "student": {"target": target}})
        assert control_command(used, []) == f"{command}{more}"


def test_a_control_is_asked_directly() -> None:
    used = {
        "student": {"target": "rationale_then_answer"},
        "score": {"voices": "vote", "samples": 4, "temperature": 0.7},
    }
    assert control_command(leaves({"loss": USED["loss"], **used}), []) == (
        "dvc exp run --temp -n answers -S loss.alpha=0.0 -S student.target=multitask -S score.voices=auto -S score.samples=1"
    )
    plain = {"loss": USED["loss"], "score": {"voices": "direct", "samples": 1, "temperature": 0.7}}
    assert control_command(leaves(plain), []) == "dvc exp run --temp -n answers -S loss.alpha=0.0"


def test_stages_of_teachers_and_seeds_that_are_no_longer_in_use_do_not_count(project: Experiments) -> None:
    text = lock(TAUGHT, train__seeds=[1])
    old = lock(TAUGHT, train__epochs=99).partition("  train@2:")[2].partition("  train@3:")[0]
    used = locked_params(f"{text}  train@2:{old}")
    assert (used["train.epochs"], used["train.seeds"], used["data.take.train"]) == (4, [1], None)
    assert not answers_alone(used) and not is_control(text, text, used)


def test_a_run_of_made_answers_is_no_control_of_itself_and_its_control_has_the_gold_ones_alone(
    project: Experiments,
) -> None:
    voted = lock(TAUGHT, loss__alpha=0.0, corpus__answers="teachers")
    (project.folder / "dvc.lock").write_text(voted, encoding="utf-8")
    found = find_control()
    assert (found["state"], found["command"]) == (
        "none",
        "dvc exp run --temp -n answers -S loss.alpha=0.0 -S student.target=multitask -S corpus.answers=gold",
    )
    assert is_control(lock(ALONE, loss__alpha=0.0, corpus__answers="gold"), voted, locked_params(voted))

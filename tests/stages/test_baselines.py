"""Every baseline of the method runs by `-S` alone, through the stages, on a small world: no baseline has code of its own.

In `make test` the stages run in this process, one after the other; nightly DVC runs them, in a clone of this repository.
"""

from __future__ import annotations

import json
import runpy
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import equal

from tests.clones import ROOT, SMALL, Clone, copy_of_this, flat, options, parsed, set_params, stages_run
from tinyllm.cli.main import main

pytestmark = pytest.mark.slow

TRAINED = ["train@1", "score"]
WEIGHTS = "models/student/1/model.safetensors"
ONE_SEED = {**SMALL, "train": {"seeds": [1], "epochs": 1, "eval_every": 1}}


# --- what makes a baseline what it is -------------------------------------------------------------------------------


def tasks(folder: Path) -> set[str]:
    """What the loss curve tells of."""
    rows = (folder / "metrics/loss/1.tsv").read_text(encoding="utf-8").splitlines()
    assert rows[0] == "step\ttask\tloss"
    return {row.split("\t")[1] for row in rows[1:]}


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def moved(folder: Path) -> set[str]:
    """The weights that differ from those of the student before any training."""
    before, after = load_file(folder / "kept/untrained/model.safetensors"), load_file(folder / WEIGHTS)
    assert before.keys() == after.keys()
    return {name for name in before if not equal(before[name], after[name])}


def is_inference_only(folder: Path) -> None:
    told = read(folder / "metrics/train/1.json")
    assert (told["steps"], told["epochs"], told["best_epoch"]) == (0, 0, 0)
    assert not tasks(folder) and not moved(folder)


def is_answers_only(folder: Path) -> None:
    assert tasks(folder) == {"answer"}
    assert list(read(folder / "metrics/corpus.json")["teachers"]) == ["signs", "care"]  # there, and not learnt from


def is_one_teacher(folder: Path) -> None:
    assert tasks(folder) == {"answer", "signs"}


def is_step_by_step(folder: Path) -> None:
    assert tasks(folder) == {"answer", "signs"}
    forced, free = rows(folder / "kept/forced.jsonl"), rows(folder / "data/rationales/signs.jsonl")
    declined = [sum(row["status"] == "declined" for row in found) for found in (forced, free)]
    assert declined[0] < declined[1] < len(free)  # it was not shown the answers that it could not find


def is_standard_kd(folder: Path) -> None:
    assert tasks(folder) == {"answer", "soft_labels"}
    for row in rows(folder / "data/corpus/train.jsonl"):
        assert set(row["option_probabilities"]) == {"signs", "care"}
        assert all(sum(shares) == pytest.approx(1) for shares in row["option_probabilities"].values())


def is_lora(folder: Path) -> None:
    assert tasks(folder) == {"answer", "signs", "care"}
    changed = moved(folder)
    assert "encoder.block.0.layer.0.SelfAttention.q.weight" in changed
    assert all(
        ".SelfAttention." in name or ".EncDecAttention." in name or ".wi." in name or ".wo." in name for name in changed
    )


def is_upper_layers(folder: Path) -> None:
    assert tasks(folder) == {"answer", "signs", "care"}
    assert {name.split(".")[1] for name in moved(folder)} == {"block"}


def is_soft_prompt(folder: Path) -> None:
    student = folder / "models/student/1"
    assert read(student / "adapter_config.json")["base_model_name_or_path"] == "kept/trained"
    assert [tuple(weight.shape) for weight in load_file(student / "adapter_model.safetensors").values()] == [(20, 16)]


def answers_behind_rationales(folder: Path) -> None:
    assert tasks(folder) == {"signs", "care"}
    told, voices = read(folder / "metrics/train/1.json"), read(folder / "models/student/1/voices.json")
    known = {"longest": told["longest_text"]} if told["longest_text"] else {}
    assert voices == {"accuracies": told["voices"], "questions": 16, **known} and list(told["voices"]) == [
        "signs",
        "care",
    ]
    assert told["valid_accuracy"] == pytest.approx(sum(told["voices"].values()) / 2, abs=1e-4)


def answers_before_rationales(folder: Path) -> None:
    assert tasks(folder) == {"answer", "signs", "care"}
    assert not (folder / "models/student/1/voices.json").exists()


ASK = ["ask", "What ails the patient?", "--choice", "a cold", "--choice", "a burn", "--json"]


def is_an_answer(printed: str) -> bool:
    return json.loads(printed.splitlines()[-1])["answer"] in ("a cold", "a burn")  # a note may stand before it


@dataclass(frozen=True)
class Baseline:
    """A run of the method with other params.

    Args:
        overrides: the params, as `dvc exp run -S` takes them
        stages: what runs anew
        holds: asserts in the working folder that it is this baseline
    """

    overrides: list[str]
    stages: list[str]
    holds: Callable[[Path], None]


SOFT = ["student.tuning=prompt", "student.origin=local", "student.model=kept/trained"]
BASELINES = {
    "inference only": Baseline(["train.epochs=0"], TRAINED, is_inference_only),
    "answers only": Baseline(["loss.alpha=0.0"], TRAINED, is_answers_only),
    "one teacher": Baseline(["corpus.teachers=[signs]"], ["download", "assemble", *TRAINED], is_one_teacher),
    "distilling step by step": Baseline(
        ["corpus.teachers=[signs]", "prompt.teacher_forcing=false"],
        ["download", "query@signs", "exam@signs", "assemble", *TRAINED],
        is_step_by_step,
    ),
    "standard KD": Baseline(
        ["loss.kd=1.0", "corpus.option_probabilities=true", "loss.alpha=0.0"],
        ["query@signs", "query@care", "assemble", *TRAINED],
        is_standard_kd,
    ),
    "rationale, then answer": Baseline(["student.target=rationale_then_answer"], TRAINED, answers_behind_rationales),
    "answer, then rationale": Baseline(["student.target=answer_then_rationale"], TRAINED, answers_before_rationales),
    "LoRA": Baseline(["student.tuning=lora"], TRAINED, is_lora),
    "upper layers": Baseline(["student.tuning=upper", "student.upper.layers=1"], TRAINED, is_upper_layers),
    "prompt tuning": Baseline(SOFT, TRAINED, is_soft_prompt),
}


# --- in this process ------------------------------------------------------------------------------------------------


def run(folder: Path, *stages: str) -> None:
    """Run stages in a folder, by the names that DVC gives them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.delenv("DVC_ROOT", raising=False)
        for stage in stages:
            name, *item = stage.split("@")
            patch.setattr(sys, "argv", [f"{name}.py", *item])
            runpy.run_path(str(ROOT / f"stages/{name}.py"), run_name="__main__")


@pytest.fixture
def torch_as_it_was() -> Iterator[None]:
    before = torch.are_deterministic_algorithms_enabled()
    yield
    torch.use_deterministic_algorithms(before)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder after the stages up to `assemble`, with what the baselines are held against."""
    folder = tmp_path_factory.mktemp("prepared")
    shutil.copy(ROOT / "params.yaml", folder)
    set_params(folder, flat(ONE_SEED))
    run(folder, "download", "query@signs", "query@care", "exam@signs", "exam@care", "assemble")
    kept = folder / "kept"
    kept.mkdir()
    shutil.copy(folder / "data/rationales/signs.jsonl", kept / "forced.jsonl")
    for name, epochs in (("trained", 1), ("untrained", 0)):
        set_params(folder, {"train.epochs": epochs})
        run(folder, "train@1")
        shutil.move(folder / "models/student/1", kept / name)
    set_params(folder, {"train.epochs": 1})
    return folder


@pytest.mark.parametrize("name", BASELINES)
def test_a_baseline_is_what_its_params_say(
    prepared: Path,
    name: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    torch_as_it_was: None,
    capsys: pytest.CaptureFixture[str],
) -> None:
    baseline = BASELINES[name]
    shutil.copytree(prepared, tmp_path, dirs_exist_ok=True)
    set_params(tmp_path, parsed(baseline.overrides))
    run(tmp_path, *baseline.stages, "report")
    assert (tmp_path / "report/index.html").is_file()
    score = read(tmp_path / "metrics/score.json")
    assert (score["questions"], score["seeds"]) == (32, 1) and 0 <= score["accuracy"] <= 1
    baseline.holds(tmp_path)
    if name == "prompt tuning":
        monkeypatch.chdir(tmp_path)
        capsys.readouterr()
        main(ASK)
        assert is_an_answer(capsys.readouterr().out)


# --- by DVC ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Clone:
    """A clone after a run of the whole method, with what the baselines are held against."""
    clone = copy_of_this(tmp_path_factory.mktemp("clone"), ONE_SEED)
    clone.dvc("repro", "score")
    clone.commit("Results")
    kept = clone.folder / "kept"
    kept.mkdir()
    (clone.folder / ".git/info/exclude").write_text("kept\n", encoding="utf-8")
    shutil.copytree(clone.folder / "models/student/1", kept / "trained")
    shutil.copy(clone.folder / "data/rationales/signs.jsonl", kept / "forced.jsonl")
    clone.dvc("exp", "run", "-S", "train.epochs=0", "score")
    shutil.copytree(clone.folder / "models/student/1", kept / "untrained")
    clone.take_back()
    return clone


@pytest.mark.nightly
@pytest.mark.parametrize("name", BASELINES)
def test_a_baseline_runs_by_overrides_alone(whole: Clone, name: str) -> None:
    baseline = BASELINES[name]
    shutil.rmtree(whole.folder / ".dvc/cache/runs")  # else a stage that two baselines share runs in the first one alone
    try:
        output = whole.dvc("exp", "run", *options(baseline.overrides), "score")
        assert sorted(stages_run(output)) == sorted(baseline.stages)
        score = whole.json("metrics/score.json")
        assert (score["questions"], score["seeds"]) == (32, 1) and 0 <= score["accuracy"] <= 1
        baseline.holds(whole.folder)
        if name == "prompt tuning":
            assert is_an_answer(whole.run("tinyllm", *ASK))
    finally:
        whole.take_back()

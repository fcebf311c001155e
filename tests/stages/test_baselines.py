"""Every baseline of the method runs by `-S` alone, through the stages, on a small world: no baseline has code of its own."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from typing import Any

import pytest
from safetensors.torch import load_file
from torch import equal

from tests.clones import SMALL, Clone, copy_of_this, stages_run

pytestmark = pytest.mark.slow

TRAINED = ["train@1", "score", "report"]
WEIGHTS = "models/student/1/model.safetensors"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Clone:
    """A clone after a run of the whole method, with what the baselines are held against."""
    clone = copy_of_this(
        tmp_path_factory.mktemp("clone"), {**SMALL, "train": {"seeds": [1], "epochs": 1, "eval_every": 1}}
    )
    clone.dvc("repro")
    clone.commit("Results")
    kept = clone.folder / "kept"
    kept.mkdir()
    (clone.folder / ".git/info/exclude").write_text("kept\n", encoding="utf-8")
    shutil.copytree(clone.folder / "models/student/1", kept / "trained")
    shutil.copy(clone.folder / "data/rationales/signs.jsonl", kept / "forced.jsonl")
    clone.dvc("exp", "run", "-S", "train.epochs=0")
    shutil.copytree(clone.folder / "models/student/1", kept / "untrained")
    clone.take_back()
    return clone


def tasks(clone: Clone) -> set[str]:
    """What the loss curve tells of."""
    rows = (clone.folder / "metrics/loss/1.tsv").read_text(encoding="utf-8").splitlines()
    assert rows[0] == "step\ttask\tloss"
    return {row.split("\t")[1] for row in rows[1:]}


def rows(clone: Clone, path: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (clone.folder / path).read_text(encoding="utf-8").splitlines()]


def moved(clone: Clone) -> set[str]:
    """The weights that differ from those of the student before any training."""
    before, after = load_file(clone.folder / "kept/untrained/model.safetensors"), load_file(clone.folder / WEIGHTS)
    assert before.keys() == after.keys()
    return {name for name in before if not equal(before[name], after[name])}


def is_inference_only(clone: Clone) -> None:
    told = clone.json("metrics/train/1.json")
    assert (told["steps"], told["epochs"], told["best_epoch"]) == (0, 0, 0)
    assert not tasks(clone) and not moved(clone)


def is_answers_only(clone: Clone) -> None:
    assert tasks(clone) == {"answer"}
    assert list(clone.json("metrics/corpus.json")["teachers"]) == ["signs", "care"]  # there, and not learnt from


def is_one_teacher(clone: Clone) -> None:
    assert tasks(clone) == {"answer", "signs"}


def is_step_by_step(clone: Clone) -> None:
    assert tasks(clone) == {"answer", "signs"}
    forced, free = rows(clone, "kept/forced.jsonl"), rows(clone, "data/rationales/signs.jsonl")
    declined = [sum(row["status"] == "declined" for row in found) for found in (forced, free)]
    assert declined[0] < declined[1] < len(free)  # it was not shown the answers that it could not find


def is_standard_kd(clone: Clone) -> None:
    assert tasks(clone) == {"answer", "soft_labels"}
    for row in rows(clone, "data/corpus/train.jsonl"):
        assert set(row["option_probabilities"]) == {"signs", "care"}
        assert all(sum(beliefs) == pytest.approx(1) for beliefs in row["option_probabilities"].values())


def is_lora(clone: Clone) -> None:
    assert tasks(clone) == {"answer", "signs", "care"}
    changed = moved(clone)
    assert "encoder.block.0.layer.0.SelfAttention.q.weight" in changed
    assert all(
        ".SelfAttention." in name or ".EncDecAttention." in name or ".wi." in name or ".wo." in name for name in changed
    )


def is_upper_layers(clone: Clone) -> None:
    assert tasks(clone) == {"answer", "signs", "care"}
    assert {name.split(".")[1] for name in moved(clone)} == {"block"}


def is_soft_prompt(clone: Clone) -> None:
    folder = clone.folder / "models/student/1"
    assert json.loads((folder / "adapter_config.json").read_text())["base_model_name_or_path"] == "kept/trained"
    assert [tuple(weight.shape) for weight in load_file(folder / "adapter_model.safetensors").values()] == [(20, 16)]
    answer = clone.run("tinyllm", "ask", "What ails the patient?", "--choice", "a cold", "--choice", "a burn", "--json")
    assert json.loads(answer.splitlines()[-1])["answer"] in ("a cold", "a burn")  # a note may stand before it


SOFT = ["student.tuning=prompt", "student.origin=local", "student.model=kept/trained"]
BASELINES: dict[
    str, tuple[list[str], list[str], Callable[[Clone], None]]
] = {  # overrides, the stages that run, what is so
    "inference only": (["train.epochs=0"], TRAINED, is_inference_only),
    "answers only": (["loss.alpha=0.0"], TRAINED, is_answers_only),
    "one teacher": (["corpus.teachers=[signs]"], ["assemble", *TRAINED], is_one_teacher),
    "distilling step by step": (
        ["corpus.teachers=[signs]", "prompt.teacher_forcing=false"],
        ["query@signs", "exam@signs", "assemble", *TRAINED],
        is_step_by_step,
    ),
    "standard KD": (
        ["loss.kd=1.0", "corpus.option_probabilities=true", "loss.alpha=0.0"],
        ["query@signs", "query@care", "assemble", *TRAINED],
        is_standard_kd,
    ),
    "LoRA": (["student.tuning=lora"], TRAINED, is_lora),
    "upper layers": (["student.tuning=upper", "student.upper.layers=1"], TRAINED, is_upper_layers),
    "prompt tuning": (SOFT, TRAINED, is_soft_prompt),
}


@pytest.mark.parametrize("baseline", BASELINES)
def test_a_baseline_runs_by_overrides_alone(whole: Clone, baseline: str) -> None:
    overrides, stages, check = BASELINES[baseline]
    try:
        output = whole.dvc("exp", "run", *(part for change in overrides for part in ("-S", change)))
        if baseline != "inference only":  # that one was run before, and comes from DVC's cache
            assert sorted(stages_run(output)) == sorted(stages)
        score = whole.json("metrics/score.json")
        assert (score["questions"], score["seeds"]) == (32, 1) and 0 <= score["accuracy"] <= 1
        check(whole)
    finally:
        whole.take_back()

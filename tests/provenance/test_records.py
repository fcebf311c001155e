"""The record of what a stage used, and how a message says that params.yaml says something else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tinyllm.provenance.definition import read_definition
from tinyllm.provenance.records import digest_of, fault_of, find_fault, record_path, stages_of, write_record
from tinyllm.records.jsonl import read_json, write_json

VALUES: dict[str, Any] = {
    "data": {"dataset": "casebook", "folder": "own"},
    "corpus": {"teachers": ["signs", "care"]},
    "loss": {"answer": 1.0, "alpha": 5.5, "teacher_alpha": {}},
    "train": {"seeds": [1, 2], "epochs": 4},
    "runtime": {"device": "cpu"},
}
USED = {"loss": VALUES["loss"], "train.epochs": 4}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_record_holds_the_section_and_its_digest() -> None:
    write_record("train@1", USED)
    assert read_json("metrics/used/train/1.json") == {"stage": "train@1", "digest": "665064f52570", "params": USED}
    assert digest_of(dict(reversed(USED.items()))) == digest_of(USED)


def test_every_stage_has_a_record_of_its_own() -> None:
    assert [str(record_path(stage)) for stage in stages_of(VALUES)] == [
        "metrics/used/download.json",
        "metrics/used/query/signs.json",
        "metrics/used/query/care.json",
        "metrics/used/exam/signs.json",
        "metrics/used/exam/care.json",
        "metrics/used/assemble.json",
        "metrics/used/train/1.json",
        "metrics/used/train/2.json",
        "metrics/used/score.json",
    ]


@pytest.mark.parametrize(
    ("used", "said"),
    [
        (USED, ""),
        ({"train.epochs": 4.0}, ""),  # YAML's 4 and 4.0 are one number
        ({"loss": {**VALUES["loss"], "alpha": 0.0}}, "loss.alpha 0.0, and params.yaml has 5.5"),
        ({"loss": {"answer": 1.0, "alpha": 5.5}}, "loss.teacher_alpha null, and params.yaml has {}"),
        ({"train.epochs": 9}, "train.epochs 9, and params.yaml has 4"),
        ({"corpus.teachers": ["care"]}, 'corpus.teachers ["care"], and params.yaml has ["signs", "care"]'),
        ({"teachers.gone": {"seed": 1}}, 'teachers.gone {"seed": 1}, and params.yaml has null'),
        (
            {"data": {"dataset": "\x1b[2J", "folder": "x" * 99}},
            f'data.dataset "\\u001b[2J", and params.yaml has "casebook"; data.folder "{"x" * 59}..., and params.yaml has "own"',
        ),
    ],
)
def test_a_value_that_was_not_used_is_named(used: dict[str, Any], said: str) -> None:
    record = {"stage": "train@1", "digest": digest_of(used), "params": used}
    assert fault_of(record, VALUES) == (said and f"train@1 was run with {said}")


@pytest.mark.parametrize("damage", [{"params": {"train.epochs": 5}}, {"params": None}, {"digest": ""}])
def test_a_record_that_was_edited_is_damaged(damage: dict[str, Any]) -> None:
    record = {"stage": "train@1", "digest": digest_of(USED), "params": USED, **damage}
    assert fault_of(record, VALUES) == "is damaged: its digest is not that of its params"


def put_run(values: dict[str, Any]) -> None:
    write_json("params.yaml", VALUES)  # JSON is YAML
    for stage in stages_of(VALUES):
        write_record(stage, values)
    for name in ("score", "train/1", "train/2"):
        write_json(f"metrics/{name}.json", {"params": digest_of(values)})


def test_a_run_of_these_params_has_no_fault() -> None:
    put_run(USED)
    assert find_fault() == ""


@pytest.mark.parametrize(
    ("path", "text", "said"),
    [
        (
            "metrics/train/2.json",
            {"params": "abc"},
            "metrics/train/2.json is of other params, abc and not 665064f52570",
        ),
        ("metrics/score.json", {}, "metrics/score.json is of other params, None and not 665064f52570"),
        ("params.yaml", {**VALUES, "loss": {}}, "was run with loss.answer 1.0, and params.yaml has null; "),
        (
            "params.yaml",
            {**VALUES, "train": {"seeds": [3], "epochs": 4}},
            "train/3.json: no such file, so that it is not ",
        ),
    ],
)
def test_a_run_of_other_params_has_one(path: str, text: dict[str, Any], said: str) -> None:
    put_run(USED)
    write_json(path, text)
    assert said in find_fault()


def test_a_definition_has_the_item_and_the_values_filled_in() -> None:
    Path("dvc.yaml").write_text(
        "stages:\n"
        "  download: {cmd: x, deps: [code, '${data.folder}'], params: [data], outs: [data/questions]}\n"
        "  train:\n"
        "    foreach: ${train.seeds}\n"
        "    do:\n"
        "      deps: [data/corpus]\n"
        "      params: [loss, 'teachers.${item}']\n"
        "      outs: ['models/${item}', {'metrics/used/${item}.json': {cache: false}}]\n"
        "      metrics: [{'metrics/${item}.json': {cache: false}}]\n"
        "      plots: [{'metrics/${item}.tsv': {cache: false, x: step}}]\n"
    )
    download = read_definition("download", None, VALUES)
    assert (download.files, download.params, download.outs) == (("code", "own"), ("data",), ("data/questions",))
    train = read_definition("train", "7", VALUES)
    assert train.params == ("loss", "teachers.7")
    assert train.outs == ("models/7", "metrics/used/7.json", "metrics/7.json", "metrics/7.tsv")
    with pytest.raises(ValueError, match="^dvc.yaml: has no stage score; it has download, train$"):
        read_definition("score", None, VALUES)


def test_a_folder_without_a_definition_has_that_of_the_project() -> None:
    assert read_definition("assemble", None, VALUES).params == ("corpus", "data.labelled")

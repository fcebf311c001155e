"""A recorded teacher with several rationales of a question, from its file to the student."""

from __future__ import annotations

import runpy
import shutil
import sys
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from tests.toys import SIZES
from tinyllm.records.jsonl import read_json, read_jsonl, write_jsonl

ROOT = Path(__file__).resolve().parents[2]


def further(text: str) -> list[str]:
    """Three samples more, of which the audit refuses one."""
    return [f"Zebras know it well. {text}", "No.", f"{text} Any yak would say the same."]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The example set, in which `concise` has three further rationales of every question of train but the first."""
    shutil.copytree(ROOT / "examples/own", tmp_path / "own")
    path = tmp_path / "own/rationales/concise.jsonl"
    rows = []
    for row in read_jsonl(path):
        more = row["id"].startswith("train") and row["id"] != "train-01"
        texts = [row["rationale"], *(further(row["rationale"]) if more else [])]
        rows += [{"id": row["id"], "sample": number, "rationale": text} for number, text in enumerate(texts)]
    write_jsonl(path, rows)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    return tmp_path


def run_stage(monkeypatch: pytest.MonkeyPatch, stage: str, *arguments: str) -> None:
    monkeypatch.setattr(sys, "argv", [f"{stage}.py", *arguments])
    runpy.run_path(str(ROOT / f"stages/{stage}.py"), run_name="__main__")


def write_params(samples: int | str) -> None:
    values = YAML(typ="safe").load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    values["data"] |= {"dataset": "jsonl", "folder": "own"}
    values["corpus"] |= {"teachers": ["concise", "careful"], "samples": samples, "max_quarantined": 1.0}
    values["student"] |= {"origin": "scratch", "scratch": SIZES.model_dump()}
    values["train"] |= {"seeds": [1], "epochs": 2, "eval_every": 1}
    values["runtime"] |= {"device": "cpu"}
    with open("params.yaml", "w", encoding="utf-8") as file:
        YAML().dump(values, file)


@pytest.mark.slow
def test_several_rationales_of_a_recorded_teacher_reach_the_student(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_params("all")
    for stage, *arguments in (["download"], ["query", "concise"], ["query", "careful"], ["assemble"], ["train", "1"]):
        run_stage(monkeypatch, stage, *arguments)
    corpus = read_jsonl("data/corpus/train.jsonl")
    kept = read_json("metrics/corpus.json")["teachers"]["concise"]
    assert kept["samples"] == {"asked": 32 + 23 * 3, "kept": kept["train"]["kept"] + kept["valid"]["kept"] + 23 * 2}
    assert "alternatives" not in corpus[0]
    for row in corpus[1:]:
        assert row["alternatives"] == {"concise": further(row["targets"]["concise"])[::2]}
    several = read_json("metrics/train/1.json")
    targets = sum(len(row["targets"]) - 1 for row in corpus)
    assert several["rationales"] == targets + 23 * 2
    before = {path.name: path.read_bytes() for path in Path("data/corpus").iterdir()}

    write_params(1)
    run_stage(monkeypatch, "assemble")
    assert {path.name: path.read_bytes() for path in Path("data/corpus").iterdir()} == before
    run_stage(monkeypatch, "train", "1")
    one = read_json("metrics/train/1.json")
    assert "rationales" not in one and one["steps"] == several["steps"]

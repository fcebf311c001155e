"""The query stage with `corpus.option_probabilities`, and unforced: what stands in the rationale file, killed or not."""

from __future__ import annotations

import json
import runpy
import sqlite3
import sys
import time
from contextlib import closing
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from tests.asked import ROOT, rows, set_up
from tests.checkpoint_toys import byte_tokenizer, save_llama, settings
from tests.processes import Order, start_stage
from tinyllm.casebook.rule_teachers import Expert
from tinyllm.records.jsonl import read_json, read_jsonl, write_jsonl
from tinyllm.records.questions import read_questions

SIGNS = {
    "kind": "signs",
    "error_rate": 0.3,
    "decline_rate": 0.5,
    "blind_error_rate": 0.5,
    "misleading_rate": 0.0,
    "padding": 0,
    "seed": 1,
}


class Place:
    """A working folder, in which stages are called as a user calls them."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder, self.monkeypatch = folder, monkeypatch
        monkeypatch.chdir(folder)
        monkeypatch.delenv("DVC_ROOT", raising=False)
        monkeypatch.setenv("TINYLLM_CACHE", str(folder / "cache"))

    def run(self, command: str) -> None:
        stage, *arguments = command.split()
        self.monkeypatch.setattr(sys, "argv", [f"{stage}.py", *arguments])
        runpy.run_path(str(ROOT / "stages" / f"{stage}.py"), run_name="__main__")

    def casebook(self, **changes: Any) -> None:
        """Write params.yaml for a small casebook; `changes` are dotted keys with `__` for the dot."""
        values = YAML(typ="safe").load((ROOT / "params.yaml").read_text(encoding="utf-8"))
        values["data"] |= {"dataset": "casebook", "take": {"train": 60, "valid": 20, "test": 20}}
        values["teachers"]["signs"] = {"backend": "expert", **SIGNS}
        values["corpus"] |= {"teachers": ["signs"], "max_quarantined": 1.0}
        for key, value in changes.items():
            section, name = key.split("__")
            values[section][name] = value
        with open("params.yaml", "w", encoding="utf-8") as file:
            YAML().dump(values, file)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    return Place(tmp_path, monkeypatch)


def test_each_row_of_an_expert_tells_how_likely_it_finds_the_options_in_their_order(place: Place) -> None:
    place.casebook(corpus__option_probabilities=True)
    place.run("download")
    place.run("query signs")
    questions = [*read_questions("data/questions/train.jsonl"), *read_questions("data/questions/valid.jsonl")]
    written = read_jsonl("data/rationales/signs.jsonl")
    expected = Expert(**SIGNS).option_probabilities(questions)
    assert [row["id"] for row in written] == [question.id for question in questions]
    assert [row["option_probabilities"] for row in written] == [
        [round(share, 6) for share in shares or []] for shares in expected
    ]
    assert [0.1, 0.1, 0.1, 0.7] in [sorted(row["option_probabilities"]) for row in written]
    assert {tuple(row["option_probabilities"]) for row in written if row["status"] == "declined"} == {(0.25,) * 4}
    assert read_json("metrics/query/signs.json")["option_probabilities"] == 80


def test_the_rest_of_the_row_is_the_same_with_and_without_them_and_so_is_the_exam(place: Place) -> None:
    files: list[dict[str, Any]] = []
    for wanted in (False, True):
        place.casebook(corpus__option_probabilities=wanted)
        for command in ("download", "query signs", "exam signs"):
            place.run(command)
        files.append({name: Path(name).read_text(encoding="utf-8") for name in WRITTEN})
    plain, scored = files
    assert [list(json.loads(line)) for line in plain[WRITTEN[0]].splitlines()] == [["id", "rationale", "status"]] * 80
    stripped = [json.loads(line) for line in scored[WRITTEN[0]].splitlines()]
    assert [row.popitem()[0] for row in stripped] == ["option_probabilities"] * 80  # the last of its fields
    write_jsonl("stripped.jsonl", stripped)
    assert Path("stripped.jsonl").read_text(encoding="utf-8") == plain[WRITTEN[0]]
    assert [scored[name] for name in WRITTEN[1:]] == [plain[name] for name in WRITTEN[1:]]


WRITTEN = ("data/rationales/signs.jsonl", "data/exam/signs.jsonl", "metrics/exam/signs.json")


def test_without_forcing_an_expert_explains_its_own_answer_and_the_audit_drops_the_wrong_ones(place: Place) -> None:
    place.casebook(prompt__teacher_forcing=False)
    for command in ("download", "query signs", "assemble"):
        place.run(command)
    questions = [*read_questions("data/questions/train.jsonl"), *read_questions("data/questions/valid.jsonl")]
    answers = Expert(**SIGNS).examine(questions)
    assert [row["rationale"] for row in read_jsonl("data/rationales/signs.jsonl")] == [
        answer.text for answer in answers
    ]
    wrong = {
        q.id
        for q, answer in zip(questions, answers, strict=True)
        if answer.text and not answer.text.endswith(f" {q.gold}.")
    }
    dropped = [row["id"] for row in read_jsonl("data/quarantine.jsonl") if row["status"] == "states_other_option"]
    assert len(wrong) > 4 and set(dropped) == wrong


def local(folder: Path, **changes: Any) -> None:
    """A toy Llama as the only teacher, and questions of our own."""
    save_llama(folder / "llama", byte_tokenizer())
    teacher = settings(folder / "llama", max_new_tokens=4).model_dump()
    scored = {"corpus__option_probabilities": True, "corpus__max_quarantined": 1.0, "prompt__examples": 0}
    set_up(folder, "", 150, 10, 1, teachers__endpoint=teacher, runtime__device="cpu", **scored, **changes)


def test_a_question_that_a_local_teacher_fails_on_has_null(place: Place) -> None:
    local(place.folder)
    train = rows("train", 4)
    train[2]["question"] = "Why? " * 600  # more tokens than the window has
    write_jsonl("data/questions/train.jsonl", train)
    write_jsonl("data/questions/valid.jsonl", rows("valid", 1))
    place.run("query endpoint")
    probabilities = [row["option_probabilities"] for row in read_jsonl("data/rationales/endpoint.jsonl")]
    assert [shares is None for shares in probabilities] == [False, False, True, False, False]
    assert all(sum(shares) == pytest.approx(1.0, abs=4e-6) and len(shares) == 4 for shares in probabilities if shares)
    assert read_json("metrics/query/endpoint.json")["option_probabilities"] == 4


def scores_kept(folder: Path) -> int:
    try:
        with closing(sqlite3.connect(f"file:{folder / 'cache/answers.sqlite'}?mode=ro", uri=True)) as cache:
            query = "SELECT count(*) FROM answers JOIN teachers ON digest = teacher WHERE identity LIKE '%\"asked\"%'"
            return cache.execute(query).fetchone()[0]
    except sqlite3.OperationalError:  # not made yet
        return 0


def start_query(folder: Path) -> BaseProcess:
    """Query in a process of its own; what it prints goes to the file `printed` in its folder."""
    return start_stage(Order("query endpoint", folder, folder / "printed", {"TINYLLM_CACHE": str(folder / "cache")}))


@pytest.mark.nightly
def test_a_query_killed_while_it_scores_ends_as_an_undisturbed_one(tmp_path: Path) -> None:
    output = "data/rationales/endpoint.jsonl"
    calm, killed = tmp_path / "undisturbed", tmp_path / "killed"
    for folder in (calm, killed):
        local(folder)
    process = start_query(calm)
    process.join(timeout=300)
    assert process.exitcode == 0, (calm / "printed").read_text(encoding="utf-8")
    kept = 0
    while kept < 100:  # of 160: killed again after some 30 scores more
        process = start_query(killed)
        while scores_kept(killed) < kept + 30 and process.is_alive():
            time.sleep(0.002)
        assert process.is_alive(), "it ended before it was killed: the test kills too late"
        process.kill()
        process.join()
        kept = scores_kept(killed)
        assert not (killed / output).exists()
    process = start_query(killed)
    process.join(timeout=300)
    said = (killed / "printed").read_text(encoding="utf-8")
    assert process.exitcode == 0, said
    assert f"option probabilities: {kept} answers from the cache, {160 - kept} new" in said
    assert (killed / output).read_bytes() == (calm / output).read_bytes()

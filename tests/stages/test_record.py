"""The record against reality: params.yaml is edited at random moments of a training and of a query, and nothing may then lie.

What was really used is seen in what was made: a student that has learnt from a teacher has its loss in the curve, and every
answer of the server has the name of the model in it that was asked for.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from tests.clones import Clone, copy_of_this, set_params
from tinyllm.project import locked_stage
from tinyllm.provenance.records import find_fault
from tinyllm.records.jsonl import read_json, read_jsonl
from tinyllm.teachers.cache.store import ResponseCache

EDITS = 10  # of each stage
SMALL = {
    "data": {"dataset": "casebook"},
    "data.casebook": {"train": 48, "valid": 16, "test": 8},
    "corpus": {"teachers": ["signs"], "max_quarantined": 1.0},
    "student.scratch": {"vocabulary": 300, "width": 16, "layers": 1, "heads": 2, "feed_forward": 32},
    "train": {"seeds": [1], "epochs": 30, "eval_every": 1, "patience": 100},
    "runtime": {"device": "cpu", "concurrency": 2},
}


class TellsItsModel(BaseHTTPRequestHandler):
    """Answers every prompt with a sentence that names the model it was asked for."""

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        time.sleep(0.05)
        text = f"The model {asked['model']} has thought about this question."
        choice = {"message": {"content": text}, "finish_reason": "stop"}
        body = json.dumps({"model": asked["model"], "choices": [choice]}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def serving() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), TellsItsModel)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/v1"
    server.shutdown()
    server.server_close()


def reproduce(
    clone: Clone, stage: str, moment: float | None, edit: Callable[[], None], kill: bool
) -> tuple[int, float]:
    """Run a stage by DVC, edit after `moment` seconds, and kill it then if wanted; return exit status and seconds."""
    started = time.monotonic()
    command = [sys.executable, "-m", "dvc", "repro", stage]
    with (clone.folder / "printed").open("ab") as printed:
        process = subprocess.Popen(
            command, cwd=clone.folder, env=clone.environment, stdout=printed, stderr=printed, start_new_session=True
        )
    if moment is not None:
        time.sleep(moment)
        edit()
        if kill:
            os.killpg(process.pid, signal.SIGKILL)
    return process.wait(timeout=300), time.monotonic() - started


def locked(clone: Clone, stage: str) -> tuple[dict[str, Any], dict[str, str]]:
    """What dvc.lock says of a stage: its params, and by file the md5 of what it made."""
    path = clone.folder / "dvc.lock"
    block = locked_stage(path.read_text(encoding="utf-8"), stage) if path.is_file() else {}
    made = {out["path"]: out["md5"] for out in block.get("outs", ())}
    return block.get("params", {}).get("params.yaml", {}), made


def told(clone: Clone) -> bool:
    """Whether the commands that show a run would say that it is not this one."""
    return bool(find_fault(clone.folder))


def learnt(path: Path) -> bool:
    return "\tsigns\t" in path.read_text(encoding="utf-8")


def check_training(clone: Clone) -> None:
    """Lock, record and metrics say of the teacher's weight what the loss curve shows."""
    curve, record = clone.folder / "metrics/loss/1.tsv", clone.folder / "metrics/used/train/1.json"
    params, made = locked(clone, "train@1")
    if curve.is_file() and made.get("metrics/loss/1.tsv") == hashlib.md5(curve.read_bytes()).hexdigest():
        assert (params["loss"]["alpha"] > 0) == learnt(curve) or told(clone)
    if curve.is_file() and record.is_file():
        used = read_json(record)
        assert (used["params"]["loss"]["alpha"] > 0) == learnt(curve)
        assert read_json(clone.folder / "metrics/train/1.json")["params"] == used["digest"]


def models_in(path: Path) -> set[str]:
    rationales = [row["rationale"] or "" for row in read_jsonl(path)]
    return {name for text in rationales for name in re.findall("The model ([a-z]+) ", text)}


def check_query(clone: Clone) -> None:
    """Lock, record and answer cache name the model that has answered."""
    rationales = clone.folder / "data/rationales/endpoint.jsonl"
    record = clone.folder / "metrics/used/query/endpoint.json"
    params, made = locked(clone, "query@endpoint")
    if rationales.is_file() and made.get("data/rationales/endpoint.jsonl") == md5(rationales):
        assert models_in(rationales) == {params["teachers.endpoint"]["model"]} or told(clone)
    if rationales.is_file() and record.is_file():
        assert models_in(rationales) == {read_json(record)["params"]["teachers.endpoint"]["model"]}
    with ResponseCache(clone.folder / ".cache/answers.sqlite") as cache:
        for entry in cache.entries():
            assert re.findall("The model ([a-z]+) ", entry.text) == [entry.identity["model"]]


def md5(path: Path) -> str:
    return hashlib.md5(path.read_bytes()).hexdigest()


@pytest.mark.nightly
@pytest.mark.parametrize(
    ("stage", "key", "values", "check"),
    [
        ("train@1", "loss.alpha", [6.0, 0.0], check_training),
        ("query@endpoint", "teachers.endpoint.model", ["one", "two"], check_query),
    ],
)
def test_no_edit_at_any_moment_makes_the_record_lie(
    tmp_path: Path, stage: str, key: str, values: list[Any], check: Callable[[Clone], None]
) -> None:
    chance = random.Random(1)
    clone = copy_of_this(tmp_path, SMALL)
    (clone.folder / "dvc.lock").unlink()
    with serving() as url:
        set_params(clone.folder, {"teachers.endpoint.url": url, "teachers.endpoint.model": "one"})
        if stage.startswith("query"):
            set_params(clone.folder, {"corpus.teachers": ["endpoint"], "prompt.examples": 0})
        for value in reversed(values):  # the second time the stage runs alone, and its seconds are counted
            set_params(clone.folder, {key: value})
            status, seconds = reproduce(clone, stage, None, lambda: None, kill=False)
            assert status == 0, (clone.folder / "printed").read_text()
        refused = 0
        for number in range(EDITS):
            set_params(
                clone.folder,
                {key: values[number % 2], "train.warmup": chance.random() / 2, "prompt.instruction": f"Try {number}."},
            )
            other = {key: values[(number + 1) % 2]}
            kill = chance.random() < 0.3
            status, _ = reproduce(
                clone, stage, chance.random() * seconds, partial(set_params, clone.folder, other), kill
            )
            check(clone)
            refused += status != 0 and not kill
        assert refused, "no edit fell into a run: the test shows nothing"
        said = (clone.folder / "printed").read_text()
        assert f"params.yaml: changed while {stage} ran, which began with {key}" in said
    assert YAML(typ="safe").load((clone.folder / "params.yaml").read_text())

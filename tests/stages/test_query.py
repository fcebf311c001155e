"""The query and exam stages as real processes against a real server: ablations by params alone, the key, the budget."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.asked import set_up, start
from tests.endpoint import Endpoint, running

pytestmark = pytest.mark.slow
KEY = "sk-toy-key-that-no-file-may-hold-4711"


@pytest.fixture(scope="module")
def server() -> Iterator[Endpoint]:
    with running() as endpoint:
        yield endpoint


def run(folder: Path, stage: str = "query", **environment: str) -> tuple[int, str]:
    """Return the exit status and everything that was printed."""
    process = start(folder, stage, environment)
    out, errors = process.communicate(timeout=60)
    return process.returncode, out + errors


def asked(server: Endpoint) -> int:
    return sum(server.get("count")["seen"].values())


def metrics(folder: Path, stage: str) -> dict[str, Any]:
    return json.loads((folder / f"metrics/{stage}/endpoint.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    "ablation",
    [
        {"prompt__examples": 0},
        {"prompt__teacher_forcing": False},
        {"prompt__selection": "similar"},
        {"prompt__seed": 2},
        {"prompt__instruction": "Be brief."},
        {"teachers__endpoint__temperature": 0.7},
        {"teachers__endpoint__api": "completions"},
    ],
    ids=lambda change: next(iter(change)),
)
def test_an_ablation_asks_anew_and_going_back_costs_nothing(tmp_path: Path, server: Endpoint, ablation: dict) -> None:
    set_up(tmp_path, server.url, 16, 4, 2)
    assert run(tmp_path)[0] == 0
    before, first = asked(server), (tmp_path / "data/rationales/endpoint.jsonl").read_bytes()
    set_up(tmp_path, server.url, 16, 4, 2, **ablation)
    assert run(tmp_path)[0] == 0
    assert asked(server) > before
    after = asked(server)
    set_up(tmp_path, server.url, 16, 4, 2)
    status, said = run(tmp_path)
    assert (status, asked(server)) == (0, after)
    assert "20 answers from the cache, 0 new" in said
    assert (tmp_path / "data/rationales/endpoint.jsonl").read_bytes() == first


def test_price_concurrency_and_deadline_ask_nothing_anew(tmp_path: Path, server: Endpoint) -> None:
    set_up(tmp_path, server.url, 16, 4, 2)
    assert run(tmp_path)[0] == 0
    before = asked(server)
    price = {"prompt": 1.0, "completion": 2.0}
    changes = {"runtime__concurrency": 3, "runtime__deadline": 9.0, "runtime__max_cost": 0.0}
    set_up(tmp_path, server.url, 16, 4, 2, teachers__endpoint__price=price, **changes)
    assert run(tmp_path)[0] == 0
    assert asked(server) == before


def test_the_key_is_sent_and_stands_in_no_file_no_message_and_no_command_line(tmp_path: Path, server: Endpoint) -> None:
    # one answer repeats the key, one refusal does, one page of HTML does
    changes: dict[str, Any] = {"corpus__max_quarantined": 1.0, "prompt__examples": 0, "runtime__retries": 0}
    set_up(tmp_path, server.url, 12, 4, 2, teachers__endpoint__key_variable="TOY_KEY", **changes)
    questions = tmp_path / "data/questions/train.jsonl"
    rows = [json.loads(line) for line in questions.read_text(encoding="utf-8").splitlines()]
    for row, act in zip(rows, ("echo", "status 400", "html", "redirect http://127.0.0.1:9"), strict=False):
        row["question"] += f" [[{act}]]"
    questions.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    process = start(tmp_path, "query", {"TOY_KEY": KEY})
    command_line = Path(f"/proc/{process.pid}/cmdline").read_bytes()
    out, errors = process.communicate(timeout=60)
    assert server.get("last")["key"] == f"Bearer {KEY}"
    assert KEY not in out + errors
    assert KEY.encode() not in command_line
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert any(path.name == "answers.sqlite" for path in files)
    assert [path for path in files if KEY.encode() in path.read_bytes()] == []


def test_a_missing_key_is_named_before_anything_is_asked(tmp_path: Path, server: Endpoint) -> None:
    set_up(tmp_path, server.url, 4, 2, 2, teachers__endpoint__key_variable="TOY_KEY_THAT_IS_NOT_SET")
    before = asked(server)
    status, said = run(tmp_path)
    assert (status, asked(server)) == (1, before)
    assert said.count("\n") == 1 and "TOY_KEY_THAT_IS_NOT_SET is not set" in said


def test_the_budget_stops_the_query_before_it_is_passed(tmp_path: Path, server: Endpoint) -> None:
    price = {"prompt": 1000.0, "completion": 0.0}
    set_up(
        tmp_path, server.url, 16, 4, 2, teachers__endpoint__price=price, runtime__max_cost=1.0, runtime__concurrency=2
    )
    status, said = run(tmp_path)
    assert status == 1
    assert "runtime.max_cost: 1.0, of which " in said and "raise it and run again" in said
    assert 0.8 < float(said.split("of which ")[1].split(" ")[0]) <= 1.0  # a prompt costs about 0.08, at most 0.15
    set_up(tmp_path, server.url, 16, 4, 2, teachers__endpoint__price=price, runtime__max_cost=100.0)
    assert run(tmp_path)[0] == 0


def test_a_resumed_run_says_what_all_its_answers_cost(tmp_path: Path, server: Endpoint) -> None:
    """Twenty answers of 12 words; the server counts a token for each word of prompt and answer."""
    price = {"prompt": 1000.0, "completion": 3000.0}
    changes: dict[str, Any] = {"teachers__endpoint__price": price, "runtime__concurrency": 2}
    set_up(tmp_path, server.url, 16, 4, 2, **changes, runtime__max_cost=1.0)
    assert run(tmp_path)[0] == 1
    set_up(tmp_path, server.url, 16, 4, 2, **changes, runtime__max_cost=100.0)
    assert run(tmp_path)[0] == 0
    first = metrics(tmp_path, "query")
    rows = [json.loads(line) for line in (tmp_path / "data/rationales/endpoint.jsonl").read_text().splitlines()]
    expected = sum(row["prompt_tokens"] / 1000 + 3 * row["completion_tokens"] / 1000 for row in rows)
    assert (first["calls"], first["money"]) == (20, pytest.approx(expected, abs=1e-6))
    assert (first["calls_prompt_tokens"], first["calls_completion_tokens"]) == (
        first["prompt_tokens"],
        first["completion_tokens"],
    )
    assert run(tmp_path)[0] == 0
    assert metrics(tmp_path, "query") == first  # all of it from the cache


def test_one_limit_holds_for_the_query_and_the_exam_of_a_run(tmp_path: Path, server: Endpoint) -> None:
    changes = {"teachers__endpoint__price": {"prompt": 1000.0, "completion": 0.0}, "runtime__concurrency": 2}
    set_up(tmp_path, server.url, 16, 4, 8, **changes, runtime__max_cost=100.0)
    assert run(tmp_path)[0] == 0
    spent = metrics(tmp_path, "query")["money"]
    set_up(tmp_path, server.url, 16, 4, 8, **changes, runtime__max_cost=round(spent + 0.2, 6))
    status, said = run(tmp_path, "exam")
    assert status == 1
    assert spent <= float(said.split("of which ")[1].split(" ")[0]) <= spent + 0.2
    assert run(tmp_path, "exam", DVC_EXP_NAME="resumed-under-another-name")[0] == 1
    set_up(tmp_path, server.url, 16, 4, 8, **changes, runtime__max_cost=spent, prompt__teacher_forcing=False)
    assert run(tmp_path, "exam")[0] == 0  # other prompts are a run of their own


def test_an_endpoint_that_is_down_ends_in_one_line_soon(tmp_path: Path) -> None:
    set_up(tmp_path, "http://127.0.0.1:9/v1", 30, 4, 2)
    status, said = run(tmp_path)
    first, last = said.splitlines()  # why, at once, and how it ended
    assert first.startswith("http://127.0.0.1:9/v1: unreachable (") and first.endswith("; it is tried again")
    assert status == 1 and last.startswith("error: http://127.0.0.1:9/v1: ")


def test_too_many_failures_end_the_query_and_what_was_answered_is_kept(tmp_path: Path, server: Endpoint) -> None:
    set_up(tmp_path, server.url, 16, 4, 2, corpus__max_quarantined=0.0, prompt__examples=0)
    questions = tmp_path / "data/questions/valid.jsonl"
    questions.write_text(questions.read_text(encoding="utf-8").replace("house number 3", "house [[too_long]]"))
    status, said = run(tmp_path)
    assert status == 1
    assert "teacher endpoint: 1 of 20 prompts failed for good, allowed are 0%" in said
    assert "context_too_long 1" in said and "holds the other 19" in said
    assert not (tmp_path / "data/rationales/endpoint.jsonl").exists()


def test_the_exam_grades_what_the_teacher_answers_without_gold(tmp_path: Path, server: Endpoint) -> None:
    set_up(tmp_path, server.url, 16, 4, 8)
    status, said = run(tmp_path, "exam")
    assert status == 0, said
    found = metrics(tmp_path, "exam")
    assert (found["questions"], found["accuracy"], found["unparsable"], found["answered"]) == (8, None, 8, 0)
    assert found["parameters"] == 6.74e9
    prompts = [prompt for prompt in server.get("count")["seen"] if "test house" in prompt]
    assert len(prompts) == 8
    assert all(prompt.endswith("Rationale:\nLet's think step by step.") for prompt in prompts)
    assert all("Answer:" not in prompt.split("test house")[1] for prompt in prompts)


def test_estimate_says_what_is_then_asked(tmp_path: Path, server: Endpoint) -> None:
    price = {"prompt": 1000.0, "completion": 0.0}
    set_up(tmp_path, server.url, 16, 4, 8, teachers__endpoint__price=price, prompt__instruction="An estimate.")
    before = asked(server)

    def estimate() -> list[str]:
        done = subprocess.run(
            ["tinyllm", "estimate"],
            cwd=tmp_path,
            env={**os.environ, "TINYLLM_CACHE": str(tmp_path / "cache")},
            capture_output=True,
            text=True,
            check=True,
        )
        return [" ".join(line.split()) for line in done.stdout.splitlines()]

    first = estimate()
    assert first[1].startswith("endpoint query 20 0 0 ") and first[2].startswith("endpoint exam 8 0 0 ")
    assert asked(server) == before
    assert run(tmp_path)[0] == 0
    assert asked(server) == before + 20
    assert estimate()[1] == "endpoint query 0 20 0 0 0 0.0000"

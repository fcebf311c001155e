"""`tinyllm serve` as a process: 32 clients at once, the student as a teacher, the page in a browser, how it ends."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from tests.browser import Browser, chromium
from tests.reasoning import CHOSEN, reasoning_params, reasoning_student
from tests.served import DIRECT, get, post
from tinyllm.cli.main import main
from tinyllm.params.load import load_params
from tinyllm.records.questions import write_questions
from tinyllm.report.figures.svg import PALETTE
from tinyllm.student.asked import predict_as_asked
from tinyllm.student.folder import load_student, save_student
from tinyllm.teachers.exam import grade
from tinyllm.teachers.open import open_live

ROOT = Path(__file__).resolve().parents[2]
RECORD = {"accuracies": {"ann": 1.0, "bob": 0.0}, "questions": 2}
SERVED = {
    "backend": "server",
    "url": "http://127.0.0.1:8000/v1",
    "model": "student:ann",
    "api": "chat",
    "key_variable": None,
    "context_tokens": None,
    "max_new_tokens": 64,
    "temperature": 0.0,
    "seed": None,
    "price": {"prompt": 0.0, "completion": 0.0},
    "parameters": None,
}


def put_params(root: Path, url: str = str(SERVED["url"])) -> None:
    values = YAML(typ="safe").load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    given = json.loads(reasoning_params().model_dump_json())
    for section in ("student", "corpus", "train", "score", "runtime", "loss"):
        values[section] = given[section]
    values["teachers"] |= {"ann": values["teachers"]["signs"], "bob": values["teachers"]["care"]}
    values["teachers"]["served"] = {**SERVED, "url": url}
    with open(root / "params.yaml", "w", encoding="utf-8") as file:
        YAML().dump(values, file)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("project")
    save_student(reasoning_student(False, tmp_path_factory.mktemp("words")), root / "models/student/1", 24)
    (root / "models/student/1/voices.json").write_text(json.dumps(RECORD), encoding="utf-8")
    write_questions(root / "data/questions/test.jsonl", CHOSEN)
    put_params(root)
    return root


@contextmanager
def started(project: Path, *arguments: str) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """Start the command, which a test may end itself; yield the server's address."""
    command = [sys.executable, "-m", "tinyllm", "serve", "--port", "0"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen([*command, *arguments], cwd=project, env=environment, **pipes) as process:
        try:
            assert process.stdout and process.stderr
            line = process.stdout.readline()
            told = re.fullmatch(
                r"serving models/student/1, voices ann, bob at (http://127\.0\.0\.1:\d+); Ctrl-C ends it\n", line
            )
            assert told, line + process.stderr.read()
            yield told[1], process
        finally:
            process.kill()


@pytest.fixture(scope="module")
def url(project: Path) -> Iterator[str]:
    with started(project) as (address, _):
        yield address


@pytest.mark.slow
def test_thirty_two_clients_get_the_choices_of_scoring(url: str, project: Path) -> None:
    folder = project / "models/student/1"
    rows = predict_as_asked(load_student(folder), folder, CHOSEN, reasoning_params())
    before = get(f"{url}/health")[1]

    def ask(number: int) -> int:
        question = CHOSEN[number % len(CHOSEN)]
        sent = {"model": "student", "messages": [{"role": "user", "content": question.question}]}
        status, reply = post(f"{url}/v1/chat/completions", sent | {"choices": question.choices, "id": question.id})
        assert status == 200, reply
        return reply["choices"][0]["student"]["choice"]

    with ThreadPoolExecutor(32) as clients:
        choices = list(clients.map(ask, range(200)))
    assert choices == [rows[number % len(rows)]["choice"] for number in range(200)]
    health = get(f"{url}/health")[1]
    assert health["answered"] - before["answered"] == 200
    assert health["batches"] - before["batches"] < 100  # on a machine however busy, some came together


@pytest.mark.slow
def test_the_student_is_a_teacher(url: str, project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TINYLLM_CACHE", str(tmp_path))
    monkeypatch.chdir(project)
    put_params(tmp_path, f"{url}/v1")
    params = load_params(tmp_path / "params.yaml")
    teacher = open_live("served", params, CHOSEN)
    for question, output in zip(CHOSEN, teacher.complete(CHOSEN), strict=True):
        assert (output.text, output.status) == (
            f"The animal is {question.gold}. The answer is {question.gold}",
            "ok",
        )
    graded = grade(CHOSEN, teacher.examine(CHOSEN))
    folder = project / "models/student/1"
    rows = predict_as_asked(load_student(folder), folder, CHOSEN, reasoning_params())
    assert [row["choice"] for row in graded] == [row["choice"] for row in rows]  # the vote, as in scoring


@pytest.mark.slow
def test_a_client_of_openai_understands_it(url: str) -> None:
    openai = pytest.importorskip("openai")
    client = openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0)
    question = CHOSEN[0]
    messages = [{"role": "user", "content": question.question}]
    more = {"choices": question.choices}
    reply = client.chat.completions.create(model="student", messages=messages, logprobs=True, extra_body=more)
    choice = reply.choices[0]
    assert choice.message.content == choice.student["answer"] == choice.logprobs.content[0].token
    parts = list(client.chat.completions.create(model="student", messages=messages, stream=True, extra_body=more))
    assert "".join(part.choices[0].delta.content or "" for part in parts) == choice.message.content
    written = client.completions.create(model="student:bob", prompt=question.question, extra_body=more)
    assert written.choices[0].text == "It is red. The answer is red"
    assert [model.id for model in client.models.list()] == ["student", "student:ann", "student:bob"]
    with pytest.raises(openai.NotFoundError, match="does not exist"):
        client.chat.completions.create(model="gpt-4o", messages=messages)


# --- how it begins and ends -----------------------------------------------------------------------------------------


@pytest.mark.slow
def test_ctrl_c_ends_it_in_one_line(project: Path) -> None:
    with started(project, "--threads", "2") as (url, process):
        assert get(f"{url}/health")[0] == 200
        with socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2]))):  # a client that only sits there
            process.send_signal(signal.SIGINT)
            assert process.wait(30) == 130
        assert process.stderr and process.stderr.read() == "stopped\n"


def refused(monkeypatch: pytest.MonkeyPatch, folder: Path, *arguments: str) -> str:
    monkeypatch.chdir(folder)
    monkeypatch.delenv("TINYLLM_TRACEBACK", raising=False)
    with pytest.raises(SystemExit) as stop:
        main(["serve", *arguments])
    return str(stop.value.code)


def test_what_cannot_begin_ends_in_one_line(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        told = f"error: --port: {port} on 127.0.0.1 is in use; end what listens there, or name another"
        assert refused(monkeypatch, project, "--port", str(port)).startswith(told)
    told = "error: --host: 192.0.2.7 is no address of this machine ("
    assert refused(monkeypatch, project, "--host", "192.0.2.7", "--port", "0").startswith(told)
    assert refused(monkeypatch, project, "--seed", "9").startswith("error: seed 9 is not in train.seeds")
    put_params(tmp_path)
    told = "error: models/student/1: holds no trained student (config.json and model.safetensors); run dvc repro train"
    assert refused(monkeypatch, tmp_path).startswith(told)
    assert refused(monkeypatch, project, "--port", "70000") == "2"  # argparse names the option and what is allowed


# --- the page -------------------------------------------------------------------------------------------------------


def test_the_pages_colours_are_the_reports() -> None:
    style = (ROOT / "tinyllm/serving/page.css").read_text(encoding="utf-8")
    light, dark = re.findall(r":root \{([^}]*)\}", style)
    for scheme, rules in (("light", light), ("dark", dark)):
        colours = dict(re.findall(r"--(\w+): (#\w+);", rules))
        assert colours and colours.items() <= PALETTE[scheme].items()
    assert set(re.findall(r"var\(--(\w+)\)", style)) <= colours.keys()


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with chromium(tmp_path_factory.mktemp("browser")) as opened:
        yield opened


def wait_for(browser: Browser, expression: str) -> None:
    for _ in range(300):
        if browser.run(expression):
            return
        time.sleep(0.1)
    raise AssertionError(expression)


@pytest.mark.slow
def test_the_page_asks_and_shows_options_voices_and_vote(url: str, browser: Browser, tmp_path: Path) -> None:
    browser.open(f"{url}/")
    wait_for(browser, "document.querySelectorAll('#options li').length === 3")  # the first test question
    browser.run("document.getElementById('ask').click()")
    wait_for(browser, "!!document.querySelector('.said')")
    question = CHOSEN[0]
    sent = {"model": "student", "prompt": question.question, "choices": question.choices, "voices": True}
    told = post(f"{url}/v1/completions", sent)[1]["choices"][0]["student"]
    assert browser.run("document.querySelector('.said').textContent") == told["answer"]
    shown = browser.run("[...document.querySelectorAll('.odds b')].map(node => node.textContent)")
    assert [float(text.strip("%<>")) for text in shown] == pytest.approx(
        [100 * sure for sure in told["probabilities"]], abs=0.11
    )
    bars = "[...document.querySelectorAll('.track i')].map(bar => bar.offsetWidth / bar.parentNode.offsetWidth)"
    assert browser.run(bars) == pytest.approx(told["probabilities"], abs=0.01)
    voices = browser.run("[...document.querySelectorAll('.voice')].map(node => node.innerText)")
    assert [text.split("\n")[0] for text in voices] == ["ann", "bob"]
    assert "75.0% of the vote" in voices[0] and "The animal is red." in voices[0] and "It is red." in voices[1]
    for width in (380, 800, 1400):
        for scheme in ("light", "dark"):
            browser.screenshot(tmp_path / f"{width}-{scheme}.png", width, 900, scheme)
        assert browser.run("document.documentElement.scrollWidth <= innerWidth")
    # free text, and a text that would be markup
    fill = "for (const row of [...document.querySelectorAll('#options button')]) row.click();"
    hostile = "<img src=x onerror=alert(1)><script>alert(2)</script>"
    browser.run(
        f"{fill} document.forms[0].elements.question.value = {json.dumps(hostile)}; document.getElementById('add').click()"
    )
    browser.run("document.querySelector('#options input').value = 'alone'; document.getElementById('ask').click()")
    wait_for(browser, "!!document.querySelector('.failed')")
    assert browser.run("document.querySelector('.failed').textContent") == (
        "1 choices; allowed are 2 to 26, or none where the answer is free text"
    )
    failed = "the server responded with a status of 400"
    assert all(failed in text for text in browser.complaints())
    assert all(address.startswith(f"{url}/") for address in browser.requested())


@pytest.mark.slow
def test_the_page_is_let_do_nothing_but_ask_its_server(url: str) -> None:
    with DIRECT.open(f"{url}/", timeout=30) as response:
        policy, text = response.headers["Content-Security-Policy"], response.read().decode()
    assert policy.startswith("default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self';")
    assert not re.search(r"https?://|<style|<script>|onclick|style=", text)

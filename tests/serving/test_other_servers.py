"""`transformers serve` with a new causal student: by its chat template it says what it says here."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.error
from pathlib import Path

import pytest

from tests.reasoning import TEACHERS, WRITTEN, rationale, reasoning_params, reasoning_student
from tests.served import get, post
from tinyllm.student.chat_template import chat_template
from tinyllm.student.folder import save_student


@pytest.mark.nightly
def test_transformers_serves_a_new_causal_student_as_a_chat(tmp_path: Path) -> None:
    pytest.importorskip("uvicorn")
    (tmp_path / "words").mkdir()
    student = reasoning_student(True, tmp_path / "words")
    student.tokenizer.chat_template = chat_template(reasoning_params().student, TEACHERS)
    save_student(student, tmp_path / "student", 24)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    command = [Path(sys.executable).with_name("transformers"), "serve", "student", "--host", "127.0.0.1"]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
    with subprocess.Popen(
        [*command, "--port", str(port), "--device", "cpu"], cwd=tmp_path, env=environment, stderr=subprocess.DEVNULL
    ) as server:
        try:
            for _ in range(600):
                try:
                    assert get(f"{url}/health")[0] == 200
                    break
                except urllib.error.URLError:
                    time.sleep(0.2)
            for question in WRITTEN[:3]:
                for teacher, said in (
                    ("ann", f"{rationale('ann', question)} The answer is red"),
                    ("bob", "It is red. The"),
                ):
                    messages = [{"role": "system", "content": teacher}, {"role": "user", "content": question.question}]
                    status, reply = post(f"{url}/v1/chat/completions", {"model": "student", "messages": messages})
                    assert status == 200, reply
                    assert reply["choices"][0]["message"]["content"].startswith(said)
        finally:
            server.kill()

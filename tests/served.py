"""A server in this process, for tests: toy students behind a real socket, and a client that tells status and JSON."""

from __future__ import annotations

import asyncio
import json
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import torch

from tests.toys import toy_model, toy_tokenizer
from tinyllm.models.loaded import LoadedModel, loaded_model
from tinyllm.params.asking import learnt_voices
from tinyllm.params.schema import Params
from tinyllm.serving.app import Serving, _serve, address_of, application, listen
from tinyllm.serving.batch import say
from tinyllm.serving.reply import Said
from tinyllm.serving.request import Job, Served
from tinyllm.student.answer import AskedStudent, asked_as_scored

DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))
Say = Callable[[Sequence[Job]], Sequence[Said | Exception]]


def noisy_student(folder: Path, build: Callable[..., Any] = toy_model) -> LoadedModel:
    """A student whose weights are noise: as initialised, a T5 repeats its start token whatever it is asked."""
    tokenizer = toy_tokenizer(folder)
    model = build(tokenizer, 3)
    torch.manual_seed(3)
    with torch.no_grad():
        for weight in model.parameters():
            if weight.dim() > 1:
                weight.normal_()
    return loaded_model(model, tokenizer)


@contextmanager
def serving(asked: AskedStudent, run: Say | None = None, shown: dict[str, Any] | None = None) -> Iterator[str]:
    """Serve a student on a free port; yield the server's address.

    Args:
        run: in place of the student's own answers
    """
    served = Served(asked.params.student, tuple(learnt_voices(asked.params)), "0123456789ab")
    app = application(Serving(served, run or partial(say, asked), shown or {}))
    listening = listen("127.0.0.1", 0)
    ready = threading.Event()
    loops: list[tuple[asyncio.AbstractEventLoop, asyncio.Task]] = []

    async def main() -> None:
        task = asyncio.ensure_future(_serve(app, listening, ready.set))
        loops.append((asyncio.get_running_loop(), task))
        await asyncio.wait([task])

    thread = threading.Thread(target=lambda: asyncio.run(main()))
    thread.start()
    assert ready.wait(30)
    try:
        yield address_of(listening)
    finally:
        loop, task = loops[0]
        loop.call_soon_threadsafe(task.cancel)
        thread.join(30)
        listening.close()


def asked_student(model: LoadedModel, folder: Path, params: Params) -> AskedStudent:
    return asked_as_scored(model, folder, params)


def post(url: str, body: object) -> tuple[int, Any]:
    """Return status and JSON of the answer to a POST; bytes are sent as they are."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return get(urllib.request.Request(url, data, {"Content-Type": "application/json"}))


def get(url: str | urllib.request.Request) -> tuple[int, Any]:
    try:
        with DIRECT.open(url, timeout=60) as response:
            return response.status, json.loads(response.read())
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.loads(error.read())

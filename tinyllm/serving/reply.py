"""What the student said, in OpenAI's forms: a chat's answer, a completion, either as one part of a stream, a list of models."""

from __future__ import annotations

import json
import math
import sys
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tinyllm.serving.request import Asked, Served


@dataclass(frozen=True)
class Said:
    """What became of one job."""

    text: str
    finish: str  # stop | length
    prompt_tokens: int
    completion_tokens: int
    fields: dict[str, Any] | None  # the answer as `tinyllm ask --json` prints it; None of a rationale alone
    likely: list[tuple[str, float]] | None = None  # each option as it could have been said, the likeliest first


def reply(asked: Asked, said: Sequence[Said], served: Served, chat: bool, part: bool = False) -> dict[str, Any]:
    """Return the object that answers a request.

    Args:
        part: whether it is the one part of a stream
    """
    kind = ("chat.completion.chunk" if part else "chat.completion") if chat else "text_completion"
    choices = [(_message if chat else _completion)(index, one, part) for index, one in enumerate(said)]
    head = f"{'chatcmpl' if chat else 'cmpl'}-{uuid.uuid4().hex}"
    whole = {
        "id": head,
        "object": kind,
        "created": int(time.time()),
        "model": asked.model,
        "system_fingerprint": served.fingerprint,
        "choices": choices,
    }
    return whole if part else whole | {"usage": usage(said)}


def stream(asked: Asked, said: Sequence[Said], served: Served, chat: bool) -> bytes:
    """Return a whole stream of server-sent events: one part with all that was said, the counts if wanted, and the end."""
    first = reply(asked, said, served, chat, part=True)
    parts = [first, first | {"choices": [], "usage": usage(said)}] if asked.counted else [first]
    return "".join(f"data: {text}\n\n" for text in [*map(json.dumps, parts), "[DONE]"]).encode()


def usage(said: Sequence[Said]) -> dict[str, int]:
    read, wrote = sum(one.prompt_tokens for one in said), sum(one.completion_tokens for one in said)
    return {"prompt_tokens": read, "completion_tokens": wrote, "total_tokens": read + wrote}


def models(served: Served, created: int) -> dict[str, Any]:
    """Return the list of models: the student, and each of its voices."""
    return {"object": "list", "data": [model(name, created) for name in served.models]}


def model(name: str, created: int) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": created, "owned_by": "tinyllm"}


def _message(index: int, said: Said, part: bool) -> dict[str, Any]:
    likely = None
    if said.likely is not None:
        tokens = [
            {"token": text, "logprob": _logarithm(sure), "bytes": list(text.encode())} for text, sure in said.likely
        ]
        likely = {"content": [{**_chosen(tokens, said.text), "top_logprobs": tokens}], "refusal": None}
    message = {"role": "assistant", "content": said.text}
    return {"index": index, "delta" if part else "message": message, **_rest(said, likely)}


def _completion(index: int, said: Said, part: bool) -> dict[str, Any]:
    likely = None
    if said.likely is not None:
        values = {text: _logarithm(sure) for text, sure in said.likely}
        own = values.get(said.text)
        likely = {"tokens": [said.text], "token_logprobs": [own], "top_logprobs": [values], "text_offset": [0]}
    return {"index": index, "text": said.text, **_rest(said, likely)}


def _rest(said: Said, likely: dict[str, Any] | None) -> dict[str, Any]:
    own = {} if said.fields is None else {"student": said.fields}
    return {"logprobs": likely, "finish_reason": said.finish, **own}


def _chosen(tokens: list[dict[str, Any]], text: str) -> dict[str, Any]:
    return next(token for token in tokens if token["token"] == text)


def _logarithm(sure: float) -> float:
    return round(math.log(max(sure, sys.float_info.min)), 6) + 0.0

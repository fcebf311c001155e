"""What an endpoint's reply means: an answer, a failure for good, a failure that may pass, or the end of the query."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus

from tinyllm.console import one_line
from tinyllm.records.jsonl import HALF_CHARACTER
from tinyllm.teachers.protocol import STOP, Failure, Generation

PUSH_BACK = (429, 503, 529)  # too much, for now
MAY_PASS = (408, 409, 425, 500, 502, 504, *PUSH_BACK)
FINISH = {"stop": "stop", "eos_token": "stop", "stop_sequence": "stop", "length": "length"}  # the middle ones are TGI's
TOO_LONG = re.compile(
    r"context.{0,20}(length|window|size)|too long|too many tokens|max_new_tokens`? must|exceed.{0,40}tokens", re.I
)
OUT_OF_MONEY = re.compile(r"insufficient[_ ](quota|balance|funds|credit)|exceeded your current quota", re.I)
SHOWN = 200  # characters of a server's message


@dataclass(frozen=True)
class Retryable:
    """An attempt that failed in a way that may pass."""

    reason: str
    detail: str
    charged: bool  # whether the server may have charged for it
    pushed_back: bool = False
    wait: float | None = None  # seconds, as its Retry-After orders


@dataclass(frozen=True)
class Fatal:
    """No prompt can be answered."""

    message: str


Outcome = Generation | Failure | Retryable | Fatal


def read_answer(body: bytes, model: str, prompt_tokens: int) -> Generation | Failure | Retryable:
    """Return what the body of a reply with status 200 holds.

    An answer is a text from the requested model that ended by itself or at the limit. Anything else is none.

    Args:
        model: as requested. A reply that names another model is a failure, unless one name's last part contains the other's:
            servers resolve `gpt-4o` to `gpt-4o-2024-08-06`, or give a path.
        prompt_tokens: estimated, for a reply without a count
    """
    try:
        reply = json.loads(body)
    except (ValueError, RecursionError):
        return Retryable(
            "not_json", f"HTTP 200, but no JSON: {one_line(body.decode(errors='replace'), SHOWN)}", charged=True
        )
    choices = reply.get("choices") if isinstance(reply, dict) else None
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
        return Retryable("no_choices", f"HTTP 200, but without choices: {one_line(str(reply), SHOWN)}", charged=True)
    named = reply.get("model") or model
    if not isinstance(named, str) or not _same_model(named, model):
        return Failure(
            "wrong_model", f"asked for model {model}, answered by {one_line(str(named), SHOWN)}", unanswered=1
        )
    message = choices[0].get("message")
    text = message.get("content") if isinstance(message, dict) else choices[0].get("text")
    return _answer(text, choices[0].get("finish_reason"), reply.get("usage"), prompt_tokens)


def read_refusal(status: int, headers: Mapping[str, str], body: bytes, key_variable: str | None) -> Outcome:
    """Return what a reply with any status but 200 means."""
    code, message = _error(body)
    said = f"HTTP {status} {_phrase(status)}" + (f" ({message})" if message else "")
    if status == 401:  # its message is left out: servers quote parts of the key in it
        key = f"the key in {key_variable}" if key_variable else "key_variable, which names no variable"
        return Fatal(f"HTTP 401 Unauthorized; check {key}")
    if status in (402, 403) or OUT_OF_MONEY.search(f"{code} {message}"):
        return Fatal(f"{said}; check the account that the key belongs to, and what it may use")
    if status == 404 and "model" in f"{code} {message}".lower():
        return Fatal(f"{said}; check the teacher's model")
    if 300 <= status < 400:
        to = one_line(headers.get("Location", "nowhere"), SHOWN)
        return Fatal(f"HTTP {status}, a redirect to {to}; none is followed with a key, so give its url instead")
    if status in MAY_PASS:
        reason = "rate_limited" if status == 429 else "server_error"
        wait = retry_after(headers.get("Retry-After"), datetime.now(UTC))
        return Retryable(reason, said, charged=False, pushed_back=status in PUSH_BACK, wait=wait)
    if status in (400, 413, 422) and (code.startswith("context_length_exceeded") or TOO_LONG.search(message)):
        return Failure("context_too_long", said)
    return Failure("refused", said)


def retry_after(value: str | None, now: datetime) -> float | None:
    """Return the seconds that a Retry-After header orders, as a number or as a date; None where it is neither."""
    if value is None:
        return None
    if re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", value.strip()):
        return float(value)
    try:
        date = parsedate_to_datetime(value)
    except ValueError:
        return None
    return max(0.0, ((date if date.tzinfo else date.replace(tzinfo=UTC)) - now).total_seconds())


def estimate_tokens(text: str) -> int:
    """Return an estimate of a text's tokens, rather too high than too low.

    It counts a token for each four letters of an English word, for each digit and sign, and for each byte of anything else.
    """
    words = re.findall("[A-Za-z]+", text)
    rest = re.sub("[A-Za-z ]+", "", text)
    return sum(-(-len(word) // 4) for word in words) + len(rest.encode(errors="replace"))


def _answer(text: object, finish: object, usage: object, prompt_tokens: int) -> Generation | Failure:
    if finish == "content_filter":
        return Failure("content_filter", "the server's content filter withheld the answer", unanswered=1)
    if not isinstance(text, str):
        return Failure(
            "no_text", f"the answer's text is {type(text).__name__}, its finish {finish!r:.50}", unanswered=1
        )
    if not isinstance(finish, str) or finish not in FINISH:
        return Failure("no_finish", f"finish_reason is {finish!r:.50}; allowed is stop or length", unanswered=1)
    if HALF_CHARACTER.search(text):
        return Failure("half_character", "the answer holds half a character, which UTF-8 cannot hold", unanswered=1)
    cut, stop, _ = text.partition(STOP)
    counts = usage if isinstance(usage, dict) else {}
    prompt_count, completion_count = _count(counts.get("prompt_tokens")), _count(counts.get("completion_tokens"))
    return Generation(
        text=cut,
        finish="stop" if stop else FINISH[finish],
        prompt_tokens=prompt_tokens if prompt_count is None else prompt_count,
        completion_tokens=estimate_tokens(text) if completion_count is None else completion_count,
    )


def _same_model(named: str, requested: str) -> bool:
    first, second = (name.rstrip("/").rpartition("/")[2].casefold() for name in (named, requested))
    return bool(first and second) and (first in second or second in first)


def _count(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _phrase(status: int) -> str:
    """Return the standard's words for a status, not the server's: those could hold anything."""
    return HTTPStatus(status).phrase if status in HTTPStatus._value2member_map_ else "of its own"


def _error(body: bytes) -> tuple[str, str]:
    """Return code and message of an error's body: OpenAI's {"error": {...}}, FastAPI's {"detail": ...}, or plain text."""
    try:
        error = json.loads(body)
    except (ValueError, RecursionError):
        text = body.decode(errors="replace")
        return "", "" if text.lstrip().startswith("<") else one_line(text, SHOWN)  # nobody reads HTML in one line
    if isinstance(error, dict):
        error = error.get("error", error)
    if isinstance(error, dict):
        code = " ".join(str(error[name]) for name in ("code", "type") if error.get(name))
        return code, one_line(str(error.get("message") or error.get("detail") or code), SHOWN)
    return "", one_line(str(error), SHOWN)

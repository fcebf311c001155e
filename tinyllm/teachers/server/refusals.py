"""What a reply with another status than 200 means: a failure of one prompt, one that may pass, or the end of the query.

A message names the param that mends it, where one does.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus

from tinyllm.params.teacher_entries import ServerTeacher
from tinyllm.teachers.protocol import Failure
from tinyllm.teachers.server.responses import Fatal, Outcome, Retryable, Shown

PUSH_BACK = (429, 503, 529)  # too much, for now
MAY_PASS = (408, 409, 425, 500, 502, 504, 520, 522, 524, *PUSH_BACK)
TOO_LONG = re.compile(
    r"context.{0,20}(length|window|size)|too long|too many tokens|max_new_tokens`? must|exceed.{0,40}tokens", re.I
)
OUT_OF_MONEY = re.compile(
    r"insufficient[_ ](quota|balance|funds|credit)|exceeded your current quota|more credits|balance is too low", re.I
)
NO_KEY = re.compile(r"api[_ ]key.{0,20}(invalid|not valid|missing|incorrect)|(invalid|incorrect) api[_ ]key", re.I)
GEMINI_LIMIT = re.compile(rb'"RESOURCE_EXHAUSTED"')  # its limit of requests a minute, in the words of an empty account
GEMINI_WAIT = re.compile(rb'"retryDelay":\s*"([0-9]{1,6}(?:\.[0-9]{1,9})?)s"')
NUMBER = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9})?")
LONGEST_ORDER = 604_800.0  # s, a week; the quota of a month is none that a query waits for
FILTERED = re.compile(
    r"content[_ ](filter|management|policy)|ResponsibleAIPolicyViolation|invalid_prompt|usage policy|was flagged", re.I
)
_NOT_TAKEN = re.compile(  # of a field of the request
    r"unsupported[ _](?:parameter|value)|unknown[ _](?:field|parameter|name)|unrecognized (?:request )?"
    r"(?:argument|parameter|field)|unexpected (?:field|keyword|parameter)|extra[ _](?:inputs|fields|forbidden)"
    r"|(?:is|are) not (?:supported|permitted|allowed)"
    r"|does not support|not supported (?:with|by|for)|is deprecated|only the default|invalid (?:field|parameter|value)"
    r"|cannot be (?:used|set|specified)|must be (?:one|strictly|greater|less|at)|should be (?:one|greater|less)",
    re.I,
)
_TOO_LARGE = re.compile(
    r"max_(?:completion_|new_)?tokens.{0,60}(?:too large|at most|maximum)|maximum allowed number of output", re.I
)
_SENT = (
    "max_tokens",
    "temperature",
    "stop",
    "seed",
    "top_logprobs",
    "logprobs",
)  # fields of ours that a server may not take
_QUOTED = re.compile(r"['\"`‘“]([A-Za-z_][\w.]*)['\"`’”]")


def read_refusal(
    status: int, headers: Mapping[str, str], body: bytes, name: str, settings: ServerTeacher, shown: Shown
) -> Outcome:
    """Return what a reply with any status but 200 means.

    Args:
        name: the teacher's, for what a message advises
    """
    code, message, field = _error(body, shown)
    said = f"HTTP {status} {_phrase(status)}" + (f" ({message})" if message else "")
    if status == 401 or (status == 400 and NO_KEY.search(f"{code} {message}")):
        variable = settings.key_variable  # the message is left out: servers quote parts of the key in it
        key = f"the key in {variable}" if variable else "key_variable, which names no variable"
        return Fatal(f"HTTP {status} {_phrase(status)}; check {key}" + _other_header(settings, name))
    if FILTERED.search(f"{code} {message}"):
        return Failure("content_filter", said)
    if status == 429 and GEMINI_LIMIT.search(body):
        return Retryable("rate_limited", said, charged=False, pushed_back=True, wait=ordered_wait(headers, body))
    if status in (402, 403) or OUT_OF_MONEY.search(f"{code} {message}"):
        return Fatal(f"{said}; check the account that the key belongs to, and what it may use")
    if status == 404 and re.search(r"model|deployment", f"{code} {message}", re.I):
        return Fatal(f"{said}; check the teacher's model, teachers.{name}.model")
    if 300 <= status < 400:
        to = shown(headers.get("Location", "nowhere"))
        return Fatal(f"HTTP {status}, a redirect to {to}; none is followed with a key, so give its url instead")
    if status in MAY_PASS:
        reason = "rate_limited" if status == 429 else "server_error"
        wait = ordered_wait(headers)
        return Retryable(reason, said, charged=False, pushed_back=status in PUSH_BACK, wait=wait)
    if status in (400, 413, 422) and (code.startswith("context_length_exceeded") or TOO_LONG.search(message)):
        return Failure("context_too_long", f"{said}; see teachers.{name}.context_tokens")
    if status in (400, 422) and (advice := _advice(f"{code} {message}", field, name, settings)):
        return Fatal(f"{said}; {advice}")
    return Failure("refused", f"{said}; check teachers.{name}.url" if status in (404, 405) else said)


def ordered_wait(headers: Mapping[str, str], body: bytes = b"") -> float | None:
    """Return the seconds that a server orders to wait: by `retry-after-ms`, `Retry-After` or Gemini's body; None by none."""
    exact = headers.get("retry-after-ms", "").strip()
    if NUMBER.fullmatch(exact):
        return _plausible(float(exact) / 1000)
    if delay := GEMINI_WAIT.search(body):
        return _plausible(float(delay[1]))
    return retry_after(headers.get("Retry-After"), datetime.now(UTC))


def retry_after(value: str | None, now: datetime) -> float | None:
    """Return the seconds that a Retry-After header orders, as a number or as a date; None where it is neither, or absurd."""
    if value is None:
        return None
    if NUMBER.fullmatch(value.strip()):
        return _plausible(float(value))
    try:
        date = parsedate_to_datetime(value)
        return _plausible(max(0.0, ((date if date.tzinfo else date.replace(tzinfo=UTC)) - now).total_seconds()))
    except (ValueError, OverflowError, TypeError, IndexError):  # the parser's, of a year, zone or number that is none
        return None


def _plausible(seconds: float) -> float | None:
    """Return a wait, None of one that no server can mean: the request is then sent again as without an order."""
    return seconds if seconds <= LONGEST_ORDER else None


def _other_header(settings: ServerTeacher, name: str) -> str:
    azure = settings.key_variable is not None and settings.key_header == "Authorization"
    return f"; a server such as Azure's wants teachers.{name}.key_header: api-key" if azure else ""


def _advice(message: str, field: str, name: str, settings: ServerTeacher) -> str | None:
    """Return which param takes a field out of the request that the server does not take; None of another refusal."""
    if _TOO_LARGE.search(message):
        return f"lower teachers.{name}.max_new_tokens, or the limit in its extra"
    if not _NOT_TAKEN.search(message):
        return None
    named = [field, *_QUOTED.findall(message), *re.findall(r"\b(" + "|".join(_SENT) + r")\b", message)]
    wrong = next((word for word in named if word in _SENT and settings.extra.get(word, True) is not None), None)
    if wrong == "max_tokens":
        limit = settings.max_new_tokens
        return f"set teachers.{name}.extra: {{max_tokens: null, max_completion_tokens: {limit}}}"
    if wrong in ("logprobs", "top_logprobs"):
        count = "logprobs" if settings.api == "completions" else "top_logprobs"
        fewer = f"teachers.{name}.extra: {{{count}: 5}}"
        return f"it gives no log-probabilities, or fewer; set corpus.option_probabilities to false, or {fewer}"
    if wrong:
        return f"set teachers.{name}.extra: {{{wrong}: null}}"
    mine = next((word for word in named if word in settings.extra), None)
    return f"see {mine} in teachers.{name}.extra" if mine else f"teachers.{name}.extra adds or takes out what is sent"


def _phrase(status: int) -> str:
    """Return the standard's words for a status, not the server's: those could hold anything."""
    return HTTPStatus(status).phrase if status in HTTPStatus._value2member_map_ else "of its own"


def _error(body: bytes, shown: Shown) -> tuple[str, str, str]:
    """Return code, message and field of an error: OpenAI's {"error": {...}}, FastAPI's {"detail": ...}, or plain text."""
    try:
        error = json.loads(body)
    except (ValueError, RecursionError):
        text = body.decode(errors="replace")
        return "", "" if text.lstrip().startswith("<") else shown(text), ""  # nobody reads HTML in one line
    if isinstance(error, list) and len(error) == 1:
        error = error[0]  # Gemini's
    if isinstance(error, dict):
        error = error.get("error", error)
    if isinstance(error, dict):
        code = " ".join(shown(error[key]) for key in ("code", "type") if error.get(key))
        return code, shown(error.get("message") or error.get("detail") or code), shown(error.get("param") or "")
    return "", shown(error), ""

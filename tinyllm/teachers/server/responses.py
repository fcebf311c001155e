"""What a reply with status 200 means: an answer, or a failure of one prompt.

Servers agree on the protocol's core and differ around it: where thinking is kept, what a finish is called, which name the model
has. What a thinking model thought is kept in front of its answer, as `<think>...</think>`, which parsing reads.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from http import HTTPStatus
from typing import Any, NamedTuple

from tinyllm.records.jsonl import HALF_CHARACTER
from tinyllm.teachers.protocol import STOP, Failure, Generation
from tinyllm.teachers.tokens import believed, estimate_tokens, most_tokens

STOPPED = ("stop", "eos", "eos_token", "stop_sequence", "stop_token", "end_turn", "complete", "completed", "finished")
CUT = ("length", "max_tokens", "max_length", "model_length", "max_output_tokens")
FINISH = dict.fromkeys(STOPPED, "stop") | dict.fromkeys(CUT, "length")  # by each server's word, in lower case
FILTERED = ("content_filter", "safety", "recitation", "prohibited_content", "blocklist")
LONGEST_NUMBER = 100  # digits
THINKING = (
    "reasoning_content",
    "reasoning",
    "thinking",
)  # where servers put it: vLLM and DeepSeek, Ollama and OpenRouter
PART_TEXTS = ("thinking", "reasoning", "text", "content", "summary")  # where a part of a content has its text
_COMMENTS = re.compile(r"\A\s*(?::[^\n]*(?:\n|\Z)\s*)*")  # of a stream, such as `: OPENROUTER PROCESSING`
_SUFFIX = re.compile(  # what a name may have besides the requested one: a date, a revision, a quantisation, a file's ending
    r"@[\w.-]+|[-_. :](?:\d{4}-\d\d-\d\d|(?:0[1-9]|1[0-2])-(?:\d{4}|\d\d)|\d{5}-of-\d{5}"
    r"|20\d{6}|2\d(?:0[1-9]|1[0-2])[0-3]\d|(?:0[1-9]|1[0-2])[0-3]\d|00\d|latest|gguf|safetensors"
    r"|i?q\d(?:_(?:\d|k|x{0,2}s|m|x?l|nl))*|bf?16|fp?(?:4|8|16|32)|int[48]|awq|gptq|mlx|[2-8]bit|free|default)(?![a-z\d])",
    re.IGNORECASE,
)  # no size and no release: llama-3 is not llama-3-70b, nor gpt-4 gpt-4-32k, nor mistral-small mistral-small-2501


@dataclass(frozen=True)
class Retryable:
    """An attempt that failed in a way that may pass."""

    reason: str
    detail: str
    charged: bool  # whether the server may have charged for it
    pushed_back: bool = False
    wait: float | None = None  # seconds, as its Retry-After orders
    counts: bool = True  # as one of the attempts that a prompt has


@dataclass(frozen=True)
class Fatal:
    """No prompt can be answered."""

    message: str


Outcome = Generation | Failure | Retryable | Fatal
Shown = Callable[[object], str]  # a server's word as a message may show it: in one line, short, and without the key


class Asked(NamedTuple):
    """What a reply is held against.

    Args:
        name: the teacher's, for what a message advises
        model: as requested, or as `answers_as` has it. A reply that names another model is a failure, unless one name is
            the other with a date, a revision or a quantisation: servers resolve `gpt-4o` to `gpt-4o-2024-08-06`.
        prompt_tokens: estimated, for a reply without a count that can be believed
        max_new_tokens: the limit of the answer
    """

    name: str
    model: str
    prompt_tokens: int
    context_tokens: int | None
    max_new_tokens: int
    shown: Shown

    def prompt_count(self, usage: object) -> int:
        """Return the tokens of the prompt as the server counts them, or the estimate where that cannot be believed."""
        count = self._count(usage, "prompt_tokens", self.prompt_tokens)
        return self.prompt_tokens if count is None else count

    def answer_count(self, usage: object, text: str) -> int:
        """Return the tokens of the answer as the server counts them, or an estimate where that cannot be believed."""
        estimate = estimate_tokens(text)
        count = self._count(usage, "completion_tokens", estimate)
        return estimate if count is None else count

    def billed(self, usage: object) -> tuple[int, int] | None:
        """Return the tokens of prompt and answer that the server says it charges; None where that cannot be believed."""
        prompt = self._count(usage, "prompt_tokens", self.prompt_tokens)
        completion = self._count(usage, "completion_tokens", 0)
        return None if prompt is None or completion is None else (prompt, completion)

    def _count(self, usage: object, field: str, estimate: int) -> int | None:
        asked = 2 * self.prompt_tokens if field == "prompt_tokens" else self.max_new_tokens
        most = most_tokens(asked, self.context_tokens)
        return believed(usage.get(field), estimate, most) if isinstance(usage, dict) else None


def read_json(body: bytes, name: str, shown: Shown) -> dict[str, Any] | Retryable | Fatal:
    """Return the object that a reply holds, without what some send before it to keep a connection open."""
    text = body.decode(errors="replace")
    if not text.startswith("{"):
        text = _COMMENTS.sub("", text, count=1)
        if text.startswith(("data:", "event:")):
            return Fatal(f"it streams its answers; set teachers.{name}.extra: {{stream: false}}")
    try:
        reply = _DECODER.decode(text)
    except (ValueError, RecursionError):
        return Retryable("not_json", f"HTTP 200, but no JSON: {shown(text)}", charged=True)
    if isinstance(reply, list) and len(reply) == 1:
        reply = reply[0]  # Gemini's errors
    if not isinstance(reply, dict):
        return Retryable("no_choices", f"HTTP 200, but without choices: {shown(reply)}", charged=True)
    return reply


def _whole_number(digits: str) -> float:
    """Return a number of JSON; Python reads none of thousands of digits, and one such count is no reason to lose an answer."""
    return int(digits) if len(digits) <= LONGEST_NUMBER else math.inf


_DECODER = json.JSONDecoder(parse_int=_whole_number)  # made once: `json.loads` would make one for each reply


def error_of(reply: Mapping[str, Any]) -> tuple[int, dict[str, Any]] | None:
    """Return status and body of an error that came with status 200, as routers send it; None of any other reply."""
    choices = reply.get("choices")
    first = choices[0] if isinstance(choices, list) and choices else None
    error = first.get("error") if isinstance(first, dict) else None if choices else reply.get("error")
    if not isinstance(error, dict):
        return None
    status = error.get("code", error.get("status"))
    if isinstance(status, int) and status in HTTPStatus._value2member_map_ and status >= 400:
        return status, {"error": error}
    return 500, {"error": error}


def read_answer(reply: Mapping[str, Any], asked: Asked) -> Generation | Failure | Retryable:
    """Return what a reply holds.

    An answer is a text from the requested model that ended by itself or at the limit. Anything else is none; an empty text is
    none either, for the server may be mended.
    """
    choice = first_choice(reply, asked)
    if not isinstance(choice, dict):
        return choice
    message = choice.get("message")
    source = message if isinstance(message, dict) else choice
    content = source.get("content") if isinstance(message, dict) else source.get("text")
    finish = choice.get("finish_reason")
    if isinstance(finish, str) and finish.lower() in FILTERED:
        return Failure("content_filter", "the server's content filter withheld the answer", unanswered=1)
    refusal = source.get("refusal")
    if isinstance(refusal, str) and refusal and not content:
        return Failure("refusal", f"the model refused: {asked.shown(refusal)}", unanswered=1)
    text, thinking = _text_of(content)
    thinking = thinking or next((source[key] for key in THINKING if isinstance(source.get(key), str)), "")
    thinking = thinking or _text_of(source.get("reasoning_details"))[1]
    return _answer(text, thinking, finish, reply, asked)


def first_choice(reply: Mapping[str, Any], asked: Asked) -> dict[str, Any] | Failure | Retryable:
    """Return the first choice of a reply from the requested model."""
    choices = reply.get("choices")
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
        return Retryable("no_choices", f"HTTP 200, but without choices: {asked.shown(reply)}", charged=True)
    named = reply.get("model") or asked.model
    if not isinstance(named, str) or not same_model(named, asked.model):
        shown = asked.shown(named)
        advice = f"if that is the same model, set teachers.{asked.name}.answers_as: {shown}"
        return Failure("wrong_model", f"asked for model {asked.model}, answered by {shown}; {advice}", unanswered=1)
    return choices[0]


def named_model(reply: Mapping[str, Any]) -> str:
    """Return the name that a reply gives its model, "" where it gives none."""
    named = reply.get("model")
    return named if isinstance(named, str) else ""


@lru_cache(maxsize=64)  # an endpoint gives one name to all of its replies
def same_model(named: str, requested: str) -> bool:
    """Tell whether two names are one model's: their last parts are equal but for a date, a revision or a quantisation."""
    first, second = (name.rstrip("/").rpartition("/")[2].casefold() for name in (named, requested))
    short, long = sorted((first, second), key=len)
    if not short or short not in long:
        return False
    before, _, behind = long.partition(short)
    return not before.strip("-_.:") and not _SUFFIX.sub("", behind)


def _text_of(content: object) -> tuple[str | None, str]:
    """Return text and thinking of a message's content: a text, or a list of parts, of which some are thinking."""
    if not isinstance(content, list):
        return content if isinstance(content, str) else None, ""
    said: list[str] = []
    thought: list[str] = []
    for part in content:
        if isinstance(part, str):
            said.append(part)
        elif isinstance(part, dict):
            thinks = str(part.get("type")).partition(".")[0] in ("thinking", "reasoning")
            inner = next((part[key] for key in PART_TEXTS if part.get(key)), None)
            text, _ = _text_of(inner)
            (thought if thinks else said).append(text or "")
    return "".join(said), "\n".join(thought)


def _answer(
    text: str | None, thinking: str, finish: object, reply: Mapping[str, Any], asked: Asked
) -> Generation | Failure:
    if text is None and not thinking.strip():
        return Failure("no_text", f"the answer's text is missing, its finish {asked.shown(finish)}", unanswered=1)
    ended = FINISH.get(finish.lower()) if isinstance(finish, str) else None
    if ended is None:
        return Failure("no_finish", f"finish_reason is {asked.shown(finish)}; allowed is stop or length", unanswered=1)
    said = text or ""
    if not said.strip() and not (thinking.strip() and ended == "length"):
        return Failure("empty", "the answer is empty", unanswered=1)
    whole = _with_thinking(said, thinking.strip())
    if HALF_CHARACTER.search(whole):
        return Failure("half_character", "the answer holds half a character, which UTF-8 cannot hold", unanswered=1)
    cut, stopped = _without_run_on(whole)
    usage = reply.get("usage")
    return Generation(
        text=cut,
        finish="stop" if stopped else ended,
        prompt_tokens=asked.prompt_count(usage),
        completion_tokens=asked.answer_count(usage, whole),
        model=named_model(reply),
    )


def _with_thinking(said: str, thinking: str) -> str:
    if not thinking or said.lstrip().startswith("<think>"):
        return said
    thinking = thinking.replace(STOP, "\n Question:")  # thinking about the question is no run-on
    return f"<think>\n{thinking}\n</think>\n\n{said}" if said.strip() else f"<think>\n{thinking}"


def _without_run_on(text: str) -> tuple[str, bool]:
    """Return the text up to a question that the model made up, and whether there was one; its thinking stays whole."""
    thought, closed, said = text.partition("</think>") if text.lstrip().startswith("<think>") else ("", "", text)
    if thought and not closed:
        return text, False
    cut, stop, _ = said.partition(STOP)
    return thought + closed + cut, bool(stop)

"""What a request asks: its JSON body, checked, as one job for each of its prompts.

The fields are OpenAI's and a few of our own: `choices`, `context`, `id` and `voices`. Fields that are not read are ignored.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tinyllm.params.schema import Student
from tinyllm.records.questions import Question
from tinyllm.serving.prompt import Read, read_prompt
from tinyllm.serving.question import parse_question
from tinyllm.serving.refusal import Refusal

NAME = "student"  # the model's; `student:TEACHER` is its voice, and `student@FINGERPRINT` this student and no other
MOST_PROMPTS = 128  # in one request for completions
MOST_STOPS = 16


@dataclass(frozen=True)
class Served:
    """What a request has to know of the student."""

    student: Student
    voices: tuple[str, ...]  # the teachers in whose voice it has learnt to write
    fingerprint: str  # of its weights

    @property
    def models(self) -> list[str]:
        return [NAME, *(f"{NAME}:{voice}" for voice in self.voices)]


@dataclass(frozen=True)
class Job:
    """One prompt, and what is wanted of it."""

    question: Question
    voice: str | None = None  # in which the student explains; None is its answer
    told: tuple[str, ...] = ()  # the voices that are told with an answer
    concluded: bool = False  # the answer follows the rationale
    letter: bool = False  # the answer is the option's letter
    limit: int | None = None  # tokens of a free text or a rationale
    stops: tuple[str, ...] = ()
    likely: int | None = None  # how many options' log-probabilities are told; None is none


@dataclass(frozen=True)
class Asked:
    """A request."""

    model: str
    jobs: list[Job]
    stream: bool
    counted: bool  # a stream ends with the tokens' counts


def read_body(body: bytes) -> dict[str, Any]:
    """Return the object in a request's body.

    Raises:
        Refusal: there is none.
    """
    try:
        found = json.loads(body)
    except (ValueError, RecursionError) as error:  # of a number with too many digits, too
        told = ""
        if isinstance(error, json.JSONDecodeError):
            told = f" ({error.msg.removesuffix(' at')} at line {error.lineno})"
        raise Refusal(400, f"the body is no JSON{told}") from None
    if not isinstance(found, dict):
        raise Refusal(400, f"the body is a JSON {type(found).__name__}; allowed is an object")
    return found


def read_chat(body: Mapping[str, Any], served: Served) -> Asked:
    """Return what a chat asks: its last user message. What came before it is not read.

    Raises:
        Refusal: a field is missing or faulty.
    """
    model = _model(body, served)
    messages = _field(body, "messages", list, "a list of messages")
    users = [message for message in messages or [] if isinstance(message, dict) and message.get("role") == "user"]
    if not users:
        raise Refusal(400, "messages: none has the role user, whose last message is the question", "messages")
    wanted = body.get("logprobs")
    if wanted not in (None, True, False):
        raise Refusal(400, f"logprobs: {_shown(wanted)}; allowed is true or false", "logprobs")
    likely = (_count(body, "top_logprobs", 0, 20) or 0) if wanted else None
    limit = _count(body, "max_completion_tokens", 1) or _count(body, "max_tokens", 1)
    return _asked(body, model, [_text_of(users[-1].get("content"))], served, limit, likely)


def read_completion(body: Mapping[str, Any], served: Served) -> Asked:
    """Return what is asked of the other endpoint: one text after another.

    Raises:
        Refusal: a field is missing or faulty.
    """
    model, prompt = _model(body, served), body.get("prompt")
    prompts = [prompt] if isinstance(prompt, str) else prompt
    if not isinstance(prompts, list) or not prompts or not all(isinstance(text, str) for text in prompts):
        raise Refusal(400, "prompt: allowed is a text or a list of texts; token ids are not", "prompt")
    if len(prompts) > MOST_PROMPTS:
        raise Refusal(400, f"prompt: {len(prompts)} texts; allowed are {MOST_PROMPTS} in a request", "prompt")
    if body.get("echo") or body.get("suffix"):
        field = "echo" if body.get("echo") else "suffix"
        raise Refusal(400, f"{field}: not known here; `choices` tells how likely each option is", field)
    likely = _count(body, "logprobs", 0)
    return _asked(body, model, prompts, served, _count(body, "max_tokens", 1), likely)


def _asked(
    body: Mapping[str, Any],
    named: tuple[str, str | None],
    prompts: Sequence[str],
    served: Served,
    limit: int | None,
    likely: int | None,
) -> Asked:
    model, voice = named
    if (_count(body, "n", 1) or 1) > 1 or (_count(body, "best_of", 1) or 1) > 1:
        raise Refusal(400, "n: the answer is the same every time; allowed is 1", "n")
    stream = _field(body, "stream", bool, "true or false") or False
    options = _field(body, "stream_options", dict, "an object") or {}
    told = _voices(body, served)
    jobs = []
    for number, text in enumerate(prompts):
        read = _read(body, text, served)
        row = read.row | {"id": body.get("id", number)}
        try:
            question = parse_question(row, "prompt")
        except ValueError as error:
            raise Refusal(400, str(error).partition(": ")[2]) from None
        speaks = None if read.letter else voice or read.voice
        if likely is not None and (question.free or speaks):
            raise Refusal(
                400, "logprobs: told of a question's options alone, not of free text or rationales", "logprobs"
            )
        concluded = read.concluded and not body.get("choices")
        jobs.append(Job(question, speaks, told, concluded, read.letter, limit, _stops(body), likely))
    return Asked(model, jobs, stream, bool(options.get("include_usage")))


def _read(body: Mapping[str, Any], text: str, served: Served) -> Read:
    """Return what a prompt asks: with `choices` the whole of it is the question."""
    context = _field(body, "context", str, "a text") or ""
    if body.get("choices") is None:
        read = read_prompt(text, served.student, served.voices)
        whole = "\n".join(part for part in (context, read.context) if part)
        return Read(read.question, read.choices, whole, read.voice, read.concluded, read.letter)
    choices = _field(body, "choices", list, "a list of texts") or []
    if not all(isinstance(choice, str) for choice in choices):
        raise Refusal(400, "choices: allowed is a list of texts", "choices")
    return Read(text, tuple(choices), context)


def _model(body: Mapping[str, Any], served: Served) -> tuple[str, str | None]:
    """Return the model's name as it was asked for, and the voice that it names."""
    model = _field(body, "model", str, "a text")
    if model is None:
        raise Refusal(400, f"model: is missing; allowed is {', '.join(served.models)}", "model")
    name, _, voice = model.partition(":")
    name, at, fingerprint = name.partition("@")
    if name != NAME or (at and fingerprint != served.fingerprint) or (":" in model and voice not in served.voices):
        known = ", ".join([*served.models, f"{NAME}@{served.fingerprint}"])
        raise Refusal(404, f"The model {_shown(model)} does not exist; here are {known}.", "model", "model_not_found")
    return model, voice or None


def _voices(body: Mapping[str, Any], served: Served) -> tuple[str, ...]:
    wanted = body.get("voices")
    if wanted is None or wanted is False:
        return ()
    if wanted is True:
        return served.voices
    if not isinstance(wanted, list) or not all(voice in served.voices for voice in wanted):
        known = f" of {', '.join(served.voices)}" if served.voices else "; this student has none"
        raise Refusal(400, f"voices: {_shown(wanted)}; allowed is true, false or a list{known}", "voices")
    return tuple(dict.fromkeys(wanted))


def _text_of(content: object) -> str:
    """Return the text of a message: a text, or a list of parts that are texts."""
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    texts = [part.get("text") for part in parts if isinstance(part, dict) and part.get("type") == "text"]
    if not parts or len(texts) != len(parts) or not all(isinstance(text, str) for text in texts):
        raise Refusal(
            400, "messages: a message's content is no text; allowed is a text, or parts of type text", "messages"
        )
    return "\n".join(str(text) for text in texts)


def _stops(body: Mapping[str, Any]) -> tuple[str, ...]:
    stop = body.get("stop")
    stops = [stop] if isinstance(stop, str) else [] if stop is None else stop
    if not isinstance(stops, list) or not all(isinstance(text, str) for text in stops) or len(stops) > MOST_STOPS:
        raise Refusal(400, f"stop: {_shown(stop)}; allowed is a text or a list of up to {MOST_STOPS} texts", "stop")
    return tuple(text for text in stops if text)


def _count(body: Mapping[str, Any], field: str, least: int, most: int | None = None) -> int | None:
    value = body.get(field)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or value < least or (most is not None and value > most):
        allowed = f"{least} or more" if most is None else f"{least} to {most}"
        raise Refusal(400, f"{field}: {_shown(value)}; allowed is a whole number, {allowed}", field)
    return value


def _field(body: Mapping[str, Any], field: str, kind: type, allowed: str) -> Any:
    value = body.get(field)
    if value is not None and not isinstance(value, kind):
        raise Refusal(400, f"{field}: {_shown(value)}; allowed is {allowed}", field)
    return value


def _shown(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) <= 80 else f"{text[:80]}..."

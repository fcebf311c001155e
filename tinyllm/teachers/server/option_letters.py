"""How likely an endpoint finds each option: the log-probability of its letter as the next token.

A local teacher is asked for the likelihood of each option's text. Endpoints do not tell that; many tell the most likely next
tokens (`logprobs`). So the prompt is followed by a request for the letter alone, and the letters are looked up among those.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from typing import Any

from tinyllm.params.schema import Runtime
from tinyllm.params.teacher_entries import ServerTeacher
from tinyllm.records.questions import LETTERS, option_letter
from tinyllm.teachers.protocol import Failure, Generation, Prompt, Scored
from tinyllm.teachers.server.client import Server
from tinyllm.teachers.server.responses import Outcome, first_choice, named_model

TOP = 20  # tokens, the most that OpenAI tells
ASK = "\n\nWhich option is right? Reply with its letter alone."
BEGIN = "\n\nAnswer: ("  # what a plain completion goes on from
LARGEST, ROUNDING = 1e39, 0.01  # nats below and above 0; servers say -9999 or the least float32 for what is impossible
DECODING = ("max_new_tokens", "temperature", "seed", "stop")  # parts of a server's identity that shape no probability


class OptionLetters(Server):
    """A `teachers.Backend` whose answer to a `Scored` prompt is the JSON list of its options' log-probabilities, in nats.

    A letter that is not among the most likely tokens counts as the least likely of these.
    """

    def __init__(self, settings: ServerTeacher, runtime: Runtime, name: str = "NAME") -> None:
        super().__init__(settings, runtime, name)
        self.max_new_tokens = 1
        model = {key: value for key, value in self.identity.items() if key not in DECODING}
        extra = {"extra": self._extra} if self._extra else {}
        self.identity: Mapping[str, object] = {**model, **extra, "asked": "log-probability of each option's letter"}

    def _fields(self, prompt: Prompt) -> dict[str, object]:
        chat = self._settings.api == "chat"
        fields = super()._fields(Prompt(prompt.system, prompt.text + (ASK if chat else BEGIN)))
        limit = next((key for key in ("max_completion_tokens", "max_tokens") if key in fields), "max_tokens")
        fields.pop("stop", None)
        asked: dict[str, object] = {"logprobs": True, "top_logprobs": TOP} if chat else {"logprobs": TOP}
        fewer = {key: value for key, value in self._extra.items() if key in asked}
        return fields | asked | fewer | {limit: 1}

    def _read_reply(self, reply: Mapping[str, Any], prompt: Prompt) -> Outcome:
        assert isinstance(prompt, Scored)
        asked = self.asked(prompt)
        choice = first_choice(reply, asked)
        if not isinstance(choice, dict):
            return choice
        likely = dict(_likely_tokens(choice.get("logprobs")))
        if not likely:
            detail = "the reply has no log-probabilities; set corpus.option_probabilities to false"
            return Failure("no_logprobs", detail, unanswered=1)
        letters = tuple(LETTERS[: len(prompt.options)])
        if wrong := next(
            (pair for pair in likely.items() if _letter(pair[0]) in letters and _impossible(pair[1])), None
        ):
            detail = (
                f"the log-probability of {self.shown(wrong[0])} is {self.shown(wrong[1])}; allowed is a number up to 0"
            )
            return Failure("wrong_logprobs", detail, unanswered=1)
        possible = {token: min(0.0, float(value)) for token, value in likely.items() if not _impossible(value)}
        scores = [_log_sum(possible, letter) for letter in letters]
        if all(score is None for score in scores):
            named = f"{option_letter(0)} to {option_letter(len(scores) - 1)}"
            return Failure("no_letters", f"none of {named} is among its {len(possible)} likeliest tokens", unanswered=1)
        least = min(possible.values())
        text = json.dumps([round(least if score is None else score, 6) for score in scores])
        return Generation(text, "stop", asked.prompt_count(reply.get("usage")), 1, model=named_model(reply))


def _likely_tokens(logprobs: object) -> Iterator[tuple[str, Any]]:
    """Yield the likeliest first tokens and their log-probabilities, in the form of chats or in that of completions."""
    if not isinstance(logprobs, dict):
        return
    content, top = logprobs.get("content"), logprobs.get("top_logprobs")
    if isinstance(content, list) and content and isinstance(content[0], dict):
        entries = content[0].get("top_logprobs")
        entries = entries if isinstance(entries, list) and entries else [content[0]]
        pairs = [(entry.get("token"), entry.get("logprob")) for entry in entries if isinstance(entry, dict)]
    elif isinstance(top, list) and top and isinstance(top[0], dict):
        pairs = list(top[0].items())
    else:
        return
    yield from ((token, value) for token, value in pairs if isinstance(token, str) and value is not None)


def _impossible(value: object) -> bool:
    """Return whether a value is no log-probability; one that rounding took a little above 0 is."""
    return isinstance(value, bool) or not isinstance(value, (int, float)) or not -LARGEST <= value <= ROUNDING


def _letter(token: str) -> str:
    """Return what a token says, without what is put around a letter: `b`, ` B`, `(b`."""
    return token.strip(" ().:*\n▁Ġ").lower()


def _log_sum(likely: Mapping[str, float], letter: str) -> float | None:
    """Return the log-probability of all spellings of a letter together."""
    found = [value for token, value in likely.items() if _letter(token) == letter]
    return math.log(sum(map(math.exp, found))) if found and max(found) > -700 else (max(found) if found else None)

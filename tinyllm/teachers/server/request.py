"""The fields of a request: what the entry of a teacher says, and over it what its `extra` has."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from tinyllm.params.teacher_entries import ServerTeacher
from tinyllm.teachers.cache.entry import canonical_json
from tinyllm.teachers.protocol import STOP, Prompt

OWN_FIELDS = ("model", "messages", "prompt", "n", "stream")  # of a request, which `extra` may not say
LIMITS = ("max_completion_tokens", "max_tokens", "max_output_tokens")  # of an answer, as `extra` may have it
LETTER_FIELDS = ("logprobs", "top_logprobs")  # of `extra`, which only a request for an option's letter has


def request_fields(settings: ServerTeacher, extra: Mapping[str, Any], prompt: Prompt) -> dict[str, object]:
    """Return the fields that ask for the answer to a prompt; what `extra` has comes last, and its null takes a field out."""
    fields: dict[str, object] = {"model": settings.model}
    if settings.api == "chat":
        system = [{"role": "system", "content": prompt.system}] if prompt.system else []
        fields["messages"] = [*system, {"role": "user", "content": prompt.text}]
    else:
        fields["prompt"] = f"{prompt.system}\n\n{prompt.text}" if prompt.system else prompt.text
    fields |= {"temperature": settings.temperature, "max_tokens": settings.max_new_tokens, "stop": [STOP]}
    if settings.seed is not None:
        fields["seed"] = settings.seed + prompt.sample
    whole = fields | dict(extra)
    return {key: value for key, value in whole.items() if value is not None and key not in LETTER_FIELDS}


def checked_extra(extra: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Return the further fields of a request.

    Raises:
        ValueError: one of them is this client's own, or no JSON.
    """
    for key in OWN_FIELDS:
        if key in extra and not (key == "stream" and extra[key] is False):
            raise ValueError(
                f"teachers.{name}.extra: {key} cannot be set there; allowed is any other field of a request"
            )
    try:
        plain: dict[str, Any] = json.loads(canonical_json(extra, f"teachers.{name}.extra"))
    except ValueError as error:
        raise ValueError(f"{error}; in JSON a key or a date is a text in quotes") from None
    return plain


def longest_answer(settings: ServerTeacher) -> int:
    """Return the most tokens that an answer can have: by `extra`, where that replaces `max_tokens`."""
    for key in LIMITS:
        value = settings.extra.get(key)
        if isinstance(value, int) and not isinstance(value, bool) and value > 0:
            return value
    return settings.max_new_tokens

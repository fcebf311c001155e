"""Rows of the answer cache as a test writes them: with the key that what they hold has."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tinyllm.teachers.cache.entry import Entry, answer_key, check_entry
from tinyllm.teachers.protocol import Generation, Prompt


def cache_entry(identity: Mapping[str, Any], prompt: Prompt, sample: int, answer: Generation, created: float) -> Entry:
    return check_entry(
        {
            "key": answer_key(identity, prompt, sample),
            "identity": identity,
            "system": prompt.system,
            "prompt": prompt.text,
            "sample": sample,
            "text": answer.text,
            "finish": answer.finish,
            "prompt_tokens": answer.prompt_tokens,
            "completion_tokens": answer.completion_tokens,
            "created": created,
            "model": answer.model,
        }
    )

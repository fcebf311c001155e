"""A chat template for a new causal student: with it, what was learnt is read where a program knows chats alone."""

from __future__ import annotations

import json
from collections.abc import Sequence

from tinyllm.params.schema import Student


def chat_template(student: Student, voices: Sequence[str]) -> str:
    """Return a template whose text is what the student was trained to read; its message is the question with its options.

    The last user message counts. A system message that is a teacher's name asks for its voice, any other one is not read.
    Without it the answer is asked for, or the first voice where the student has no answer by itself.

    Args:
        voices: the teachers with a weight in the loss
    """
    prefixes = {voice: student.rationale_prefix.replace("{teacher}", voice) for voice in voices}
    first = student.answer_prefix
    if student.target == "rationale_then_answer" and voices:
        first = prefixes[voices[0]]
    chosen = "".join(f"{_text(prefix)} if system == {_text(voice)} else " for voice, prefix in prefixes.items())
    read = "prefix + asked + " + _text(student.response)
    if student.shared_encoder:
        read = "asked + '\\n' + prefix.rstrip()"
    return (
        "{%- set system = messages[0]['content'] if messages[0]['role'] == 'system' else '' -%}"
        f"{{%- set prefix = {chosen}{_text(first)} -%}}"
        "{%- set asked = (messages | selectattr('role', 'equalto', 'user') | list | last)['content'] -%}"
        f"{{{{- {read} -}}}}"
    )


def _text(text: str) -> str:
    """Return a text as Jinja reads it."""
    return json.dumps(text, ensure_ascii=False)

"""What a student reads and writes, as token ids: a question under a task's prefix, and the text that is to follow."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from tinyllm.settings import Student


@dataclass(frozen=True)
class Reading:
    """A question under one task: what the encoder reads, and what the decoder has before its first own token."""

    source: np.ndarray  # (S,) int32; empty for a causal student
    prompt: np.ndarray  # (P,) int32, at least one


@dataclass
class Cuts:
    """How many texts did not fit."""

    inputs_cut: int = 0  # lost the head of their context
    inputs_over_limit: int = 0  # question and options alone are longer than the limit, and were kept whole
    targets_cut: int = 0


class Reader:
    """Turns texts into ids as one student wants them.

    A sequence-to-sequence student reads prefix, context and question in its encoder. With a shared encoder it reads the same
    without the prefix, which stands at the head of its decoder instead. A causal student reads prefix, context, question and
    `response`, or all but the latter in its chat template, and goes on from there.

    Args:
        model: anything with the student's `config`
    """

    def __init__(self, student: Student, model: Any, tokenizer: Any) -> None:
        self.tokenizer = tokenizer
        self.causal = not model.config.is_encoder_decoder
        self.start = model.config.decoder_start_token_id if not self.causal else None
        self.shared = student.shared_encoder and not self.causal
        self.chat, self.response = student.chat and self.causal, student.response
        self.max_input, self.max_target = student.max_input_tokens, student.max_target_tokens

    def question(self, prefix: str, context: str, text: str, cuts: Cuts) -> Reading:
        """Return the ids of a question; what is longer than the limit is taken from the head of its context."""
        if self.causal:
            ids = self._prompt(prefix, context, text, cuts)
            return Reading(np.zeros(0, dtype=np.int32), ids)
        if not self.shared:
            source = encode_input(self.tokenizer, prefix, context, text, self.max_input, cuts)
            return Reading(source, np.array([self.start], dtype=np.int32))
        source = encode_input(self.tokenizer, "", context, text, self.max_input, cuts)
        head = self.tokenizer(prefix, add_special_tokens=False)["input_ids"]
        return Reading(source, np.array([self.start, *head], dtype=np.int32))

    def _prompt(self, prefix: str, context: str, text: str, cuts: Cuts) -> np.ndarray:
        if not self.chat:
            ids = encode_input(self.tokenizer, prefix, context, text + self.response, self.max_input, cuts)
            return ids[:-1] if ids[-1] == self.tokenizer.eos_token_id else ids
        message = prefix + (f"{context}\n{text}" if context else text)
        turns = [{"role": "user", "content": message}]
        whole = self.tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
        head, found, tail = whole.partition(message)
        if not found:
            raise ValueError("student.chat: the model's chat template changes the question's text; set it to false")
        # the template writes the special tokens itself
        return encode_input(
            self.tokenizer, head + prefix, context, text + tail, self.max_input, cuts, add_special_tokens=False
        )

    def target(self, text: str, cuts: Cuts, limit: int | None = None) -> np.ndarray:
        """Return the ids of a target, end-of-sequence included; a longer one than the limit is cut and then has no end.

        Args:
            limit: in tokens; without it the student's
        """
        if self.causal:
            space = "" if self.chat or self.response.endswith((" ", "\n")) or not self.response else " "
            ids = self.tokenizer(space + text, add_special_tokens=False, verbose=False)["input_ids"]
            ids = [*ids, self.tokenizer.eos_token_id]
        else:
            ids = self.tokenizer(text_target=text, verbose=False)["input_ids"]
        limit = self.max_target if limit is None else limit
        cuts.targets_cut += len(ids) > limit
        return np.asarray(ids[:limit], dtype=np.int32)


def encode_input(
    tokenizer: Any, prefix: str, context: str, text: str, limit: int, cuts: Cuts, add_special_tokens: bool = True
) -> np.ndarray:
    """Return the ids of prefix, context and text; what exceeds `limit` tokens is taken from the head of the context.

    The whole is tokenised in one piece, so an input that fits has exactly the ids the tokenizer gives it.
    """
    body = f"{context}\n{text}" if context else text
    encoded = tokenizer(
        prefix + body, return_offsets_mapping=True, verbose=False, add_special_tokens=add_special_tokens
    )
    ids = encoded["input_ids"]
    excess = len(ids) - limit
    if excess > 0:
        start, end = len(prefix), len(prefix) + len(context)
        inside = [i for i, (left, right) in enumerate(encoded["offset_mapping"]) if start <= left < right <= end]
        dropped = set(inside[:excess])
        ids = [token for i, token in enumerate(ids) if i not in dropped]
        cuts.inputs_cut += bool(dropped)
        cuts.inputs_over_limit += len(ids) > limit
    return np.asarray(ids, dtype=np.int32)

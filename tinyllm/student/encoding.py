"""What a student reads and writes, as token ids: a question under a task's prefix, and the text that is to follow."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tinyllm.models.chat import in_template
from tinyllm.models.likelihood import EncodedInput
from tinyllm.models.loaded import LoadedModel
from tinyllm.models.plain_text import PlainText
from tinyllm.params.schema import Student
from tinyllm.records.seen_text import composed


@dataclass
class TruncationCounts:
    """How many texts did not fit."""

    inputs_cut: int = 0  # lost the head of their context
    inputs_over_limit: int = 0  # question and options alone are longer than the limit, and were kept whole
    targets_cut: int = 0

    def add(self, other: TruncationCounts) -> None:
        self.inputs_cut += other.inputs_cut
        self.inputs_over_limit += other.inputs_over_limit
        self.targets_cut += other.targets_cut


class InputEncoder:
    """Turns texts into ids as one student wants them; a letter and its accents, composed or not, have the same ids.

    A sequence-to-sequence student reads prefix, context and question in its encoder. With a shared encoder it reads the same
    without the prefix, which stands at the head of its decoder instead. A causal student reads prefix, context, question and
    `response`, or all but the latter in its chat template, and goes on from there; with a shared encoder, of which it has none,
    it reads context and question, then the prefix in place of `response`.
    """

    def __init__(self, student: Student, model: LoadedModel) -> None:
        self.plain_text, self.end, self.causal = model.plain_text, model.tokenizer.eos_token_id, model.causal
        self.start = None if model.causal else model.plain.config.decoder_start_token_id
        self.shared = student.shared_encoder
        self.chat, self.response = student.chat and self.causal, "" if self.shared else student.response
        self.space = space_before_target(student)
        self.writes = student.target  # under a teacher's prefix
        self.max_input, self.max_target = student.max_input_tokens, student.max_target_tokens

    def question(self, prefix: str, context: str, text: str, cuts: TruncationCounts) -> EncodedInput:
        """Return the ids of a question; what is longer than the limit is taken from the head of its context."""
        return self.questions(prefix, [(context, text)], cuts)[0]

    def questions(self, prefix: str, texts: Sequence[tuple[str, str]], cuts: TruncationCounts) -> list[EncodedInput]:
        """Return the ids of many questions, each as context and text: faster than one by one."""
        if self.causal:
            nothing = np.zeros(0, dtype=np.int32)
            if not self.shared:
                return [EncodedInput(nothing, prompt) for prompt in self._prompts(prefix, texts, cuts)]
            tail = self._tail(prefix)
            heads = self._prompts("", texts, cuts)
            # the last token of the prompt foretells the first of the text, so that it must be the task's own
            return [
                EncodedInput(nothing, np.concatenate([head, tail]), len(head) if len(tail) else 0) for head in heads
            ]
        (head,) = self.plain_text.ids([prefix], add_special_tokens=False) if self.shared else [[]]
        prompt = np.array([self.start, *head], dtype=np.int32)
        parts = [Parts("" if self.shared else prefix, context, text) for context, text in texts]
        return [EncodedInput(source, prompt) for source in encode_inputs(self.plain_text, parts, self.max_input, cuts)]

    def _prompts(self, prefix: str, texts: Sequence[tuple[str, str]], cuts: TruncationCounts) -> list[np.ndarray]:
        if self.chat:  # the template writes the special tokens itself
            parts = [self._in_template(prefix, context, text) for context, text in texts]
            return encode_inputs(self.plain_text, parts, self.max_input, cuts, templated=True)
        parts = [Parts(prefix, context, text + self.response) for context, text in texts]
        encoded = encode_inputs(self.plain_text, parts, self.max_input, cuts)
        return [ids[:-1] if ids[-1] == self.end else ids for ids in encoded]

    def _tail(self, prefix: str) -> np.ndarray:
        """Return the ids of a prefix behind the question, on a line of its own where no template stands between them."""
        text = ("" if self.chat else "\n") + prefix.rstrip()
        return np.array(self.plain_text.ids([text], add_special_tokens=False)[0], dtype=np.int32)

    def _in_template(self, prefix: str, context: str, text: str) -> Parts:
        context, text = composed(context), composed(text)
        message = prefix + (f"{context}\n{text}" if context else text)
        try:
            whole = in_template(self.plain_text, [{"role": "user", "content": message}])
        except ValueError as error:
            raise ValueError(f"student.chat: the model's chat template fails ({error}); set it to false") from None
        head, inside, tail = whole.partition(message)
        if not inside:
            raise ValueError("student.chat: the model's chat template changes the question's text; set it to false")
        return Parts(head + prefix, context, text + tail)

    def target(self, text: str, cuts: TruncationCounts, limit: int | None = None) -> np.ndarray:
        """Return the ids of a target, end-of-sequence included; a longer one than the limit is cut and then has no end.

        Args:
            limit: in tokens; without it the student's
        """
        return self.targets([text], cuts, limit)[0]

    def targets(self, texts: Sequence[str], cuts: TruncationCounts, limit: int | None = None) -> list[np.ndarray]:
        """Return the ids of many targets: faster than one by one."""
        if not texts:
            return []
        if self.causal:
            spaced = [self.space + composed(text) for text in texts]
            targets = [[*ids, self.end] for ids in self.plain_text.ids(spaced, add_special_tokens=False)]
        else:
            targets = self.plain_text.target_ids([composed(text) for text in texts])
        limit = self.max_target if limit is None else limit
        cuts.targets_cut += sum(len(ids) > limit for ids in targets)
        return [np.asarray(ids[:limit], dtype=np.int32) for ids in targets]


def space_before_target(student: Student) -> str:
    """Return what stands between a causal student's prompt and what it writes."""
    if student.shared_encoder:
        return " "
    return "" if student.chat or not student.response or student.response.endswith((" ", "\n")) else " "


@dataclass(frozen=True)
class Parts:
    """An input's text; only its context may be cut."""

    prefix: str
    context: str
    text: str

    @property
    def whole(self) -> str:
        return self.prefix + (f"{self.context}\n{self.text}" if self.context else self.text)

    @property
    def composed(self) -> Parts:
        return Parts(composed(self.prefix), composed(self.context), composed(self.text))


def encode_inputs(
    plain_text: PlainText, inputs: Sequence[Parts], limit: int, cuts: TruncationCounts, templated: bool = False
) -> list[np.ndarray]:
    """Return the ids of each input; what exceeds `limit` tokens is taken from the head of its context.

    The whole is tokenised in one piece, so an input that fits has exactly the ids the tokenizer gives it.

    Args:
        templated: whether they stand in the chat template, which writes the special tokens itself
    """
    parts = [each.composed for each in inputs]
    encoded = plain_text.ids([each.whole for each in parts], not templated, templated)
    return [
        np.asarray(ids if len(ids) <= limit else _cut(plain_text, each, limit, cuts, templated), dtype=np.int32)
        for each, ids in zip(parts, encoded, strict=True)
    ]


def _cut(plain_text: PlainText, parts: Parts, limit: int, cuts: TruncationCounts, templated: bool) -> list[int]:
    if not plain_text.tokenizer.is_fast:
        return _cut_by_characters(plain_text, parts, limit, cuts, templated)
    ids, offsets = plain_text.offsets(parts.whole, not templated, templated)
    start = len(parts.prefix)
    end = start + len(parts.context)
    inside = [i for i, (left, right) in enumerate(offsets) if start <= left < right <= end]
    dropped = set(inside[: len(ids) - limit])
    kept = [token for i, token in enumerate(ids) if i not in dropped]
    cuts.inputs_cut += bool(dropped)
    cuts.inputs_over_limit += len(kept) > limit
    return kept


def _cut_by_characters(
    plain_text: PlainText, parts: Parts, limit: int, cuts: TruncationCounts, templated: bool
) -> list[int]:
    """Do what `_cut` does where the tokenizer does not tell which characters a token stands for."""

    def without(count: int) -> list[int]:
        left = Parts(parts.prefix, parts.context[count:], parts.text)
        return plain_text.ids([left.whole], not templated, templated)[0]

    fewest = bisect_left(range(len(parts.context)), True, key=lambda count: len(without(count)) <= limit)
    kept = without(fewest)
    cuts.inputs_cut += bool(parts.context)
    cuts.inputs_over_limit += len(kept) > limit
    return kept

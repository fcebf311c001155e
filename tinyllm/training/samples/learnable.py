"""The selection `learnable`: of each question's and teacher's rationales those that the untrained student finds likeliest."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
import transformers

from tinyllm.models.likelihood import EncodedInput
from tinyllm.models.loaded import LoadedModel
from tinyllm.records.files import close_to_others, make_private
from tinyllm.records.jsonl import read_json, write_json
from tinyllm.student.folder import errors_name
from tinyllm.student.predict import option_scores
from tinyllm.training.examples import Example

NEW_ADAPTER = "lora_"  # in a weight's name: it begins as no change at all, from other random numbers with each seed


class LearnableSelection:
    """Keeps of every example with more than `most` targets the `most` likeliest, in the order they had.

    A target's likelihood is the mean over its tokens, its end included, under the student as it begins. Of equal ones the
    first is kept. What is measured stays in the cache, by student and tokens, so that other seeds and weights measure nothing.

    Args:
        model: on the device where it computes
        cache: the folder of what was measured; None keeps nothing
    """

    def __init__(self, model: LoadedModel, most: int, batch_tokens: int, cache: Path | None = None) -> None:
        self.model, self.most, self.batch_tokens, self.cache = model, most, batch_tokens, cache
        self.measured = 0  # targets, whether now or by an earlier run
        self._student = _student_digest(model) if cache else b""

    def __call__(self, questions: Sequence[Sequence[Example]]) -> list[list[Example]]:
        """Return each question's examples with the targets that are kept."""
        kept = [list(examples) for examples in questions]
        many = [
            (question, place)
            for question, examples in enumerate(kept)
            for place, example in enumerate(examples)
            if 1 + len(example.alternatives) > self.most
        ]
        for task in sorted({kept[question][place].task for question, place in many}):
            # the prompts of one task are of one length, as a model with an encoder wants them
            chosen = [(question, place) for question, place in many if kept[question][place].task == task]
            examples = [kept[question][place] for question, place in chosen]
            for (question, place), example, values in zip(chosen, examples, self._likelihoods(examples), strict=True):
                kept[question][place] = _likeliest(example, values, self.most)
        return kept

    def _likelihoods(self, examples: Sequence[Example]) -> list[list[float]]:
        """Return the log-likelihood a token, in nats, of every target of each example."""
        targets = [[example.labels, *example.alternatives] for example in examples]
        self.measured += sum(map(len, targets))
        if self.cache is None:
            return self._measure(examples, targets)
        path = self.cache / f"{_digest(self._student, examples, targets)}.json"
        if path.is_file():
            kept: list[list[float]] = read_json(path)["values"]
            return kept
        measured = self._measure(examples, targets)
        with errors_name(path):
            make_private(path.parent)
            close_to_others(path.parent)
        write_json(path, {"values": measured})
        return measured

    def _measure(self, examples: Sequence[Example], targets: Sequence[Sequence[np.ndarray]]) -> list[list[float]]:
        inputs = [EncodedInput(example.source, example.prompt, example.shared) for example in examples]
        training = self.model.wrapped.training
        try:
            return option_scores(self.model, inputs, targets, self.batch_tokens, normalize="tokens")
        finally:
            self.model.wrapped.train(training)


def _likeliest(example: Example, values: Sequence[float], most: int) -> Example:
    ranked = sorted(range(len(values)), key=lambda i: -values[i])  # of equal ones the first stays first
    targets = (example.labels, *example.alternatives)
    target, *others = [targets[i] for i in sorted(ranked[:most])]
    return replace(example, labels=target, alternatives=tuple(others))


def _student_digest(model: LoadedModel) -> bytes:
    """Return the sha256 of what computes the likelihoods: weights, kind of model, libraries, device."""
    kind = [model.plain.config.model_type, model.device.type, torch.__version__, transformers.__version__]
    digest = hashlib.sha256(json.dumps(kind).encode())
    for name, weight in sorted(model.wrapped.state_dict().items()):
        if NEW_ADAPTER not in name:
            digest.update(name.encode())
            digest.update(weight.detach().cpu().contiguous().numpy().tobytes())
    return digest.digest()


def _digest(student: bytes, examples: Iterable[Example], targets: Iterable[Iterable[np.ndarray]]) -> str:
    """Return the sha256 of a student and of all tokens that it is to read, which hold the prefix and the texts."""
    digest = hashlib.sha256(student)
    for example, several in zip(examples, targets, strict=True):
        for ids in (example.source, example.prompt, *several):
            digest.update(len(ids).to_bytes(4, "little") + ids.tobytes())
        digest.update(b"\xff" * 4)  # no length: another example begins
    return digest.hexdigest()

"""From a fitted prompt to the samples that are asked for, and from what became of them to a teacher's output."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import replace

from tinyllm.records.rationales import TeacherOutput
from tinyllm.teachers.prompts import Fitted
from tinyllm.teachers.protocol import Failure, Generation, Prompt
from tinyllm.teachers.tokens import summable


def sample_prompts(fitted: Sequence[Fitted], samples: int) -> list[Prompt | None]:
    """Return each prompt as often as it is asked, one sample behind the other; None is a prompt that did not fit."""
    return [fit.prompt and replace(fit.prompt, sample=sample) for fit in fitted for sample in range(samples)]


def sampled_output(fitted: Fitted, outcomes: Sequence[Generation | Failure]) -> TeacherOutput:
    """Return a question's output, whose further ones are its other samples."""
    first, *further = (_output(fitted, outcome) for outcome in outcomes)
    return replace(first, further=tuple(further))


def _output(fitted: Fitted, outcome: Generation | Failure) -> TeacherOutput:
    if isinstance(outcome, Failure):
        return TeacherOutput(None, "failed", {"reason": outcome.reason, "detail": outcome.detail})
    assert fitted.prompt is not None  # what has no prompt has failed
    extra: dict[str, object] = {
        "prompt_sha256": prompt_digest(fitted.prompt),
        "examples_dropped": fitted.examples_dropped,
        "context_words_cut": fitted.context_words_cut,
        "finish": outcome.finish,
        "prompt_tokens": summable(outcome.prompt_tokens),
        "completion_tokens": summable(outcome.completion_tokens),
    }
    return TeacherOutput(outcome.text, "ok", extra)


def read_probabilities(outcome: Generation | Failure) -> list[float] | None:
    """Return the options' probabilities of their log-likelihoods; None where there are none."""
    if isinstance(outcome, Failure):
        return None
    scores = json.loads(outcome.text)
    odds = [math.exp(score - max(scores)) for score in scores]
    return [odd / sum(odds) for odd in odds]


def prompt_digest(prompt: Prompt) -> str:
    """Return the sha256 of a prompt: equal prompts have equal ones in the rationale files."""
    return hashlib.sha256(f"{prompt.system}\0{prompt.text}".encode()).hexdigest()

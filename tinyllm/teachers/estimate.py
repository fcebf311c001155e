"""What it would cost to ask a live teacher: calls, tokens and money, counted on the very prompts. None is sent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tinyllm.records.questions import Question
from tinyllm.teachers.cache.entry import answer_key
from tinyllm.teachers.cache.store import ResponseCache
from tinyllm.teachers.live import CachedTeacher
from tinyllm.teachers.outputs import sample_prompts
from tinyllm.teachers.protocol import Failure, Generation, Prompt


@dataclass(frozen=True)
class Estimate:
    """What is still to be asked. Tokens and cost are the highest there can be, unless a request has to be sent twice."""

    calls: int
    cached: int
    too_long: int  # questions that do not fit into the teacher's context
    prompt_tokens: int
    completion_tokens: int
    cost: float  # in the price's currency


def estimate(live: CachedTeacher, questions: Sequence[Question], forced: bool, samples: int = 1) -> Estimate:
    """Return what `live` has yet to be asked about the questions: for rationales, or without the gold answer for an exam.

    A prompt that shows an example whose rationale is yet to be asked counts the longest rationale there can be.

    Args:
        samples: how often each question is asked.
    """
    waiting: dict[str, Prompt] = {}
    cached: set[str] = set()
    too_long = 0

    def look_up(prompts: Sequence[Prompt | None]) -> list[Generation | Failure]:
        nonlocal too_long
        keys = [
            None if prompt is None else answer_key(live.backend.identity, prompt, prompt.sample) for prompt in prompts
        ]
        too_long += keys.count(None)
        with ResponseCache(live.cache) as cache:
            known = cache.get([key for key in keys if key])
        cached.update(known)
        waiting.update({k: p for k, p in zip(keys, prompts, strict=True) if k and p and k not in known})
        return [known[key] if key in known else Failure("not_asked", "an estimate asks nothing") for key in keys]

    fitted = live.build_prompts(questions, forced, look_up)
    unknown_rationales = len(waiting) > 0
    look_up(sample_prompts(fitted, samples))
    calls, longest = len(waiting), live.backend.max_new_tokens
    prompt_tokens = sum(live.backend.count_tokens(prompt) for prompt in waiting.values())
    if unknown_rationales:
        prompt_tokens += len(fitted) * samples * live.prompting.examples * longest
    cost = live.budget.cost(prompt_tokens, calls * longest)
    return Estimate(calls, len(cached), too_long, prompt_tokens, calls * longest, cost)

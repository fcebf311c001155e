"""How likely a local teacher finds each option of a question: the log-likelihood of its full text behind the prompt."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Generator, Mapping, Sequence
from os.path import commonprefix

from tinyllm.teachers.local.backend import Local
from tinyllm.teachers.local.decoding import NOT_FINITE
from tinyllm.teachers.protocol import Failure, Generation, Prompt, Scored

DECODING = ("max_new_tokens", "temperature", "seed")  # parts of a local teacher's identity that shape no likelihood
Tickets = dict[int, tuple[int, list[int], list[list[int]]]]  # with a prompt's index, its tokens, those of its options


class OptionScores:
    """A `teachers.Backend` whose answer to a `Scored` prompt is the JSON list of its options' log-likelihoods, in nats.

    One question is scored at a time, its prompt once, then all options in one batch: so a score depends on its own prompt
    to the last digit, and a killed query ends as an undisturbed one. Of an encoder-decoder the option's end counts too; of a
    causal model it does not, which may have more to say.
    """

    def __init__(self, local: Local) -> None:
        self.local = local
        self.context_tokens, self.max_new_tokens = local.context_tokens, local.max_new_tokens
        model = {key: value for key, value in local.identity.items() if key not in DECODING}
        self.identity: Mapping[str, object] = {**model, "asked": "log-likelihood of each option"}

    def count_tokens(self, prompt: Prompt) -> int:
        return self.local.count_tokens(prompt)

    def generate(
        self, prompts: Sequence[Prompt], reserve: Callable[[int], bool]
    ) -> Generator[tuple[int, Generation | Failure]]:
        """Yield what became of each prompt: in their order, where one process computes.

        Raises:
            ValueError: the weights cannot be loaded, or the chat template refuses a prompt.
        """
        under_way: Tickets = {}
        try:
            yield from self._scores(prompts, reserve, under_way)
        finally:
            if under_way:  # left early
                self.local.workers.drop()

    def _scores(
        self,
        prompts: Sequence[Prompt],
        reserve: Callable[[int], bool],
        under_way: Tickets,
    ) -> Generator[tuple[int, Generation | Failure]]:
        workers = self.local.workers
        for index, prompt in enumerate(prompts):
            assert isinstance(prompt, Scored)
            head, options = self._encode(prompt)
            tokens = len(head) + max(map(len, options))
            if not all(options):
                yield index, Failure("empty_option", "the tokenizer leaves nothing of an option")
            elif self.context_tokens is not None and tokens > self.context_tokens:
                detail = f"{tokens} tokens with the longest option; the model holds {self.context_tokens}"
                yield index, Failure("too_long", detail)
            elif not reserve(index):
                break
            else:
                under_way[workers.send("score", head, options)] = index, head, options
                while len(under_way) >= workers.count:  # a node that dies leaves fewer
                    yield self._next_score(under_way)
        while under_way:
            yield self._next_score(under_way)

    def _next_score(self, under_way: Tickets) -> tuple[int, Generation | Failure]:
        """Wait for a question's scores and take it from those under way."""
        ticket, scores = self.local.workers.receive()
        index, head, options = under_way.pop(ticket)
        return index, self._answer(head, options, scores)

    def _encode(self, prompt: Scored) -> tuple[list[int], list[list[int]]]:
        """Return the tokens of the prompt and, behind it, of each option."""
        local = self.local
        head = local.encode(prompt)
        if local.checkpoint.config.is_encoder_decoder:
            return head, local.plain_text.target_ids(prompt.options)
        wholes = [local.encode(prompt, option) for option in prompt.options]
        shared = len(commonprefix([head, *wholes]))  # less than the prompt where its end and an option make one token
        return wholes[0][:shared], [whole[shared:] for whole in wholes]

    def _answer(self, head: list[int], options: list[list[int]], scores: list[float] | None) -> Generation | Failure:
        if scores is None:
            detail = f"a prompt of {len(head)} tokens with {len(options)} options"
            return Failure("out_of_memory", f"{detail} does not fit into the memory of the {self.local.device}")
        if not all(map(math.isfinite, scores)):
            return Failure(NOT_FINITE, "the model's likelihoods are no finite numbers; its weights may be damaged")
        text = json.dumps([round(score, 6) for score in scores])
        return Generation(text, "stop", len(head), sum(map(len, options)))

"""How likely a local teacher finds each option of a question: the log-likelihood of its full text behind the prompt."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Generator, Mapping, Sequence
from os.path import commonprefix

import numpy as np
import torch

from tinyllm.models.device import within_memory
from tinyllm.models.likelihood import EncodedInput, option_likelihoods
from tinyllm.models.loaded import LoadedModel
from tinyllm.teachers.local.backend import Local
from tinyllm.teachers.local.decoding import NOT_FINITE
from tinyllm.teachers.protocol import Failure, Generation, Prompt, Scored

DECODING = ("max_new_tokens", "temperature", "seed")  # parts of a local teacher's identity that shape no likelihood


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
        """Yield what became of each prompt, in their order.

        Raises:
            ValueError: the weights cannot be loaded, or the chat template refuses a prompt.
        """
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
                return
            else:
                yield index, self._answer(head, options)

    def _encode(self, prompt: Scored) -> tuple[list[int], list[list[int]]]:
        """Return the tokens of the prompt and, behind it, of each option."""
        local = self.local
        head = local.encode(prompt)
        if local.checkpoint.config.is_encoder_decoder:
            return head, local.plain_text.target_ids(prompt.options)
        wholes = [local.encode(prompt, option) for option in prompt.options]
        shared = len(commonprefix([head, *wholes]))  # less than the prompt where its end and an option make one token
        return wholes[0][:shared], [whole[shared:] for whole in wholes]

    def _answer(self, head: list[int], options: list[list[int]]) -> Generation | Failure:
        model = self.local.load()
        scores = within_memory(lambda: log_likelihoods(model, head, options))
        if scores is None:
            detail = f"a prompt of {len(head)} tokens with {len(options)} options"
            return Failure("out_of_memory", f"{detail} does not fit into the memory of the {self.local.device}")
        if not all(map(math.isfinite, scores)):
            return Failure(NOT_FINITE, "the model's likelihoods are no finite numbers; its weights may be damaged")
        text = json.dumps([round(score, 6) for score in scores])
        return Generation(text, "stop", len(head), sum(map(len, options)))


def log_likelihoods(model: LoadedModel, head: Sequence[int], options: Sequence[Sequence[int]]) -> list[float]:
    """Return the log-likelihood of each option behind the head, in nats.

    Args:
        head: tokens of the prompt
        options: tokens of each
    """
    ids = np.array(head, dtype=np.int32)
    start = np.array([model.plain.config.decoder_start_token_id], dtype=np.int32) if not model.causal else ids
    encoded = EncodedInput(ids[:0] if model.causal else ids, start)
    with torch.inference_mode():
        (scores,) = option_likelihoods(model, [encoded], [[np.array(option, dtype=np.int32) for option in options]])
    return scores

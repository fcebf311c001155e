"""How likely a local teacher finds each option of a question: the log-likelihood of its full text behind the prompt."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from os.path import commonprefix
from typing import Any

from tinyllm.teachers.local.backend import Local, within_memory
from tinyllm.teachers.protocol import Failure, Generation, Prompt, Scored

DECODING = ("max_new_tokens", "temperature", "seed")  # parts of a local teacher's identity that shape no likelihood
IGNORED = -100  # fills a row behind its option


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
        self.identity: Mapping[str, Any] = {**model, "asked": "log-likelihood of each option"}

    def count_tokens(self, prompt: Prompt) -> int:
        return self.local.count_tokens(prompt)

    def generate(
        self, prompts: Sequence[Prompt], reserve: Callable[[int], bool]
    ) -> Iterator[tuple[int, Generation | Failure]]:
        """Yield what became of each prompt, in their order.

        Raises:
            ValueError: the weights cannot be loaded, or the chat template refuses a prompt.
        """
        for index, prompt in enumerate(prompts):
            assert isinstance(prompt, Scored)
            head, options = self._encode(prompt)
            tokens = len(head) + max(map(len, options))
            if self.context_tokens is not None and tokens > self.context_tokens:
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
            return head, [local.tokenizer(text_target=option, verbose=False)["input_ids"] for option in prompt.options]
        wholes = [local.encode(prompt, option) for option in prompt.options]
        shared = len(commonprefix([head, *wholes]))  # less than the prompt where its end and an option make one token
        return wholes[0][:shared], [whole[shared:] for whole in wholes]

    def _answer(self, head: list[int], options: list[list[int]]) -> Generation | Failure:
        self.local.load()
        scores = within_memory(lambda: log_likelihoods(self.local.model, head, options))
        if scores is None:
            detail = f"a prompt of {len(head)} tokens with {len(options)} options"
            return Failure("out_of_memory", f"{detail} does not fit into the memory of the {self.local.device}")
        if not all(map(math.isfinite, scores)):
            return Failure("not_finite", "the model's likelihoods are no finite numbers; its weights may be damaged")
        text = json.dumps([round(score, 6) for score in scores])
        return Generation(text, "stop", len(head), sum(map(len, options)))


def log_likelihoods(model: Any, head: Sequence[int], options: Sequence[Sequence[int]]) -> list[float]:
    """Return the log-likelihood of each option behind the head, in nats; the head is read once.

    Args:
        head: tokens of the prompt; a causal model needs two or more.
    """
    import torch

    prompt = torch.tensor([list(head)], device=model.device)  # (1, S)
    rows = [torch.tensor(ids) for ids in options]
    labels = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=IGNORED).to(model.device)  # (N, T)
    with torch.inference_mode():
        if model.config.is_encoder_decoder:
            encoded = model.get_encoder()(input_ids=prompt).last_hidden_state.expand(len(rows), -1, -1)  # (N, S, D)
            logits = model(encoder_outputs=(encoded,), labels=labels).logits
        else:
            cache = _read(model, prompt[:, :-1])
            cache.batch_repeat_interleave(len(rows))
            last = prompt[:, -1:].expand(len(rows), 1)  # it tells each option's first token
            before = torch.cat([last, labels[:, :-1].clamp(min=0)], dim=1)  # (N, T)
            # what fills a row stands behind its option, where a causal model does not look
            logits = model(input_ids=before, past_key_values=cache).logits  # (N, T, V)
        chosen = labels.clamp(min=0)[:, :, None]
        tokens = torch.log_softmax(logits.float(), dim=-1).gather(2, chosen).squeeze(2)  # (N, T)
        return (tokens * (labels != IGNORED)).sum(dim=1).tolist()


def _read(model: Any, ids: Any) -> Any:
    """Return the cache of a causal model that has read the tokens.

    Raises:
        ValueError: it is not of keys and values alone, and would not go on rightly with several tokens of several options.
    """
    from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer

    cache = model.base_model(input_ids=ids, use_cache=True).get("past_key_values")
    if cache is None or not {type(layer) for layer in cache.layers} <= {DynamicLayer, DynamicSlidingWindowLayer}:
        raise ValueError(
            f"local: a model of type {model.config.model_type} keeps more of a prompt than keys and values, so that options "
            "cannot share it; set corpus.option_probabilities to false"
        )
    return cache

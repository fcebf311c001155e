"""What of a local teacher computes: its weights and tokenizer, in this process or in another one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from tinyllm.models.checkpoint import Checkpoint, open_checkpoint
from tinyllm.models.decoding import ByRow, Decoded, decode, decoder_arguments
from tinyllm.models.device import within_memory
from tinyllm.models.finite import FiniteLogits
from tinyllm.models.likelihood import EncodedInput, option_likelihoods
from tinyllm.models.loaded import LoadedModel
from tinyllm.models.sampling import SeededSampling
from tinyllm.models.source import Source
from tinyllm.params.teacher_entries import LocalTeacher
from tinyllm.teachers.local.checkpoint import load_teacher
from tinyllm.teachers.local.decoding import NOT_FINITE, Encoded, EndOrStop, stream_seeds
from tinyllm.teachers.protocol import STOP, Failure, Generation


@dataclass(frozen=True)
class Recipe:
    """All that another process needs to have the same model."""

    settings: LocalTeacher
    source: Source
    device: str
    precision: str

    def make(self) -> TeacherModel:
        """Return the model, whose tokenizer is opened now.

        Raises:
            ValueError: the checkpoint is not there.
        """
        return TeacherModel(self, open_checkpoint(self.source))


class TeacherModel:
    """A teacher's model, whose weights are loaded with the first task."""

    def __init__(self, recipe: Recipe, checkpoint: Checkpoint) -> None:
        self.recipe, self.checkpoint = recipe, checkpoint
        self.model: LoadedModel | None = None

    def load(self) -> LoadedModel:
        """Return the model with its weights.

        Raises:
            ValueError: they cannot be loaded.
        """
        if self.model is None:
            self.model = load_teacher(self.checkpoint, self.recipe.device, self.recipe.precision)
        return self.model

    def answer(self, batch: Sequence[Encoded]) -> list[Generation | Failure] | None:
        """Return the answers to prompts, generated together; None where they do not fit into memory."""
        model = self.load()
        return within_memory(lambda: self._answer(model, batch))

    def score(self, head: Sequence[int], options: Sequence[Sequence[int]]) -> list[float] | None:
        """Return the log-likelihood of each option behind a prompt, in nats; None where they do not fit into memory."""
        model = self.load()
        return within_memory(lambda: log_likelihoods(model, head, options))

    def _answer(self, model: LoadedModel, batch: Sequence[Encoded]) -> list[Generation | Failure]:
        width = max(len(item.ids) for item in batch)
        ids = torch.zeros((len(batch), width), dtype=torch.long)  # (B, S)
        mask = torch.zeros_like(ids)
        for row, item in enumerate(batch):
            # a causal model's answer follows the prompt in the same row
            columns = slice(width - len(item.ids), None) if model.causal else slice(len(item.ids))
            ids[row, columns], mask[row, columns] = torch.tensor(item.ids), 1
        start = width if model.causal else 1  # a decoder starts with a token that is no part of the answer
        settings = model.plain.generation_config
        ending = EndOrStop(self.checkpoint.tokenizer, settings.eos_token_id, start, len(batch))
        processors: list[ByRow] = [FiniteLogits(ending.give_up, len(batch))]
        if self.recipe.settings.temperature > 0:
            processors.append(
                SeededSampling(self.recipe.settings.temperature, stream_seeds(self.recipe.settings.seed, batch))
            )
        with torch.inference_mode():
            arguments = self._inputs(model, ids.to(model.device), mask.to(model.device))
            rows = decode(model, arguments, self.recipe.settings.max_new_tokens, ending, processors)
        return [
            Failure(NOT_FINITE, "the likelihoods of its next token are no finite numbers; its weights may be damaged")
            if row in ending.given_up
            else self._finish(item, decoded, ending.ends, model.causal)
            for row, (item, decoded) in enumerate(zip(batch, rows, strict=True))
        ]

    def _inputs(self, model: LoadedModel, ids: Tensor, mask: Tensor) -> dict[str, Any]:
        """Return what decoding is given of prompts (B, S)."""
        if model.causal:
            return {"input_ids": ids, "attention_mask": mask}
        prompts = ids.new_full((len(ids), 1), model.plain.generation_config.decoder_start_token_id)
        return decoder_arguments(model, {"input_ids": ids, "attention_mask": mask}, prompts, range(len(ids)))

    def _finish(self, item: Encoded, decoded: Decoded, ends: Sequence[int], causal: bool) -> Generation:
        tokens = decoded.tokens
        text = _decode(
            self.checkpoint.tokenizer, tokens[:-1] if tokens[-1] in ends else tokens, after="a" if causal else ""
        )
        finish = "stop" if decoded.ended else "length"
        return Generation(text.partition(STOP)[0], finish, len(item.ids), len(tokens))


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


def _decode(tokenizer: PreTrainedTokenizerBase, tokens: list[int], after: str) -> str:
    """Return the text of tokens that follow `after`, special tokens left out.

    Some tokenizers drop the space before a text's first word, which is none where the text goes on.
    """
    before = tokenizer(after, add_special_tokens=False)["input_ids"]
    text, head = (
        str(tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False))
        for ids in (before + tokens, before)
    )
    return text.removeprefix(head)

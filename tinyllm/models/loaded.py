"""A loaded model with its tokenizer and what every use of it asks, and how token ids are padded for it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from tinyllm.models.plain_text import PlainText

if TYPE_CHECKING:
    from peft import PeftModel  # seconds, and only a tuned student has one

IGNORED = -100  # label of a padded position


@dataclass(frozen=True)
class SoftPrompt:
    """Vectors learnt before every input."""

    length: int  # P
    vectors: Callable[[int], Tensor]  # for so many rows, (B, P, D)


@dataclass(frozen=True)
class LoadedModel:
    """A model and its tokenizer, looked into once: when it is loaded or built."""

    wrapped: PreTrainedModel | PeftModel  # what is trained and saved: peft's wrapper, or `plain` itself
    plain: PreTrainedModel  # what computes; LoRA's adapters lie in its layers, a soft prompt does not: see `embedded`
    tokenizer: PreTrainedTokenizerBase
    soft_prompt: SoftPrompt | None
    causal: bool  # or it has an encoder
    pad_id: int  # fills rows up; it is always masked
    name: str  # what a message calls it: its folder

    @cached_property
    def plain_text(self) -> PlainText:
        """What every text goes through to become ids."""
        return PlainText(self.tokenizer)

    @property
    def soft_tokens(self) -> int:
        """The number of vectors learnt before every input."""
        return self.soft_prompt.length if self.soft_prompt else 0

    @property
    def device(self) -> torch.device:
        """Where it is by now: the Trainer moves it."""
        return self.plain.device


def loaded_model(
    wrapped: PreTrainedModel | PeftModel, tokenizer: PreTrainedTokenizerBase, name: str = "the model"
) -> LoadedModel:
    """Return a model, in peft's wrapper or without, as the rest of the project uses it.

    Where it has no padding token, as most causal models have none, the one that ends a text becomes it.
    """
    plain: nn.Module = wrapped
    soft_prompt = None
    if not isinstance(wrapped, PreTrainedModel):
        plain, config = wrapped.get_base_model(), wrapped.active_peft_config
        if config.is_prompt_learning:
            soft_prompt = SoftPrompt(config.num_virtual_tokens, wrapped.get_prompt)
    assert isinstance(plain, PreTrainedModel)
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    if plain.config.pad_token_id is None:
        plain.config.pad_token_id = tokenizer.pad_token_id
    causal, pad_id = not plain.config.is_encoder_decoder, plain.config.pad_token_id or 0
    return LoadedModel(wrapped, plain, tokenizer, soft_prompt, causal, pad_id, name)


def move(model: LoadedModel, device: str) -> None:
    """Put a model's weights on `cuda` or `cpu`."""
    module: nn.Module = model.wrapped  # transformers' own `to` has a type that cannot be called
    module.to(device)


def embedded(model: LoadedModel, ids: Tensor, mask: Tensor) -> dict[str, Tensor]:
    """Return what the encoder, or a causal model's decoder, is called with to read these tokens.

    A soft prompt stands at the head of every row, before any padding there.

    Args:
        ids: (B, S)
        mask: (B, S), 1 where there is a token

    Returns:
        input_ids and attention_mask; with a soft prompt of P vectors inputs_embeds (B, P + S, D) and the mask (B, P + S).
    """
    if model.soft_prompt is None:
        return {"input_ids": ids, "attention_mask": mask}
    words = model.plain.get_input_embeddings()(ids)  # (B, S, D)
    learnt = model.soft_prompt.vectors(len(ids)).to(words.dtype)  # (B, P, D)
    return {
        "inputs_embeds": torch.cat([learnt, words], dim=1),
        "attention_mask": torch.cat([mask.new_ones(len(mask), model.soft_prompt.length), mask], dim=1),
    }


def pad(arrays: Sequence[np.ndarray], value: int) -> Tensor:
    """Stack arrays of different length into one (B, longest) tensor, filled at the right."""
    out = np.full((len(arrays), max(len(array) for array in arrays)), value, dtype=np.int64)
    for row, array in zip(out, arrays, strict=True):
        row[: len(array)] = array
    return torch.from_numpy(out)


def filled(arrays: Sequence[np.ndarray]) -> Tensor:
    """The attention mask of `pad`: 1 where an array has a value, 0 behind its end."""
    lengths = torch.tensor([len(array) for array in arrays])
    return (torch.arange(int(lengths.max()))[None, :] < lengths[:, None]).long()

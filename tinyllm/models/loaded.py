"""What is read of a loaded model beneath peft's wrapper, and how token ids are padded for it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedModel

IGNORED = -100  # label of a padded position


def plain(model: Any) -> PreTrainedModel:
    """Return the model beneath peft's wrapper; computing with it computes with LoRA's adapters, which lie in its layers.

    A soft prompt is not in it: see `embedded`.
    """
    return model if isinstance(model, PreTrainedModel) else model.get_base_model()


def embedded(model: Any, ids: Tensor, mask: Tensor) -> dict[str, Tensor]:
    """Return what the encoder, or a causal student's decoder, of `plain(model)` is called with to read these tokens.

    A soft prompt stands at the head of every row, before any padding there.

    Args:
        ids: (B, S)
        mask: (B, S), 1 where there is a token

    Returns:
        input_ids and attention_mask; with a soft prompt of P vectors inputs_embeds (B, P + S, D) and the mask (B, P + S).
    """
    tokens = soft_tokens(model)
    if not tokens:
        return {"input_ids": ids, "attention_mask": mask}
    words = plain(model).get_input_embeddings()(ids)  # (B, S, D)
    learnt = model.get_prompt(batch_size=len(ids)).to(words.dtype)  # (B, P, D)
    return {
        "inputs_embeds": torch.cat([learnt, words], dim=1),
        "attention_mask": torch.cat([mask.new_ones(len(mask), tokens), mask], dim=1),
    }


def soft_tokens(model: Any) -> int:
    """The number of vectors learnt before every input, 0 without a soft prompt."""
    if isinstance(model, PreTrainedModel) or not model.active_peft_config.is_prompt_learning:
        return 0
    return int(model.active_peft_config.num_virtual_tokens)


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

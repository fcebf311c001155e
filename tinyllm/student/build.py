"""The student: untrained as the params ask for, left in a folder once it is trained, and loaded from there."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    T5Config,
    T5ForConditionalGeneration,
)

from tinyllm.models.checkpoint import load_checkpoint
from tinyllm.params.schema import Scratch, Student
from tinyllm.student.folder import errors_name
from tinyllm.student.tuning import tune
from tinyllm.student.vocabulary import train_tokenizer


def new_student(student: Student, dropout: float, texts: Sequence[str], folder: Path) -> tuple[Any, Any]:
    """Return an untrained (model, tokenizer) as the params ask for; seed torch first.

    Args:
        texts: what a scratch student's vocabulary is learnt from
        folder: an empty folder for the vocabulary's file

    Raises:
        ValueError: the checkpoint cannot be loaded, or lacks what the params ask of it; the message says which.
    """
    if student.origin == "scratch":
        assert student.scratch is not None  # params.py refuses a scratch student without sizes
        with errors_name(folder):
            tokenizer = train_tokenizer(texts, student.scratch.vocabulary, folder)
        model: Any = scratch_model(student.scratch, len(tokenizer), dropout)
    else:
        model, tokenizer = load_checkpoint(student, dropout)
    kind, causal = model.config.model_type, not model.config.is_encoder_decoder
    if student.chat and not causal:
        raise ValueError(f"student.chat: true, but a {kind} is no causal model; set it to false")
    if student.chat and not tokenizer.chat_template:
        raise ValueError(
            f"student.chat: true, but the tokenizer of {student.model} has no chat template; set it to false"
        )
    return tune(model, student), tokenizer


def scratch_model(sizes: Scratch, vocabulary: int, dropout: float) -> T5ForConditionalGeneration | LlamaForCausalLM:
    """Return a randomly initialised T5 or Llama; seed torch first.

    T5's own embeddings start with a standard deviation of 1. A rare word is seen a few dozen times, and each step moves it by
    about the learning rate, so that it hardly leaves where it started; from smaller embeddings a small student learns more.
    """
    if sizes.architecture == "seq2seq":
        model: Any = _t5(sizes, vocabulary, dropout)
        first = 1.0
    else:
        model = _llama(sizes, vocabulary, dropout)
        first = model.config.initializer_range
    with torch.no_grad():
        model.get_input_embeddings().weight.mul_(sizes.embedding_scale / first)
    return model


def _t5(sizes: Scratch, vocabulary: int, dropout: float) -> T5ForConditionalGeneration:
    config = T5Config(
        vocab_size=vocabulary,
        d_model=sizes.width,
        d_kv=sizes.width // sizes.heads,
        d_ff=sizes.feed_forward,
        num_layers=sizes.layers,
        num_heads=sizes.heads,
        dropout_rate=dropout,
        pad_token_id=0,
        eos_token_id=1,
    )
    config.decoder_start_token_id = 0
    return T5ForConditionalGeneration(config)


def _llama(sizes: Scratch, vocabulary: int, dropout: float) -> LlamaForCausalLM:
    config = LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=sizes.width,
        intermediate_size=sizes.feed_forward,
        num_hidden_layers=sizes.layers,
        num_attention_heads=sizes.heads,
        attention_dropout=dropout,  # the only one that a Llama has
        tie_word_embeddings=True,
        pad_token_id=0,
        bos_token_id=None,
        eos_token_id=1,
    )
    return LlamaForCausalLM(config)

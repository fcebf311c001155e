"""The student: untrained as the params ask for, from random weights or from a checkpoint."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM, PretrainedConfig, T5Config, T5ForConditionalGeneration

from tinyllm.models.checkpoint import errors_start, load_weights, needs_code, open_checkpoint
from tinyllm.models.finite import broken_weights
from tinyllm.models.loaded import LoadedModel, loaded_model
from tinyllm.models.source import student_source
from tinyllm.params.schema import Scratch, Student
from tinyllm.student.folder import errors_name
from tinyllm.student.tuning import tune
from tinyllm.student.vocabulary import train_tokenizer

DROPOUTS = (  # T5 has one for all places, BART and Falcon one for each, Llama one at all, GPT-2 names its own
    *("dropout_rate", "dropout", "activation_dropout", "hidden_dropout", "attention_dropout"),
    *("resid_pdrop", "embd_pdrop", "attn_pdrop"),
)


def new_student(student: Student, dropout: float, texts: Sequence[str], folder: Path) -> LoadedModel:
    """Return an untrained student as the params ask for; seed torch first.

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
        untuned = loaded_model(scratch_model(student.scratch, len(tokenizer), dropout), tokenizer)
    else:
        untuned = load_checkpoint(student, dropout)
    if student.chat and not untuned.causal:
        kind = untuned.plain.config.model_type
        raise ValueError(f"student.chat: true, but a {kind} is no causal model; set it to false")
    if student.chat and not untuned.tokenizer.chat_template:
        raise ValueError(
            f"student.chat: true, but the tokenizer of {student.model} has no chat template; set it to false"
        )
    return loaded_model(tune(untuned.plain, student), untuned.tokenizer)


def load_checkpoint(student: Student, dropout: float) -> LoadedModel:
    """Load the checkpoint that a student starts from, in float32.

    Raises:
        ValueError: there is no such checkpoint, or it cannot be a student; one line.
    """
    name = student.model
    source = student_source(student)
    checkpoint = open_checkpoint(source)
    if checkpoint.tokenizer.eos_token_id is None:
        raise ValueError(f"student.model: the tokenizer of {name} has no token that ends a text; use another model")
    with errors_start(source):
        _set_dropout(checkpoint.config, dropout)
    model = load_weights(checkpoint, torch.float32)
    if broken := broken_weights(model):
        raise ValueError(f"student.model: {name} is damaged ({broken}); use another copy")
    if needs_code(model, model.config, checkpoint.tokenizer):  # now, and not once a night's training cannot be loaded
        raise ValueError(
            f"student.model: {name} needs code of its own, and a trained student's folder never runs any; "
            "use a model that transformers knows"
        )
    return loaded_model(model, checkpoint.tokenizer)


def _set_dropout(config: PretrainedConfig, dropout: float) -> None:
    known = [name for name in DROPOUTS if hasattr(config, name)]
    for name in known:
        setattr(config, name, dropout)
    if dropout and not known:
        raise ValueError(f"train.dropout is {dropout}, but a {config.model_type} has none; set it to 0.0")


def scratch_model(sizes: Scratch, vocabulary: int, dropout: float) -> T5ForConditionalGeneration | LlamaForCausalLM:
    """Return a randomly initialised T5 or Llama; seed torch first.

    T5's own embeddings start with a standard deviation of 1. A rare word is seen a few dozen times, and each step moves it by
    about the learning rate, so that it hardly leaves where it started; from smaller embeddings a small student learns more.
    """
    if sizes.architecture == "seq2seq":
        model: T5ForConditionalGeneration | LlamaForCausalLM = _t5(sizes, vocabulary, dropout)
        first = 1.0
    else:
        model = _llama(sizes, vocabulary, dropout)
        first = model.config.initializer_range
    with torch.no_grad():
        embeddings = model.get_input_embeddings().weight
        assert isinstance(embeddings, Tensor)
        embeddings.mul_(sizes.embedding_scale / first)
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

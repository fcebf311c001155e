"""The student: untrained as the params ask for, left in a folder once it is trained, and loaded from there."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from transformers import (
    AutoConfig,
    AutoTokenizer,
    GenerationConfig,
    LlamaConfig,
    LlamaForCausalLM,
    T5Config,
    T5ForConditionalGeneration,
)
from transformers.utils import logging

from tinyllm.adapters import ADAPTER, is_adapter, load_base, merge, read_adapter, write_adapter
from tinyllm.pretrained import is_empty, load_checkpoint, load_model, set_padding
from tinyllm.settings import Runtime, Scratch, Student
from tinyllm.tuning import plain, tune
from tinyllm.vocabulary import train_tokenizer


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
        with naming(folder):
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


def save_student(model: Any, tokenizer: Any, folder: Path, max_new_tokens: int) -> None:
    """Write a Hugging Face folder: safetensors, configuration, tokenizer, greedy generation.

    Of a student whose adapter names the model it belongs to, that is peft's folder of the adapter alone. Other adapters are
    merged into the model's weights, for good. It takes the place of `folder` once it is whole; until then an old one stays.

    Raises:
        ValueError: it cannot be written, such as on a full disk.
    """
    partial = folder.with_name(f"{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        with naming(folder):
            if is_adapter(model):
                write_adapter(model, partial)
            else:
                whole = merge(model)
                whole.generation_config = _generation(whole.config, tokenizer, max_new_tokens)
                whole.save_pretrained(partial)
            tokenizer.save_pretrained(partial)
    except BaseException:
        shutil.rmtree(partial)
        raise
    shutil.rmtree(folder, ignore_errors=True)
    partial.rename(folder)


def _generation(config: Any, tokenizer: Any, max_new_tokens: int) -> GenerationConfig:
    seq2seq = config.is_encoder_decoder
    return GenerationConfig(
        decoder_start_token_id=config.decoder_start_token_id if seq2seq else None,
        eos_token_id=config.eos_token_id if seq2seq else tokenizer.eos_token_id,  # what its targets ended with
        pad_token_id=config.pad_token_id,
        max_new_tokens=max_new_tokens,
        do_sample=False,
    )


def load_student(folder: Path) -> tuple[Any, Any]:
    """Load a trained student from its folder; where that holds an adapter alone, with the model it belongs to.

    Raises:
        ValueError: the folder holds no student, or a damaged one; or an adapter's model cannot be loaded.
    """
    adapter = (folder / "adapter_config.json").is_file()
    weights = ADAPTER if adapter else "model.safetensors"
    if not (folder / weights).is_file() and not (folder / "model.safetensors.index.json").is_file():
        raise ValueError(f"{folder}: holds no trained student (no {weights}); run dvc repro train")
    base = load_base(folder) if adapter else None
    try:
        model = (
            load_model(str(folder), AutoConfig.from_pretrained(folder)) if base is None else read_adapter(base, folder)
        )
        tokenizer = AutoTokenizer.from_pretrained(folder)
    except (OSError, ValueError, RuntimeError, LookupError, TypeError, SafetensorError) as error:
        reason = " ".join(str(error).split())[:300]
        raise ValueError(f"{folder}: damaged ({reason}); delete it and run dvc repro train") from None
    if is_empty(tokenizer):
        raise ValueError(f"{folder}: damaged (no vocabulary); delete it and run dvc repro train")
    set_padding(plain(model), tokenizer)
    return model, tokenizer


@contextmanager
def naming(folder: Path) -> Iterator[None]:
    """Turn what is raised where a file cannot be written into one sentence that says where.

    Raises:
        ValueError: on a full disk safetensors raises its own class, torch a RuntimeError, Python an OSError.
    """
    try:
        yield
    except (OSError, RuntimeError, SafetensorError) as error:
        raise ValueError(f"{folder}: cannot be written ({error}); free space and run again") from None


def device(runtime: Runtime) -> str:
    """Return `cuda` or `cpu`.

    Raises:
        ValueError: cuda is asked for and there is none.
    """
    if runtime.device == "cuda" and not torch.cuda.is_available():
        raise ValueError("runtime.device: cuda, but torch sees no GPU; use auto or cpu")
    return "cuda" if runtime.device != "cpu" and torch.cuda.is_available() else "cpu"


def prepare_torch(threads: int) -> None:
    """Fix the number of CPU threads, which results depend on in their last digits, and silence the library.

    Silenced are its own bars and its note on tied weights, which it tells as missing and then ties.
    """
    torch.set_num_threads(threads)
    logging.set_verbosity_error()
    logging.disable_progress_bar()

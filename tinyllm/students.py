"""The student: a new T5 of given sizes, or a sequence-to-sequence checkpoint from the hub or a folder."""

from __future__ import annotations

import io
import re
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sentencepiece
import torch
from safetensors import SafetensorError
from transformers import (
    AutoConfig,
    AutoModelForSeq2SeqLM,
    AutoTokenizer,
    GenerationConfig,
    T5Config,
    T5ForConditionalGeneration,
    T5Tokenizer,
)
from transformers.utils import logging

from tinyllm.settings import Runtime, Scratch, Student

LONGEST_PIECE = 16  # characters, SentencePiece's own limit
MOST_SEEDS = 1_000_000  # likewise


def new_student(student: Student, dropout: float, texts: Sequence[str], folder: Path) -> tuple[Any, Any]:
    """Return an untrained (model, tokenizer) as the params ask for.

    Args:
        texts: what a scratch student's vocabulary is learnt from
        folder: an empty folder for the vocabulary's file

    Raises:
        ValueError: the checkpoint cannot be loaded or is no sequence-to-sequence model; the message says which.
    """
    if student.origin == "scratch":
        assert student.scratch is not None  # params.py refuses a scratch student without sizes
        tokenizer = train_tokenizer(texts, student.scratch.vocabulary, folder)
        return scratch_model(student.scratch, len(tokenizer), dropout), tokenizer
    return load_checkpoint(student, dropout)


def train_tokenizer(texts: Sequence[str], vocabulary: int, folder: Path) -> Any:
    """Learn a SentencePiece unigram vocabulary of at most `vocabulary` pieces and return it as a T5 tokenizer.

    Args:
        folder: an empty folder; the vocabulary's file is left in it
    """
    lines = [line for text in texts for line in text.split("\n") if line.strip()]
    seeds, model = folder / "seeds.tsv", folder / "spiece.model"
    with naming(folder):
        seeds.write_text(seed_pieces(lines), encoding="utf-8")
    trained = io.BytesIO()
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(lines),
            model_writer=trained,
            seed_sentencepieces_file=str(seeds),
            vocab_size=vocabulary,
            hard_vocab_limit=False,  # a small corpus may hold fewer pieces than were asked for
            character_coverage=1.0,
            max_sentence_length=10**9,  # bytes; a longer line would be left out without a word
            pad_id=0,
            eos_id=1,
            unk_id=2,
            bos_id=-1,
            num_threads=1,  # the pieces' scores depend on the order of additions
            minloglevel=2,
        )
    except RuntimeError as error:
        raise ValueError(f"student.scratch.vocabulary: {vocabulary} does not fit the train texts: {error}") from None
    with naming(folder):
        model.write_bytes(trained.getvalue())
    return T5Tokenizer.from_pretrained(folder, extra_ids=0)


def seed_pieces(lines: Sequence[str]) -> str:
    """Return every part of every word with its count, one a line, for the trainer to choose from.

    The trainer's own candidates leave out a word that is part of no other word, so that in a small corpus most whole words
    would be missing, and inputs half as long again.
    """
    words = Counter(word for line in lines for word in re.findall(r"\w+|[^\w\s]", line))
    parts: Counter[str] = Counter()
    for word, count in words.items():
        piece = f"▁{word}"[:LONGEST_PIECE]
        for start in range(len(piece)):
            for end in range(start + 1, len(piece) + 1):
                parts[piece[start:end]] += count
    return "".join(f"{part}\t{count}\n" for part, count in parts.most_common(MOST_SEEDS))


def scratch_model(sizes: Scratch, vocabulary: int, dropout: float) -> T5ForConditionalGeneration:
    """Return a randomly initialised T5; seed torch first.

    T5's own embeddings start with a standard deviation of 1. A rare word is seen a few dozen times, and each step moves it by
    about the learning rate, so that it hardly leaves where it started; from smaller embeddings a small student learns more.
    """
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
    model = T5ForConditionalGeneration(config)
    with torch.no_grad():
        model.shared.weight.mul_(sizes.embedding_scale)
    return model


def load_checkpoint(student: Student, dropout: float) -> tuple[Any, Any]:
    """Load a sequence-to-sequence model and its tokenizer from the hub or a folder, in float32."""
    name = student.model
    assert name is not None  # params.py refuses a checkpoint without a name
    if student.origin == "local" and not (Path(name) / "config.json").is_file():
        raise ValueError(f"student.model: {name} is no checkpoint folder (it has no config.json)")
    options: dict[str, Any] = {"trust_remote_code": student.trust_remote_code}
    if student.revision:
        options["revision"] = student.revision
    try:
        config = AutoConfig.from_pretrained(name, **options)
        if not config.is_encoder_decoder:
            raise ValueError(f"{config.model_type} is no sequence-to-sequence model; use a T5, FLAN-T5 or BART")
        if hasattr(config, "dropout_rate"):  # T5 names it so, BART `dropout`
            config.dropout_rate = dropout
        else:
            config.dropout = dropout
        tokenizer = AutoTokenizer.from_pretrained(name, **options)
        model = AutoModelForSeq2SeqLM.from_pretrained(
            name, config=config, dtype=torch.float32, use_safetensors=True, **options
        )
    except (OSError, ValueError, SafetensorError) as error:
        reason = " ".join(str(error).split())[:300]
        raise ValueError(f"student.model: cannot load {name}: {reason}") from None
    if _is_empty(tokenizer):
        raise ValueError(
            f"student.model: the tokenizer of {name} has {len(tokenizer)} pieces; its vocabulary is missing"
        )
    return model, tokenizer


def _is_empty(tokenizer: Any) -> bool:
    """Whether it knows no word: one whose file is missing is built, without a sound, of special pieces and `▁`."""
    return len(tokenizer) - len(tokenizer.all_special_ids) < 2


def save_student(model: Any, tokenizer: Any, folder: Path, max_new_tokens: int) -> None:
    """Write a plain Hugging Face folder: safetensors, configuration, tokenizer, greedy generation.

    It takes the place of `folder` once it is whole; until then an old one stays.

    Raises:
        ValueError: it cannot be written, such as on a full disk.
    """
    partial = folder.with_name(f"{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    model.generation_config = GenerationConfig(
        decoder_start_token_id=model.config.decoder_start_token_id,
        eos_token_id=model.config.eos_token_id,
        pad_token_id=model.config.pad_token_id,
        max_new_tokens=max_new_tokens,
        do_sample=False,
    )
    try:
        with naming(folder):
            model.save_pretrained(partial)
            tokenizer.save_pretrained(partial)
    except BaseException:
        shutil.rmtree(partial)
        raise
    shutil.rmtree(folder, ignore_errors=True)
    partial.rename(folder)


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


def load_student(folder: Path) -> tuple[Any, Any]:
    """Load a trained student from its folder.

    Raises:
        ValueError: the folder holds no checkpoint, or a damaged one.
    """
    if not (folder / "model.safetensors").is_file() and not (folder / "model.safetensors.index.json").is_file():
        raise ValueError(f"{folder}: holds no trained student (no model.safetensors); run dvc repro train")
    try:
        model = AutoModelForSeq2SeqLM.from_pretrained(folder, dtype=torch.float32)
        tokenizer = AutoTokenizer.from_pretrained(folder)
    except (OSError, ValueError, SafetensorError) as error:
        reason = " ".join(str(error).split())[:300]
        raise ValueError(f"{folder}: damaged ({reason}); delete it and run dvc repro train") from None
    if _is_empty(tokenizer):
        raise ValueError(f"{folder}: damaged (no vocabulary); delete it and run dvc repro train")
    return model, tokenizer


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

"""A local teacher's checkpoint: what identifies it, its window, and its weights as they are asked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from hashlib import file_digest, sha256
from pathlib import Path

import torch
from transformers import GenerationConfig, PretrainedConfig

from tinyllm.models.checkpoint import Checkpoint, errors_start, load_weights, open_checkpoint
from tinyllm.models.device import silence_library
from tinyllm.models.loaded import LoadedModel, loaded_model
from tinyllm.models.source import Source, hub_commit, teacher_source
from tinyllm.params.teacher_entries import LocalTeacher

DESCRIBING = ("*.json", "*.jinja", "*.model", "*.tiktoken", "merges.txt", "vocab.txt")  # configuration and tokenizer


@dataclass(frozen=True)
class TeacherCheckpoint:
    """A checkpoint that is opened, and what tells it from every other."""

    opened: Checkpoint
    identity: Mapping[str, str | None]


def open_teacher_checkpoint(settings: LocalTeacher) -> TeacherCheckpoint:
    """Open configuration and tokenizer, and identify the whole.

    A hub model is identified by its id and commit. A folder is, wherever it lies, by the contents of its files: other
    weights under the same path are another teacher.

    Raises:
        ValueError: there is no such checkpoint, or it cannot be used; one line.
    """
    silence_library()
    source = teacher_source(settings)
    with errors_start(source):
        if source.folder is None:  # all from the same commit, whatever is pushed meanwhile
            source = replace(source, revision=hub_commit(replace(source, revision=settings.revision)))
    opened = open_checkpoint(source)
    with errors_start(source):
        identity = _identity(source)
    if settings.chat and not opened.tokenizer.chat_template:
        raise ValueError(
            f"local: chat is true, but the tokenizer of {settings.model} has no chat template; set it to false"
        )
    return TeacherCheckpoint(opened, identity)


def folder_contents(settings: LocalTeacher) -> str:
    """Return what identifies a teacher in a folder, without opening it; 1 GB takes a second or two."""
    folder = teacher_source(settings).folder
    assert folder is not None
    return _contents(
        Source("local", settings.model, folder, settings.gguf_file, None, settings.trust_remote_code), folder
    )


def load_teacher(checkpoint: Checkpoint, device: str, precision: str) -> LoadedModel:
    """Return the model, ready to generate greedily.

    Of the checkpoint's own settings for generation only those stay that say where an answer starts and ends.

    Raises:
        ValueError: weights are missing or damaged; they would be random.
    """
    model = load_weights(checkpoint, torch.bfloat16 if precision == "bf16" else torch.float32, device)
    saved = model.generation_config
    model.generation_config = GenerationConfig(
        do_sample=False,
        num_beams=1,
        use_cache=True,
        bos_token_id=saved.bos_token_id,
        decoder_start_token_id=saved.decoder_start_token_id,
        forced_bos_token_id=saved.forced_bos_token_id,
        eos_token_id=sorted(_ends(saved.eos_token_id, model.config.eos_token_id, checkpoint.tokenizer.eos_token_id)),
        pad_token_id=0,  # always masked
    )
    return loaded_model(model, checkpoint.tokenizer)


def context_tokens(model: str, config: PretrainedConfig, max_new_tokens: int) -> int | None:
    """Return how many tokens prompt and answer may have together, or None where the configuration sets no limit.

    T5's positions are relative and set none. Where prompt and answer have a window each (BART), it is the prompt's window
    and the longest answer together.

    Args:
        model: as the params name it

    Raises:
        ValueError: the answer alone would fill the window.
    """
    window = getattr(config.get_text_config(), "max_position_embeddings", None)  # not every architecture has it
    if window is None:
        return None
    if max_new_tokens >= window:
        raise ValueError(f"local: max_new_tokens is {max_new_tokens}, but {model} holds {window} tokens; set fewer")
    return window + max_new_tokens if config.is_encoder_decoder else window


def _identity(source: Source) -> dict[str, str | None]:
    if source.folder:
        return {"model": _contents(source, source.folder), "gguf_file": source.gguf_file}
    return {"model": source.name, "commit": source.revision, "gguf_file": source.gguf_file}


def _contents(source: Source, folder: Path) -> str:
    """Return one hash over the names and contents of all files that shape an answer; 1 GB takes a second or two."""
    weights = [folder / source.gguf_file] if source.gguf_file else folder.glob("*.safetensors")
    patterns = [*DESCRIBING, *(["*.py"] if source.trust_remote_code else [])]
    whole = sha256()
    for path in sorted({*weights, *(path for pattern in patterns for path in folder.glob(pattern))}):
        with open(path, "rb") as file:
            whole.update(f"{path.name}\0{file_digest(file, 'sha256').hexdigest()}\n".encode())
    return f"sha256:{whole.hexdigest()}"


def _ends(*tokens: int | list[int] | None) -> set[int]:
    """Return all end-of-sequence tokens that generation settings, configuration and tokenizer name, each or a list."""
    return {token for ids in tokens if ids is not None for token in (ids if isinstance(ids, list) else [ids])}

"""A transformers checkpoint for a local teacher: where it lies, what identifies it, its tokenizer and its weights.

It lies on the hub, in a folder, or in a .gguf file in either. torch and transformers are imported where they are used, so
that the stages which prepare data start without them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import file_digest, sha256
from pathlib import Path
from typing import Any, NamedTuple

from tinyllm.console import bars_on_terminals_alone, in_short
from tinyllm.params.schema import LocalTeacher

DESCRIBING = ("*.json", "*.jinja", "*.model", "*.tiktoken", "merges.txt", "vocab.txt")  # configuration and tokenizer


class Checkpoint(NamedTuple):
    """All of a checkpoint but its weights."""

    model: str  # as the params name it
    source: str  # what transformers is to load: a hub id, or the absolute path of a folder
    options: dict[str, Any]
    config: Any
    tokenizer: Any
    identity: dict[str, Any]


def open_checkpoint(settings: LocalTeacher) -> Checkpoint:
    """Open configuration and tokenizer, and identify the whole.

    A hub model is identified by its id and commit. A folder is, wherever it lies, by the contents of its files: other
    weights under the same path are another teacher.

    Raises:
        ValueError: there is no such checkpoint, or it cannot be used; one line.
    """
    from transformers import AutoConfig, AutoTokenizer
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    folder = _folder(settings)
    source = str(folder) if folder else settings.model
    options: dict[str, Any] = {"trust_remote_code": settings.trust_remote_code}
    if settings.gguf_file:  # absolute, or a file of that name in the working directory would come first
        options["gguf_file"] = str(folder / settings.gguf_file) if folder else settings.gguf_file
    with _naming(settings.model):
        if folder:
            identity = {"model": _contents(settings, folder)}
        else:
            options["revision"] = _commit(settings)  # all from the same commit, whatever is pushed meanwhile
            identity = {"model": settings.model, "commit": options["revision"]}
        config = AutoConfig.from_pretrained(source, **options)
        tokenizer = AutoTokenizer.from_pretrained(source, **options)
    if (
        len(tokenizer) - len(tokenizer.all_special_ids) < 2
    ):  # built without a sound where its vocabulary's file is missing
        raise ValueError(f"local: the tokenizer of {settings.model} knows no word; its vocabulary is missing")
    if settings.chat and not tokenizer.chat_template:
        raise ValueError(
            f"local: chat is true, but the tokenizer of {settings.model} has no chat template; set it to false"
        )
    return Checkpoint(settings.model, source, options, config, tokenizer, {**identity, "gguf_file": settings.gguf_file})


def load_weights(checkpoint: Checkpoint, device: str, precision: str) -> Any:
    """Return the model, ready to generate greedily.

    Of the checkpoint's own settings for generation only those stay that say where an answer starts and ends.

    Raises:
        ValueError: weights are missing or damaged; they would be random.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM, GenerationConfig

    loader: Any = AutoModelForSeq2SeqLM if checkpoint.config.is_encoder_decoder else AutoModelForCausalLM
    if "gguf_file" in checkpoint.options:
        from transformers import GgufConfig

        # Unpacked, since the kernels for packed weights are code that would be fetched from the hub.
        kind: dict[str, Any] = {"quantization_config": GgufConfig(dequantize=True)}
    else:
        kind = {"use_safetensors": True}
    with _naming(checkpoint.model), bars_on_terminals_alone():
        model, report = loader.from_pretrained(
            checkpoint.source,
            dtype=torch.bfloat16 if precision == "bf16" else torch.float32,
            device_map=device,
            output_loading_info=True,
            **kind,
            **checkpoint.options,
        )
    if missing := sorted(report["missing_keys"]):
        raise ValueError(
            f"local: {checkpoint.model} lacks {len(missing)} of its weights ({', '.join(missing[:3])}); "
            "they would be random: use a whole checkpoint"
        )
    own = model.generation_config
    model.generation_config = GenerationConfig(
        do_sample=False,
        num_beams=1,
        use_cache=True,
        bos_token_id=own.bos_token_id,
        decoder_start_token_id=own.decoder_start_token_id,
        forced_bos_token_id=own.forced_bos_token_id,
        eos_token_id=sorted(_ends(own.eos_token_id, model.config.eos_token_id, checkpoint.tokenizer.eos_token_id)),
        pad_token_id=0,  # always masked
    )
    return model


def context_tokens(checkpoint: Checkpoint, max_new_tokens: int) -> int | None:
    """Return how many tokens prompt and answer may have together, or None where the configuration sets no limit.

    T5's positions are relative and set none. Where prompt and answer have a window each (BART), it is the prompt's window
    and the longest answer together.

    Raises:
        ValueError: the answer alone would fill the window.
    """
    config = checkpoint.config.get_text_config()
    window = getattr(config, "max_position_embeddings", None)  # not every architecture has it
    if window is None:
        return None
    if max_new_tokens >= window:
        raise ValueError(
            f"local: max_new_tokens is {max_new_tokens}, but {checkpoint.model} holds {window} tokens; set fewer"
        )
    return window + max_new_tokens if checkpoint.config.is_encoder_decoder else window


def _folder(settings: LocalTeacher) -> Path | None:
    """Return the checkpoint's folder after a look at what lies in it; None for a hub id."""
    folder = Path(settings.model).expanduser().resolve()
    if not folder.is_dir():
        if settings.model.count("/") > 1 or settings.model.startswith((".", "~", "/")):
            raise ValueError(f"local: model {settings.model} is no folder; name one with a checkpoint, or a hub id")
        return None
    if settings.revision:
        raise ValueError(f"local: revision {settings.revision}, but {settings.model} is a folder; leave revision empty")
    if settings.gguf_file:
        if not (folder / settings.gguf_file).is_file():
            found = ", ".join(sorted(path.name for path in folder.glob("*.gguf"))) or "none"
            raise ValueError(f"local: {settings.model} holds no {settings.gguf_file}; .gguf files there: {found}")
    elif not (folder / "config.json").is_file():
        raise ValueError(f"local: {settings.model} is no checkpoint (it has no config.json); a .gguf needs gguf_file")
    elif not any(folder.glob("*.safetensors")):
        raise ValueError(f"local: {settings.model} holds no weights (*.safetensors); other formats are not read")
    return folder


def _commit(settings: LocalTeacher) -> str:
    """Return the commit of a hub model that its revision names, or else its newest, as the download cache files it."""
    from huggingface_hub import hf_hub_download

    path = hf_hub_download(settings.model, settings.gguf_file or "config.json", revision=settings.revision)
    return Path(path).as_posix().partition("/snapshots/")[2].partition("/")[0]


def _contents(settings: LocalTeacher, folder: Path) -> str:
    """Return one hash over the names and contents of all files that shape an answer; 1 GB takes a second or two."""
    weights = [folder / settings.gguf_file] if settings.gguf_file else folder.glob("*.safetensors")
    patterns = [*DESCRIBING, *(["*.py"] if settings.trust_remote_code else [])]
    whole = sha256()
    for path in sorted({*weights, *(path for pattern in patterns for path in folder.glob(pattern))}):
        with open(path, "rb") as file:
            whole.update(f"{path.name}\0{file_digest(file, 'sha256').hexdigest()}\n".encode())
    return f"sha256:{whole.hexdigest()}"


def _ends(*found: int | list[int] | None) -> set[int]:
    """Return all end-of-sequence tokens that generation settings, configuration and tokenizer name, each or a list."""
    return {token for ids in found if ids is not None for token in (ids if isinstance(ids, list) else [ids])}


@contextmanager
def _naming(model: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # a dozen unrelated classes, all of them about the checkpoint that the params name
        reason = in_short(error)
        raise ValueError(f"local: cannot load {model}: {reason}") from error

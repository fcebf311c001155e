"""Where a checkpoint lies, and whether its files are there; nothing of it is loaded, so that no torch is needed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tinyllm.params.schema import Student
from tinyllm.params.teacher_entries import LocalTeacher
from tinyllm.project import home_path


@dataclass(frozen=True)
class Source:
    """Where a checkpoint lies, as the params say."""

    key: str  # of the params, which every error starts with
    name: str  # a hub id or a folder
    folder: Path | None  # None on the hub
    gguf_file: str | None
    revision: str | None  # of a hub model
    trust_remote_code: bool = False  # runs the code that comes with it

    @property
    def options(self) -> dict[str, Any]:
        """What transformers is to be called with, beside the name or folder."""
        options: dict[str, Any] = {"revision": self.revision} if self.revision else {}
        if self.gguf_file:  # absolute, or a file of that name in the working directory would come first
            options["gguf_file"] = str(self.folder.resolve() / self.gguf_file) if self.folder else self.gguf_file
        return options


def student_source(student: Student) -> Source:
    """Return where the checkpoint lies that a student starts from."""
    assert student.model is not None  # params refuse a checkpoint without a name
    folder = Path(student.model) if student.origin == "local" else None
    return Source(
        "student.model", student.model, folder, student.gguf_file, student.revision, student.trust_remote_code
    )


def teacher_source(settings: LocalTeacher) -> Source:
    """Return where a local teacher's checkpoint lies; the revision of a hub model is not settled yet.

    Raises:
        ValueError: the model is named as a folder is, and there is none, or a revision is asked of a folder.
    """
    return Source(
        "local", settings.model, _teacher_folder(settings), settings.gguf_file, None, settings.trust_remote_code
    )


def hub_commit(source: Source) -> str:
    """Return the commit of a hub model that its revision names, or else its newest, as the download cache files it.

    Where the hub cannot be reached, that is the newest one in the cache.

    Raises:
        Errors of `huggingface_hub`: there is no such model or revision, or neither the hub nor the cache has it.
    """
    from huggingface_hub import hf_hub_download

    path = hf_hub_download(source.name, source.gguf_file or "config.json", revision=source.revision)
    return Path(path).as_posix().partition("/snapshots/")[2].partition("/")[0]


def check_folder(source: Source, folder: Path) -> None:
    """Refuse what is no whole checkpoint by its files; they are not opened.

    Raises:
        ValueError: one line that starts with the params' key.
    """
    if (folder / "adapter_config.json").is_file():
        raise ValueError(f"{source.key}: {source.name} holds an adapter; name the whole model that it belongs to")
    if source.gguf_file and not (folder / source.gguf_file).is_file():
        there = ", ".join(sorted(path.name for path in folder.glob("*.gguf"))) or "none"
        raise ValueError(f"{source.key}: {source.name} holds no {source.gguf_file}; .gguf files there: {there}")
    if not source.gguf_file and not (folder / "config.json").is_file():
        raise ValueError(
            f"{source.key}: {source.name} is no checkpoint folder (it has no config.json); a .gguf needs gguf_file"
        )


def check_weights(source: Source) -> None:
    """Refuse a folder without weights.

    Raises:
        ValueError: one line that starts with the params' key.
    """
    if source.folder and not source.gguf_file and not any(source.folder.glob("*.safetensors")):
        told = "it holds no weights (*.safetensors); other formats are not read"
        raise ValueError(f"{source.key}: cannot load {source.name}: {told}")


def _teacher_folder(settings: LocalTeacher) -> Path | None:
    """Return the checkpoint's folder, None for a hub id."""
    folder = home_path(settings.model, "local: model").resolve()
    if not folder.is_dir():
        if settings.model.count("/") > 1 or settings.model.startswith((".", "~", "/")):
            raise ValueError(f"local: model {settings.model} is no folder; name one with a checkpoint, or a hub id")
        return None
    if settings.revision:
        raise ValueError(f"local: revision {settings.revision}, but {settings.model} is a folder; leave revision empty")
    return folder

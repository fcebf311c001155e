"""Which teacher of params.yaml a cached identity is: so that a list can show the names that the user gave."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from tinyllm.params.schema import Params
from tinyllm.params.teacher_entries import LocalTeacher, ServerTeacher
from tinyllm.project import home_path
from tinyllm.teachers.open import open_backends

Identity = Mapping[str, object]


def registry_names(params: Params, identities: Mapping[str, Identity]) -> dict[str, list[str]]:
    """Return the names of the teachers that each identity is one of, by its key; what asks for options counts as well.

    Nothing is loaded: a local teacher is told by its params, and one in a folder by the contents of its files.

    Args:
        identities: by any key
    """
    names: dict[str, list[str]] = {key: [] for key in identities}
    for name, settings in params.teachers.items():
        if isinstance(settings, ServerTeacher):
            own = _server_identities(name, settings, params)
            matching: Iterable[str] = [key for key, identity in identities.items() if identity in own]
        elif isinstance(settings, LocalTeacher):
            matching = [key for key, identity in identities.items() if _is_local(identity, settings)]
        else:
            continue
        for key in matching:
            names[key].append(name)
    return names


def _server_identities(name: str, settings: ServerTeacher, params: Params) -> list[dict[str, object]]:
    try:
        return [dict(backend.identity) for backend in open_backends(name, settings, params)]
    except ValueError:  # it cannot be asked, so nothing in the cache is its
        return []


def _is_local(identity: Identity, settings: LocalTeacher) -> bool:
    """Return whether all that the identity says is what the params say; the machine's precision is not theirs."""
    expected = {
        "backend": "local",
        "chat": settings.chat,
        "gguf_file": settings.gguf_file,
        "max_new_tokens": settings.max_new_tokens,
        "temperature": settings.temperature,
        "seed": settings.seed if settings.temperature > 0 else None,
    }
    if any(identity[key] != value for key, value in expected.items() if key in identity) or "backend" not in identity:
        return False
    try:
        folder = home_path(settings.model, "local: model")
    except ValueError:  # it cannot be asked either
        return False
    if folder.is_dir():
        return str(identity.get("model")).startswith("sha256:") and identity["model"] == _contents(settings)
    return identity.get("model") == settings.model and settings.revision in (None, identity.get("commit"))


def _contents(settings: LocalTeacher) -> str:
    from tinyllm.teachers.local.checkpoint import folder_contents  # brings torch

    return folder_contents(settings)

"""The states below the trained layers: computed once a row, kept on disk, used by every later epoch, seed and rate.

With `student.tuning: upper` a causal student's lower layers never change, and so a row's states there never do. Each row goes
through them by itself, whatever batch it is in: a state that is read back is the one that would be computed, bit for bit.
"""

from __future__ import annotations

import copy
import hashlib
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from itertools import takewhile
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from tinyllm.models.loaded import LoadedModel
from tinyllm.training.passes.tree_attention import has_plain_head

KEPT_DAYS = 14  # states that nobody came back for in so long are deleted
GIGABYTE = 10**9
STATES = "states"


class FrozenStates:
    """Runs a causal student in two halves, and keeps what leaves the lower one.

    Args:
        lower, upper: the model with the layers that are frozen, and with those above them; they share its weights
        folder: where states are kept; None keeps none
        room: bytes that may still be written there
    """

    def __init__(self, lower: nn.Module, upper: nn.Module, folder: Path | None, room: float) -> None:
        self.lower, self.upper, self.folder, self.room = lower, upper, folder, room

    def hidden(self, part: dict[str, Tensor]) -> Tensor:
        """Return the states behind the last layer (B, T, D).

        Args:
            part: of `build_tree_batch`, or of `collate` for a causal student
        """
        lengths = part["lengths"] if "lengths" in part else part["attention_mask"].sum(dim=1)
        rows = [self._row(part, row, int(length)) for row, length in enumerate(lengths)]
        inputs = {name: part[name] for name in ("attention_mask", "position_ids") if name in part}
        below = pad_sequence(rows, batch_first=True)  # (B, T, D)
        states: Tensor = self.upper(inputs_embeds=below, **inputs, use_cache=False).last_hidden_state
        return states

    def _row(self, part: dict[str, Tensor], row: int, length: int) -> Tensor:
        """Return the states of one row (T, D) below the trained layers."""
        inputs = {"input_ids": part["input_ids"][row : row + 1, :length]}
        if "position_ids" in part:  # a tree
            inputs["position_ids"] = part["position_ids"][row : row + 1, :length]
            inputs["attention_mask"] = part["attention_mask"][row : row + 1, :, :length, :length]
        path = self._path(inputs) if self.folder else None
        known = _read(path) if path else None
        if known is not None:
            return known
        with torch.no_grad():
            states: Tensor = self.lower(**inputs, use_cache=False).last_hidden_state[0]
        if path:
            self._keep(path, states)
        return states

    def _path(self, inputs: dict[str, Tensor]) -> Path:
        """Return where a row's states are, by its tokens and in a tree their positions, which tell its branches apart."""
        assert self.folder
        digest = hashlib.blake2b(digest_size=16)
        for name in ("input_ids", "position_ids"):
            if name in inputs:
                digest.update(inputs[name].numpy().tobytes() + b"|")
        name = digest.hexdigest()
        return self.folder / name[:2] / f"{name}.safetensors"

    def _keep(self, path: Path, states: Tensor) -> None:
        """Write the states, if there is room for them; a disk that is full costs time and not the training."""
        size = states.numel() * states.element_size()
        if size > self.room:
            return
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".partial") as file:
                save_file({STATES: states.contiguous()}, partial := Path(f"{file.name}.whole"))
            partial.rename(path)
        except (OSError, SafetensorError) as error:
            self.room = 0
            print(f"{path.parent.parent}: {error}; no more states of frozen layers are kept", file=sys.stderr)
            return
        self.room -= path.stat().st_size


def frozen_states(
    model: LoadedModel, cache: Path | None, gigabytes: float, precision: str = "fp32"
) -> FrozenStates | None:
    """Return what runs a student in two halves; None where no layer is frozen, or what runs below is not known to be fixed.

    Args:
        cache: the project's folder for what may be deleted; None keeps no states
        gigabytes: that all states there may take
        precision: in which the student computes
    """
    layers = _frozen_layers(model)
    if not layers:
        return None
    base = model.plain.base_model
    assert isinstance(base.layers, nn.ModuleList)
    lower, upper = _with_layers(base, layers), _with_layers(base, list(base.layers)[len(layers) :])
    lower.norm = nn.Identity()  # it stands behind the last layer alone
    if cache is None or not gigabytes:
        return FrozenStates(lower, upper, None, 0)
    folder = cache / "frozen" / _fingerprint(model, layers, precision)
    with suppress(OSError):
        _delete_old(folder)
    return FrozenStates(lower, upper, folder, gigabytes * GIGABYTE - _size(cache / "frozen"))


def _frozen_layers(model: LoadedModel) -> Sequence[nn.Module]:
    """Return the layers from the first on that are not trained, where a row's states behind them depend on it alone."""
    base = model.plain.base_model
    if not model.causal or not has_plain_head(model) or model.device.type != "cpu":  # a GPU is fast in batches
        return []
    config = model.plain.config
    if len(set(getattr(config, "layer_types", None) or ())) > 1 or getattr(config, "attention_dropout", False):
        return []
    layers = getattr(base, "layers", None)
    if not isinstance(layers, nn.ModuleList) or not hasattr(base, "norm"):
        return []
    if any(weight.requires_grad for weight in model.plain.get_input_embeddings().parameters()):
        return []
    return list(takewhile(lambda layer: not any(w.requires_grad for w in layer.parameters()), layers))


def _with_layers(base: nn.Module, layers: Sequence[nn.Module]) -> nn.Module:
    """Return the model with these layers alone; every weight is that of `base` itself."""
    part = copy.copy(base)
    part._modules = dict(base._modules)
    part.layers = nn.ModuleList(layers)
    return part


def _fingerprint(model: LoadedModel, layers: Sequence[nn.Module], precision: str) -> str:
    """Return the digest of all that shapes the states, the machine's arithmetic too."""
    shaping = [
        {key: value for key, value in model.plain.config.to_dict().items() if not key.startswith("_")},
        [torch.__version__, torch.get_num_threads(), torch.backends.cpu.get_cpu_capability()],
        [precision, len(layers)],
    ]
    digest = hashlib.blake2b(json.dumps(shaping, sort_keys=True, default=str).encode(), digest_size=16)
    for part in (model.plain.get_input_embeddings(), *layers):
        for weight in part.parameters():
            digest.update(weight.detach().contiguous().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _read(path: Path) -> Tensor | None:
    try:
        return load_file(path)[STATES]
    except (OSError, SafetensorError, KeyError):  # not there, or not whole
        return None


def _delete_old(folder: Path) -> None:
    """Delete the states of other models that were not used for long; mark this model's as used."""
    folder.mkdir(parents=True, exist_ok=True)
    folder.touch()
    for other in folder.parent.iterdir():
        if time.time() - other.stat().st_mtime > KEPT_DAYS * 86400:
            shutil.rmtree(other, ignore_errors=True)


def _size(folder: Path) -> int:
    sizes = 0
    for path in folder.rglob("*.safetensors"):
        with suppress(OSError):
            sizes += path.stat().st_size
    return sizes

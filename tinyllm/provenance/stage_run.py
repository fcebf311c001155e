"""One run of a stage: it reads params.yaml once, and fails at its end where that, or a file it depends on, has changed.

DVC writes into dvc.lock what params.yaml and the files hold when a stage has ended. If that is not what the stage began with,
the lock would name what was not used.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tinyllm.params.load import PATH, read_params
from tinyllm.params.schema import Params
from tinyllm.params.yaml_file import read_yaml
from tinyllm.provenance.definition import Definition, name_of, read_definition, value_at
from tinyllm.provenance.installed import version_fault
from tinyllm.provenance.records import differences, digest_of, in_words, write_record
from tinyllm.provenance.snapshot import Seen, changed_files, take_snapshot

KEPT_DAYS = 14  # what nobody came back for in so long is deleted


@dataclass
class StageRun:
    """What a stage began with.

    Args:
        values: by dotted key what the stage uses of params.yaml
        files: every file that it depends on
        all_read: whether a later change of a file can no longer change what the stage makes
    """

    name: str
    params: Params
    values: Mapping[str, Any]
    definition: Definition
    files: Mapping[str, Seen]
    all_read: bool = field(default=False)

    @property
    def digest(self) -> str:
        """The digest of the params, as metrics and record name it."""
        return digest_of(self.values)

    def has_read_all(self) -> None:
        """Say that all files are read: what is made from here on is kept even where one of them changes.

        Raises:
            ValueError: one has changed by now.
        """
        if changed := changed_files(self.files, self.definition.files):
            raise ValueError(f"{_files_fault(changed, self.name)}; run it again")
        self.all_read = True

    def finish(self) -> None:
        """Write the record, then make sure that DVC will write the same.

        Raises:
            ValueError: params.yaml or a file has changed; what was made is kept for a run with the old ones.
        """
        write_record(self.name, self.values)
        changed = changed_files(self.files, self.definition.files)
        fault = self._params_fault() or (_files_fault(changed, self.name) if changed else "")
        if not fault:
            return
        may_mix = bool(changed) and not self.all_read  # of the file as it was and as it is
        if may_mix or not self._keep():
            raise ValueError(f"{fault}; run it again")
        raise ValueError(f"{fault}; set it back and run it again, which takes a moment, or run it as it is now")

    def restore(self) -> bool:
        """Put back what an earlier run with the same params and files has made; return whether there was one."""
        kept = self._kept_folder()
        if not kept.is_dir():
            return False
        for out in map(Path, self.definition.outs):
            out.parent.mkdir(parents=True, exist_ok=True)
            _delete(out)
            _copy(kept / out, out)
        shutil.rmtree(kept, ignore_errors=True)
        return True

    def _params_fault(self) -> str:
        try:
            now = read_yaml(PATH)
        except ValueError as error:
            return f"{error}; {self.name} began with what it held before, and nothing is recorded"
        changes = list(differences(dict(self.values), {key: value_at(now, key) for key in self.values}))
        if not changes:
            return ""
        return f"{PATH}: changed while {self.name} ran, which began with {in_words(changes)}; nothing is recorded"

    def _keep(self) -> bool:
        """Keep what was made, and return whether there was room for it."""
        kept = self._kept_folder()
        partial = kept.with_name(f"{kept.name}.{os.getpid()}.partial")
        try:
            _delete_old(kept.parent)
            for out in self.definition.outs:
                (partial / out).parent.mkdir(parents=True, exist_ok=True)
                _copy(Path(out), partial / out)
            partial.rename(kept)
        except OSError:  # a full disk, or another run has kept the same
            shutil.rmtree(partial, ignore_errors=True)
        return kept.is_dir()

    def _kept_folder(self) -> Path:
        files = {name: seen.sha256 for name, seen in self.files.items()}
        used = json.dumps([self.name, dict(self.values), files], sort_keys=True)
        return Path(os.environ.get("DVC_ROOT") or ".") / ".cache/kept" / hashlib.sha256(used.encode()).hexdigest()[:32]


@contextmanager
def running(stage: str, item: str | None) -> Iterator[StageRun]:
    """Yield what a stage begins with; once the block has ended without an error, check and record it.

    Raises:
        ValueError: params.yaml or dvc.yaml is faulty, another version is installed than dvc.lock would name, or something
            has changed meanwhile.
    """
    if fault := version_fault():
        raise ValueError(fault)
    params, values = read_params()
    definition = read_definition(stage, item, values)
    used = {key: value_at(values, key) for key in definition.params}
    run = StageRun(name_of(stage, item), params, used, definition, take_snapshot(definition.files))
    yield run
    if "RANK" not in os.environ:  # of several processes that train together, the one that started them
        run.finish()


def _files_fault(changed: list[str], stage: str) -> str:
    more = f", and {len(changed) - 1} more files," if len(changed) > 1 else ""
    return f"{changed[0]}:{more} changed while {stage} ran; nothing is recorded"


def _copy(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target)
    elif source.is_file():
        shutil.copyfile(source, target)


def _delete(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _delete_old(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.iterdir():
        if time.time() - old.stat().st_mtime > KEPT_DAYS * 86400:
            shutil.rmtree(old, ignore_errors=True)

"""Every library that writes a student has an error of its own for a full disk; each ends in the same sentence."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pyarrow
import pytest
import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer
from tokenizers.models import WordLevel

from tinyllm.student.folder import errors_name

FULL = "/dev/full"


def write_text() -> None:
    with open(FULL, "w") as file:
        file.write("x")


def write_arrow() -> None:
    with pyarrow.OSFile(FULL, "wb") as file:
        file.write(b"x" * 100_000)


WRITERS: dict[str, Callable[[], object]] = {
    "python": write_text,
    "torch": lambda: torch.save({"a": torch.zeros(100_000)}, FULL),
    "safetensors": lambda: save_file({"a": torch.zeros(100_000)}, "/proc/none/model.safetensors"),
    "tokenizers": lambda: Tokenizer(WordLevel({"a": 0}, unk_token="a")).save(FULL),
    "arrow": write_arrow,
}


@pytest.mark.parametrize("writer", WRITERS)
def test_a_full_disk_is_told_in_one_line_whichever_library_writes(writer: str) -> None:
    message = r"^folder: cannot be written \([^\n]+\); free space and run again$"
    with pytest.raises(ValueError, match=message), errors_name(Path("folder")):
        WRITERS[writer]()


def test_a_bug_keeps_its_own_error() -> None:
    with pytest.raises(KeyError), errors_name(Path("folder")):
        raise KeyError("id")

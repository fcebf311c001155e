"""Checkpoints that the tests of local teachers share."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.checkpoint_toys import byte_tokenizer, save_llama, save_t5
from tests.toys import toy_tokenizer


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights, tokens of bytes, `<s>` before every text."""
    folder = tmp_path_factory.mktemp("llama")
    save_llama(folder, byte_tokenizer())
    return folder


@pytest.fixture(scope="module")
def t5(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("t5")
    save_t5(folder, toy_tokenizer(tmp_path_factory.mktemp("vocabulary")))
    return folder

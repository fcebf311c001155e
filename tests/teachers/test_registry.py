"""Cached identities and the names that params.yaml has for them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.checkpoint_toys import byte_tokenizer, runtime, save_llama, settings
from tinyllm.params.load import load_params
from tinyllm.params.schema import Params
from tinyllm.teachers.open import open_backends
from tinyllm.teachers.registry import registry_names

ROOT = Path(__file__).resolve().parents[2]
SMOL = {
    "backend": "local",
    "model": "HuggingFaceTB/SmolLM2-135M-Instruct",
    "commit": "12fd25f77366fa6b3b4b768ec3050bf629380bac",
    "gguf_file": None,
    "chat": True,
    "precision": "fp32",
    "max_new_tokens": 128,
    "temperature": 0.0,
    "seed": None,
}
DECODING = ("max_new_tokens", "temperature", "seed")


@pytest.fixture
def params() -> Params:
    return load_params(ROOT / "params.yaml")


def test_a_servers_answers_and_its_option_probabilities_have_its_name(params: Params) -> None:
    backend, scorer = open_backends("endpoint", params.teachers["endpoint"], params)
    warmer = {**backend.identity, "temperature": 0.7}
    found = registry_names(params, {"answers": backend.identity, "options": scorer.identity, "warmer": warmer})
    assert found == {"answers": ["endpoint"], "options": ["endpoint"], "warmer": []}


def test_two_names_of_one_teacher_are_both_told(params: Params) -> None:
    params.teachers["twin"] = params.teachers["endpoint"].model_copy()
    backend, _ = open_backends("endpoint", params.teachers["endpoint"], params)
    assert registry_names(params, {"answers": backend.identity}) == {"answers": ["endpoint", "twin"]}


@pytest.mark.parametrize(
    ("change", "names"),
    [
        ({}, ["smollm2"]),
        ({"precision": "bf16", "commit": "another"}, ["smollm2"]),
        ({"asked": "log-likelihood of each option", **dict.fromkeys(DECODING, ...)}, ["smollm2"]),
        ({"chat": False}, []),
        ({"temperature": 0.7, "seed": 1}, []),
        ({"model": "another/model"}, []),
        ({"model": "sha256:00"}, []),
        ({"backend": "server"}, []),
        ({"backend": ...}, []),
    ],
)
def test_a_hub_model_has_its_name_by_all_that_its_entry_says(
    params: Params, change: dict[str, Any], names: list[str]
) -> None:
    identity = {key: value for key, value in (SMOL | change).items() if value is not ...}
    assert registry_names(params, {"it": identity}) == {"it": names}


def test_a_pinned_hub_model_is_that_commit_alone(params: Params) -> None:
    params.teachers["smollm2"] = params.teachers["smollm2"].model_copy(update={"revision": "another"})
    assert registry_names(params, {"it": SMOL}) == {"it": []}


def test_a_model_in_a_folder_has_its_name_by_the_contents_of_its_files(params: Params, tmp_path: Path) -> None:
    from tinyllm.teachers.local.backend import Local

    byte_tokenizer().save_pretrained(tmp_path / "llama")
    save_llama(tmp_path / "llama", byte_tokenizer())
    params.teachers["mine"] = settings(tmp_path / "llama")
    identity = Local(params.teachers["mine"], runtime()).identity
    other = {**identity, "model": "sha256:00"}
    assert registry_names(params, {"it": identity, "other": other}) == {"it": ["mine"], "other": []}


def test_a_teacher_that_cannot_be_asked_has_nothing_in_the_cache(params: Params) -> None:
    backend, _ = open_backends("endpoint", params.teachers["endpoint"], params)
    params.teachers["faulty"] = params.teachers["endpoint"].model_copy(update={"url": "http://localhost/v1?key=1"})
    assert registry_names(params, {"answers": backend.identity}) == {"answers": ["endpoint"]}

"""Folders that bring code, pickles or endless templates: none of it runs, and nobody is asked whether it may."""

from __future__ import annotations

import io
import json
import os
import pickle
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.checkpoint_toys import byte_tokenizer, runtime, save_llama, settings
from tests.toys import toy_model, toy_params, toy_tokenizer
from tinyllm.models import chat
from tinyllm.models.chat import in_template
from tinyllm.models.loaded import loaded_model
from tinyllm.models.plain_text import PlainText
from tinyllm.student.build import load_checkpoint
from tinyllm.student.folder import load_student, save_student
from tinyllm.teachers.local.backend import Local
from tinyllm.teachers.protocol import Prompt

ROOT = Path(__file__).resolve().parents[2]
MARK = "ran.txt"  # what foreign code leaves where it runs


class Payload:
    """What leaves a mark once it is unpickled."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.folder / MARK),)


def evil_code(folder: Path) -> str:
    """A module that leaves a mark when it is imported, with the classes that a checkpoint may name."""
    return (
        f"open({str(folder / MARK)!r}, 'w').close()\n"
        "from transformers import LlamaConfig, LlamaForCausalLM, T5Config, T5ForConditionalGeneration\n"
        "from transformers import PreTrainedTokenizerFast\n"
        "class EvilConfig(T5Config):\n    model_type = 'evil'\n"
        "class EvilModel(T5ForConditionalGeneration):\n    config_class = EvilConfig\n"
        "class EvilTokenizer(PreTrainedTokenizerFast):\n    pass\n"
        "def generate(*a, **b):\n    raise SystemExit\n"
    )


def change(path: Path, **values: Any) -> None:
    found = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    path.write_text(json.dumps({**found, **values}), encoding="utf-8")


AUTO_MAP = {
    "AutoConfig": "evil.EvilConfig",
    "AutoModelForSeq2SeqLM": "evil.EvilModel",
    "AutoModelForCausalLM": "evil.EvilModel",
    "AutoTokenizer": ["evil.EvilTokenizer", "evil.EvilTokenizer"],
}


def config_of_an_unknown_kind(folder: Path) -> None:
    change(folder / "config.json", auto_map=AUTO_MAP, model_type="evil")


def config_of_a_known_kind(folder: Path) -> None:
    change(folder / "config.json", auto_map=AUTO_MAP)


def tokenizer_config(folder: Path) -> None:
    change(folder / "tokenizer_config.json", auto_map=AUTO_MAP, tokenizer_class="EvilTokenizer")


def tokenizer_config_as_a_list(folder: Path) -> None:
    change(folder / "tokenizer_config.json", auto_map=AUTO_MAP["AutoTokenizer"], tokenizer_class="EvilTokenizer")


def generation_config(folder: Path) -> None:
    change(folder / "generation_config.json", auto_map=AUTO_MAP, custom_generate=str(folder), trust_remote_code=True)


def custom_generate(folder: Path) -> None:
    (folder / "custom_generate").mkdir()
    shutil.copy(folder / "evil.py", folder / "custom_generate/generate.py")


def pickled_weights_alone(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(Payload(folder)))


def pickled_arguments(folder: Path) -> None:
    (folder / "training_args.bin").write_bytes(pickle.dumps(Payload(folder)))
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(Payload(folder)))


def adapter_of_a_foreign_base(folder: Path) -> None:
    base = folder.with_name(f"{folder.name}-base")
    shutil.copytree(folder, base)
    change(base / "config.json", auto_map=AUTO_MAP, model_type="evil")
    adapter(folder, peft_type="LORA", base_model_name_or_path=str(base))


def adapter_that_imports(folder: Path) -> None:
    adapter(folder, peft_type="LORA", megatron_config={"a": 1}, megatron_core="evil")


def adapter_of_another_kind(folder: Path) -> None:
    adapter(folder, peft_type="XLORA", adapters={"0": str(folder)})


def pickled_adapter(folder: Path) -> None:
    adapter(folder, peft_type="LORA", r=1, target_modules=["q"])
    (folder / "adapter_model.safetensors").unlink()
    (folder / "adapter_model.bin").write_bytes(pickle.dumps(Payload(folder)))


def adapter(folder: Path, **values: Any) -> None:
    shutil.copy(folder / "model.safetensors", folder / "adapter_model.safetensors")
    change(folder / "adapter_config.json", **{"base_model_name_or_path": str(folder), **values})


HOSTILE: list[tuple[Callable[[Path], None], bool]] = [  # and whether what is left of the folder is a whole student
    (config_of_an_unknown_kind, False),
    (config_of_a_known_kind, True),
    (tokenizer_config, True),
    (tokenizer_config_as_a_list, True),
    (generation_config, True),
    (custom_generate, True),
    (pickled_weights_alone, False),
    (pickled_arguments, True),
    (adapter_of_a_foreign_base, False),
    (adapter_that_imports, False),
    (adapter_of_another_kind, False),
    (pickled_adapter, False),
]
NAMES = [make.__name__ for make, _ in HOSTILE]


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    tokenizer = toy_tokenizer(tmp_path_factory.mktemp("vocabulary"))
    folder = tmp_path_factory.mktemp("saved") / "student"
    save_student(loaded_model(toy_model(tokenizer), tokenizer), folder, max_new_tokens=4)
    return folder


@pytest.fixture
def yes(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """A stdin that agrees to whatever is asked."""
    answers = io.StringIO("y\n" * 9)
    monkeypatch.setattr(sys, "stdin", answers)
    return answers


def hostile(saved: Path, folder: Path, make: Callable[[Path], None]) -> Path:
    shutil.copytree(saved, folder)
    (folder / "evil.py").write_text(evil_code(folder), encoding="utf-8")
    make(folder)
    return folder


@pytest.mark.parametrize(("make", "loads"), HOSTILE, ids=NAMES)
def test_no_student_folder_runs_code(
    saved: Path, tmp_path: Path, yes: io.StringIO, make: Callable[[Path], None], loads: bool
) -> None:
    folder = hostile(saved, tmp_path / "student", make)
    try:
        load_student(folder)
    except ValueError as error:
        assert not loads and str(error).startswith(f"{folder}: ") and "\n" not in str(error)
    else:
        assert loads
    assert not (folder / MARK).exists() and yes.read() == "y\n" * 9


@pytest.mark.parametrize(("make", "loads"), HOSTILE[:8], ids=NAMES[:8])
def test_no_checkpoint_runs_code_that_the_params_do_not_trust(
    saved: Path, tmp_path: Path, yes: io.StringIO, make: Callable[[Path], None], loads: bool
) -> None:
    folder = hostile(saved, tmp_path / "student", make)
    local = toy_params(student__origin="local", student__model=str(folder), student__scratch=None).student
    for load in (lambda: load_checkpoint(local, 0.0), lambda: Local(settings(folder), runtime()).load()):
        try:
            load()
        except ValueError as error:
            assert not loads and "\n" not in str(error)
        else:
            assert loads
        assert not (folder / MARK).exists() and yes.read() == "y\n" * 9
        yes.seek(0)


@pytest.mark.parametrize("make", [config_of_an_unknown_kind, config_of_a_known_kind, tokenizer_config])
def test_a_trusted_checkpoint_runs_its_code_and_is_refused_before_a_student_is_trained_that_cannot_be_loaded(
    saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: Callable[[Path], None]
) -> None:
    monkeypatch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", str(tmp_path / "modules"))
    folder = hostile(saved, tmp_path / "student", make)
    trusting = {"student__origin": "local", "student__model": str(folder), "student__trust_remote_code": True}
    student = toy_params(**trusting, student__scratch=None).student
    with pytest.raises(ValueError, match="needs code of its own, and a trained student's folder never runs any; use a"):
        load_checkpoint(student, 0.0)
    assert (folder / MARK).exists()


def test_a_saved_student_does_not_repeat_what_its_checkpoint_said_of_code(saved: Path, tmp_path: Path) -> None:
    folder = hostile(saved, tmp_path / "origin", config_of_a_known_kind)
    tokenizer_config_as_a_list(folder)
    local = toy_params(student__origin="local", student__model=str(folder), student__scratch=None).student
    save_student(load_checkpoint(local, 0.0), tmp_path / "again", max_new_tokens=4)
    assert not [path.name for path in (tmp_path / "again").iterdir() if b"auto_map" in path.read_bytes()]


def ask(folder: Path, at: Path) -> subprocess.CompletedProcess[str]:
    """`tinyllm ask --model`, with a stdin that agrees to whatever is asked."""
    (at / "params.yaml").write_text((ROOT / "params.yaml").read_text(encoding="utf-8"), encoding="utf-8")
    code = "import sys; from tinyllm.cli.main import main; main(sys.argv[1:])"
    command = [
        sys.executable,
        "-c",
        code,
        "ask",
        "--model",
        str(folder),
        "Which?",
        "--choice",
        "red",
        "--choice",
        "blue",
    ]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1"}
    return subprocess.run(
        command, cwd=at, env=environment, input="y\n" * 9, capture_output=True, text=True, timeout=120
    )


def test_ask_runs_no_code_of_a_folder_that_it_is_given_and_asks_nobody(saved: Path, tmp_path: Path) -> None:
    folder = hostile(saved, tmp_path / "student", config_of_an_unknown_kind)
    done = ask(folder, tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"error: {folder}: damaged (The repository ") and done.stderr.count("\n") == 1
    assert "[y/N]" not in done.stderr and not (folder / MARK).exists()


@pytest.mark.nightly
@pytest.mark.parametrize(("make", "loads"), HOSTILE, ids=NAMES)
def test_ask_runs_no_code_whatever_the_folder_holds(
    saved: Path, tmp_path: Path, make: Callable[[Path], None], loads: bool
) -> None:
    folder = hostile(saved, tmp_path / "student", make)
    done = ask(folder, tmp_path)
    assert done.returncode == (0 if loads else 1), done.stderr
    assert "Traceback" not in done.stderr and "[y/N]" not in done.stdout + done.stderr
    assert not (folder / MARK).exists()


# --- chat templates -------------------------------------------------------------------------------------------------

ENDLESS = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"
TEMPLATES = [
    (ENDLESS, "it does not end within 0.2 s"),
    ("{{ ''.__class__.__mro__[1].__subclasses__() }}", "access to attribute '__class__' of 'str' object is unsafe."),
    ("{{ range(10 ** 9) }}", "Range too big. The sandbox blocks ranges larger than MAX_RANGE (100000)."),
    ("{{ 1 / 0 }}", "division by zero"),
    ("{{ raise_exception('no\x1b[2J\nroles') }}", "no?[2J roles"),
    ("{{ 'x' * 1001 }}", "it writes 1001 characters; allowed are 1000"),
    ("{% include '/etc/passwd' %}", "no loader for this environment specified"),
]


@pytest.mark.parametrize(("template", "expected"), TEMPLATES)
def test_a_chat_template_ends_or_is_refused(monkeypatch: pytest.MonkeyPatch, template: str, expected: str) -> None:
    monkeypatch.setattr(chat, "SECONDS", 0.2)
    monkeypatch.setattr(chat, "LONGEST", 1000)
    tokenizer = byte_tokenizer()
    tokenizer.chat_template = template
    with pytest.raises(ValueError) as error:
        in_template(PlainText(tokenizer), [{"role": "user", "content": "Which?"}])
    assert str(error.value) == expected


def test_an_endless_template_stops_a_teacher_and_a_student_in_one_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(chat, "SECONDS", 0.2)
    tokenizer = byte_tokenizer()
    tokenizer.chat_template = ENDLESS
    save_llama(tmp_path, tokenizer)
    with pytest.raises(
        ValueError, match=r"^local: the chat template of .* refuses the prompt \(it does not end within 0"
    ):
        Local(settings(tmp_path, chat=True), runtime()).encode(Prompt("", "Which?"))

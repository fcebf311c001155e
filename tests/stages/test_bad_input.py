"""Bad input of every kind, given to the real stages: each ends in one clear line and exit status 1, and leaves no half file."""

from __future__ import annotations

import copy
import json
import os
import re
import resource
import runpy
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from tests.processes import Order, start_stage

ROOT = Path(__file__).resolve().parents[2]
VALUES = YAML(typ="safe").load((ROOT / "params.yaml").read_text(encoding="utf-8"))

# The working folder that every case starts from: an own set of a few questions, one recorded teacher, a tiny student.
TINY = {
    "data.dataset": "jsonl",
    "data.folder": "own",
    "data.drop_leaks": True,
    "data.take": {"train": None, "valid": None, "test": None},
    "teachers": {
        "ann": {"backend": "recorded", "parameters": None},
        "ben": {"backend": "recorded", "parameters": None},
        "eve": VALUES["teachers"]["signs"],  # a rule-based one
    },
    "corpus.teachers": ["ann"],
    "corpus.max_quarantined": 0.5,
    "student.origin": "scratch",
    "student.scratch": {
        "architecture": "seq2seq",
        "vocabulary": 150,
        "width": 16,
        "layers": 1,
        "heads": 2,
        "feed_forward": 32,
        "embedding_scale": 1.0,
    },
    "loss.alpha": 0.5,
    "loss.teacher_alpha": {},
    "train.seeds": [1],
    "train.epochs": 1,
    "train.eval_every": 1,
    "runtime.device": "cpu",
}


def question(name: str, **changes: Any) -> dict:
    row = {"id": name, "question": f"Which one swims, {name}?", "choices": ["a fish", "a stone"], "answer": 0}
    return {field: value for field, value in {**row, **changes}.items() if value is not ...}  # ... takes a field out


def rationale(name: str, **changes: Any) -> dict:
    return {"id": name, "rationale": f"Of the two in {name} only a fish can swim, for it has fins.", **changes}


def lines(*rows: dict) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


OWN = {
    "own/train.jsonl": lines(*(question(f"t{n}") for n in range(8))),
    "own/valid.jsonl": lines(question("v0"), question("v1")),
    "own/test.jsonl": lines(question("x0"), question("x1")),
    "own/rationales/ann.jsonl": lines(*(rationale(f"t{n}") for n in range(8)), rationale("v0"), rationale("v1")),
}
WHOLE = ("download", "query ann", "assemble")


def change(values: dict, key: str, new: Any) -> None:
    *sections, last = key.split(".")
    for section in sections:
        values = values[section]
    if new is ...:
        del values[last]
    else:
        values[last] = copy.deepcopy(new)


class Place:
    """A working folder, in which stages are called as a user calls them."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder, self.monkeypatch = folder, monkeypatch
        monkeypatch.chdir(folder)
        for name in ("DVC_ROOT", "TINYLLM_MIRROR", "TINYLLM_TRACEBACK"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("TINYLLM_DATA_CACHE", str(folder / "fetched"))
        self.params({})
        self.files(OWN)

    def params(self, changes: dict[str, Any]) -> None:
        values = copy.deepcopy(VALUES)
        for key, new in {**TINY, **changes}.items():
            change(values, key, new)
        with open("params.yaml", "w", encoding="utf-8") as file:
            YAML().dump(values, file)

    def files(self, changes: dict[str, bytes | None]) -> None:
        """Write files; None deletes one, and a name that ends in / is a folder."""
        for name, content in changes.items():
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if content is None:
                path.unlink()
            elif name.endswith("/"):
                path.unlink(missing_ok=True)
                path.mkdir()
            else:
                path.write_bytes(content)

    def run(self, command: str) -> None:
        """What `python -m stages.COMMAND` does, without the half second of a new process."""
        stage, *arguments = command.split()
        self.monkeypatch.setattr(sys, "argv", [f"{stage}.py", *arguments])
        runpy.run_path(str(ROOT / "stages" / f"{stage}.py"), run_name="__main__")

    def refuse(self, command: str) -> str:
        """Return the message that a stage ends with."""
        with pytest.raises(SystemExit) as stop:
            self.run(command)
        assert isinstance(stop.value.code, str)  # Python prints a text to stderr and exits with status 1
        return stop.value.code


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    return Place(tmp_path, monkeypatch)


def case(
    name: str,
    command: str,
    message: str,
    *,
    params: dict[str, Any] | None = None,
    files: dict[str, bytes | None] | None = None,
    before: tuple[str, ...] = (),
    environment: dict[str, str] | None = None,
) -> Any:
    """One kind of bad input: after the stages `before`, the changes are made and `command` is to end in `message`.

    The message is written out; `...` in it stands for what a library says in words of its own.
    """
    return pytest.param(command, message, params or {}, files or {}, before, environment or {}, id=name)


def train_with(**changes: Any) -> dict[str, bytes | None]:
    return {"own/train.jsonl": lines(question("t0"), question("t1", **changes))}


def config(**values: Any) -> bytes:
    return json.dumps(values).encode()


HUB = {"data.dataset": "hub", "corpus.teachers": [], "data.hub.revision": None, "data.hub.name": None}
HUB_COLUMNS = {
    "question": "question",
    "choices": "choices",
    "answer": "answer",
    "labels": None,
    "context": None,
    "id": None,
}
LOCAL = {"student.origin": "local", "student.model": "checkpoint"}

PARAMS = [
    case(
        "no params.yaml",
        "download",
        "params.yaml: no such file; run it in the project's folder",
        files={"params.yaml": None},
    ),
    case("params.yaml is a folder", "query ann", "params.yaml: is a folder, not a file", files={"params.yaml/": b""}),
    case(
        "params.yaml is not YAML", "train 1", "params.yaml:3: not YAML (...)", files={"params.yaml": b"data:\n  [a\n"}
    ),
    case(
        "params.yaml is not UTF-8",
        "score",
        "params.yaml: not UTF-8 (byte 6); convert it, for example with iconv -t UTF-8",
        files={"params.yaml": b"data: \xe9\n"},
    ),
    case(
        "params.yaml is empty",
        "assemble",
        "params.yaml: holds no sections; expected data, prompt, teachers, corpus, student, loss, train, score, runtime",
        files={"params.yaml": b""},
    ),
    case(
        "a misspelt key",
        "train 1",
        "params.yaml:N: loss.alhpa: unknown key; did you mean alpha?",
        params={"loss.alhpa": 0.5},
    ),
    case(
        "a key that is missing",
        "train 1",
        "params.yaml:N: train.epochs: is missing; the file must hold every value",
        params={"train.epochs": ...},
    ),
    case(
        "a text for a number",
        "train 1",
        "params.yaml:N: loss.alpha: found 'much'; allowed is a valid number",
        params={"loss.alpha": "much"},
    ),
    case(
        "a fraction for a count",
        "train 1",
        "params.yaml:N: train.epochs: found 2.5; allowed is a valid integer",
        params={"train.epochs": 2.5},
    ),
    case(
        "a number for a switch",
        "download",
        "params.yaml:N: data.drop_leaks: found 1; allowed is a valid boolean",
        params={"data.drop_leaks": 1},
    ),
    case(
        "a list for a section",
        "score",
        "params.yaml:N: score: found ['none']; allowed is a valid dictionary or instance of Score",
        params={"score": ["none"]},
    ),
    case(
        "a negative weight",
        "train 1",
        "params.yaml:N: loss.alpha: found -1.0; allowed is greater than or equal to 0",
        params={"loss.alpha": -1.0},
    ),
    case(
        "a value out of range",
        "train 1",
        "params.yaml:N: train.dropout: found 1.5; allowed is less than 1",
        params={"train.dropout": 1.5},
    ),
    case(
        "an unknown data set",
        "download",
        "params.yaml:N: data.dataset: found 'openbook'; allowed is 'casebook', 'obqa', ...",
        params={"data.dataset": "openbook"},
    ),
    case(
        "an unknown backend",
        "query ann",
        "params.yaml:N: teachers.ann: backend is 'oracle'; allowed are expert, recorded, local, server",
        params={"teachers.ann": {"backend": "oracle"}},
    ),
    case(
        "a misspelt backend",
        "query ann",
        "params.yaml:N: teachers.ann: backend is 'sever'; allowed are expert, recorded, local, server; did you mean server?",
        params={"teachers.ann": {"backend": "sever"}},
    ),
    case(
        "no backend",
        "query ann",
        "params.yaml:N: teachers.ann: has no backend; it says what kind of teacher this is",
        params={"teachers.ann": {"forced": True}},
    ),
    case(
        "a teacher that the registry lacks",
        "assemble",
        "params.yaml:N: corpus.teachers: anne is not in the registry `teachers`; it has ann, ben, eve; did you mean ann?",
        params={"corpus.teachers": ["anne"]},
    ),
    case(
        "a teacher's name with a dot",
        "assemble",
        "params.yaml:N: teachers.gpt-4.1: is no name; allowed are letters, digits, _ and -, a letter first; `answer` is taken",
        params={
            "teachers": {
                "ann": {"backend": "recorded", "parameters": None},
                "gpt-4.1": {"backend": "recorded", "parameters": None},
            }
        },
    ),
    case(
        "a teacher who cannot read the set",
        "download",
        "params.yaml:N: corpus.teachers: eve (backend expert) has nothing to say on data.dataset jsonl; "
        "name teachers with backend recorded, local or server, or none with -S 'corpus.teachers=[]'",
        params={"corpus.teachers": ["eve"]},
    ),
    case(
        "a teacher who cannot tell how likely it finds an option",
        "query ann",
        "params.yaml:N: corpus.option_probabilities: is true, but ann (backend recorded) cannot tell how likely it finds an "
        "option; backends that can: expert, local, server",
        params={"corpus.option_probabilities": True},
    ),
    case(
        "distillation from probabilities that nobody asked for",
        "train 1",
        "params.yaml:N: loss.kd: is 0.5, but corpus.option_probabilities is false; set that to true, or loss.kd to 0.0",
        params={"loss.kd": 0.5},
    ),
    case(
        "distillation from nobody's probabilities",
        "train 1",
        "params.yaml:N: loss.kd: is 0.5, but corpus.teachers is empty; name teachers to learn from, or set it to 0.0",
        params={"loss.kd": 0.5, "corpus.teachers": []},
    ),
    case(
        "seeds that repeat",
        "train 1",
        "params.yaml:N: train.seeds: 1 stands 2 times; seeds must differ",
        params={"train.seeds": [1, 2, 1]},
    ),
    case(
        "a scratch student without sizes",
        "train 1",
        "params.yaml:N: student.scratch: is null, but student.origin is scratch; give vocabulary, width, layers, heads, ...",
        params={"student.scratch": None},
    ),
    case(
        "a width that is no multiple of heads",
        "train 1",
        "params.yaml:N: student.scratch.width: 16 is no multiple of heads (3)",
        params={"student.scratch.heads": 3},
    ),
    case(
        "a hub set without a commit",
        "download",
        "params.yaml:N: data.hub.revision: is null; pin the set to a 40-digit commit, so that the data cannot change",
        params=HUB,
    ),
]

QUESTIONS = [
    case(
        "a folder that is not there",
        "download",
        "data.folder: mine is no folder; it must hold train.jsonl, valid.jsonl and test.jsonl",
        params={"data.folder": "mine"},
    ),
    case("a file that is not there", "download", "own/valid.jsonl: no such file", files={"own/valid.jsonl": None}),
    case(
        "an empty split",
        "download",
        "own/test.jsonl: no questions; at least 1 is needed",
        files={"own/test.jsonl": b"\n"},
    ),
    case(
        "a file that is not UTF-8",
        "download",
        "own/train.jsonl:1: not UTF-8 (byte 8); convert it, for example with iconv -t UTF-8",
        files={"own/train.jsonl": '{"id": "é"}'.encode("latin-1")},
    ),
    case(
        "a line that is not JSON",
        "download",
        "own/train.jsonl:2: not JSON (... at column 2); one object a line",
        files={"own/train.jsonl": lines(question("t0")) + b"{'id': 1}\n"},
    ),
    case(
        "a line that is no object",
        "download",
        "own/train.jsonl:1: found list; a line must be a JSON object",
        files={"own/train.jsonl": b"[1, 2]\n"},
    ),
    case(
        "half a character",
        "download",
        "own/train.jsonl:2: \\ud83d is half a character, which UTF-8 cannot hold",
        files={"own/train.jsonl": lines(question("t0"), question("t1", question="A fish \ud83d?"))},
    ),
    case(
        "nested beyond reading",
        "download",
        "own/train.jsonl:1: nested too deep, or a number of too many digits, to be read",
        files={"own/train.jsonl": b"[" * 100_000},
    ),
    case(
        "a missing field",
        "download",
        "own/train.jsonl:2: no field 'answer'; a question has id, question, answer and may have choices and context",
        files=train_with(answer=...),
    ),
    case(
        "an id that is a list",
        "download",
        "own/train.jsonl:2: id [1]; allowed is a text or a whole number",
        files=train_with(id=[1]),
    ),
    case(
        "an id that stands twice",
        "download",
        "own/train.jsonl:2: id 't0' stands in row 1 too; ids must differ",
        files=train_with(id="t0"),
    ),
    case(
        "an id in two splits",
        "download",
        "own/test.jsonl:2: id 'x1' is in own/train.jsonl:2 too; ids must differ between splits",
        files=train_with(id="x1"),
    ),
    case("an empty question", "download", "own/train.jsonl:2: the question is empty", files=train_with(question=" ")),
    case(
        "a question that is no text",
        "download",
        "own/train.jsonl:2: question is NoneType; allowed is text",
        files=train_with(question=None),
    ),
    case(
        "one choice",
        "download",
        "own/train.jsonl:2: 1 choices; allowed are 2 to 26, or none where the answer is free text",
        files=train_with(choices=["a fish"]),
    ),
    case(
        "choices that are no list",
        "download",
        "own/train.jsonl:2: choices is 'a fish, a stone'; allowed is a list of texts",
        files=train_with(choices="a fish, a stone"),
    ),
    case(
        "an empty choice", "download", "own/train.jsonl:2: choice 1 is empty", files=train_with(choices=["a fish", ""])
    ),
    case(
        "an answer out of range",
        "download",
        "own/train.jsonl:2: answer 2, but 2 choices (0-1)",
        files=train_with(answer=2),
    ),
    case(
        "an answer that is none of the choices",
        "download",
        "own/train.jsonl:2: answer 'a whale' is none of the choices ['a fish', 'a stone']",
        files=train_with(answer="a whale"),
    ),
    case(
        "an answer of the wrong type",
        "download",
        "own/train.jsonl:2: answer True; allowed is an index from 0 or a choice's text",
        files=train_with(answer=True),
    ),
    case(
        "an answer that stands twice",
        "download",
        "own/train.jsonl:2: the answer 'a fish' stands among the choices more than once",
        files=train_with(choices=["a fish", "a fish"]),
    ),
    case(
        "all of train in test",
        "download",
        "train: every question stands in valid or test too; nothing is left to learn from",
        files={"own/train.jsonl": lines(question("t0", question="Which one swims, x0?"))},
    ),
    case(
        "hub columns that the set lacks",
        "download",
        "data.hub.columns.choices: found 'options'; columns of split train: id, question, choices, answer",
        params={
            **HUB,
            "data.hub.path": "set",
            "data.hub.splits": {"train": "train", "valid": "validation", "test": "test"},
            "data.hub.columns": {**HUB_COLUMNS, "choices": "options"},
        },
        files={f"set/{name}.jsonl": lines(question(f"{name}-0")) for name in ("train", "validation", "test")},
        environment={"HF_HUB_OFFLINE": "1"},
    ),
    case(
        "a mirror of the wrong kind",
        "download",
        "TINYLLM_MIRROR is 'ftp://example.org/x'; allowed is an http://, https:// or file:// address, such as "
        "file:///data/TinyLLM for the folder /data/TinyLLM",
        params={"data.dataset": "obqa", "corpus.teachers": []},
        environment={"TINYLLM_MIRROR": "ftp://example.org/x"},
    ),
    case(
        "a mirror without the file",
        "download",
        "file:///nowhere/datasets/obqa/obqa_train.json: No such file or directory, expected the file; "
        "TINYLLM_MIRROR must name a folder with the release at its top, and others by their repository's name",
        params={"data.dataset": "obqa", "corpus.teachers": []},
        environment={"TINYLLM_MIRROR": "file:///nowhere"},
    ),
]

TEACHERS = [
    case(
        "a query of a teacher that the registry lacks",
        "query anne",
        "anne is not in the registry `teachers`; it has ann, ben, eve",
        before=("download",),
    ),
    case(
        "a query before download",
        "query ann",
        "data/questions/train.jsonl: no such file; run dvc repro download",
    ),
    case(
        "a recorded teacher without a file",
        "query ben",
        "own/rationales/ben.jsonl: no rationales of teacher ben; recorded with these questions: ann",
        before=("download",),
    ),
    case(
        "a rule-based teacher on a set that is not casebook's",
        "query eve",
        "t0: no clue of casebook in its context; expert teachers read only casebook",
        before=("download",),
    ),
    case(
        "a rationale that is no text",
        "download",
        "own/rationales/ann.jsonl:2: a row has id (text or whole number) and rationale (text or null)",
        files={"own/rationales/ann.jsonl": lines(rationale("t0"), rationale("t1", rationale=7))},
    ),
    case(
        "a rationale under another name",
        "download",
        "own/rationales/ann.jsonl:1: no field 'rationale', found are id, explanation; a row has id and rationale",
        files={"own/rationales/ann.jsonl": lines({"id": "t0", "explanation": "It has fins."})},
    ),
    case(
        "two rationales of one question",
        "download",
        "own/rationales/ann.jsonl:2: id 't0' with sample 3 stands in row 1 too; allowed is one row an id and sample",
        files={"own/rationales/ann.jsonl": lines(rationale("t0", sample=3), rationale("t0", sample=3))},
    ),
    case(
        "a rationale that is refused and there",
        "download",
        "own/rationales/ann.jsonl:1: status 'refused', but there is a rationale; allowed then is null",
        files={"own/rationales/ann.jsonl": lines(rationale("t0", status="refused"))},
    ),
    case(
        "a rationale file with a faulty row",
        "assemble",
        "data/rationales/ann.jsonl:1: status ok, but the rationale is None; with ok it must be text",
        files={"data/rationales/ann.jsonl": lines(rationale("t0", status="ok", rationale=None))},
        before=("download",),
    ),
    case(
        "a teacher in the params that was not asked",
        "assemble",
        "data/rationales/ann.jsonl: no such file; run dvc repro query",
        before=("download",),
    ),
    case(
        "too many unusable rationales",
        "assemble",
        "teacher ann: 8 of 8 rationales (100.0%) quarantined, allowed are 50% (corpus.max_quarantined); "
        "most: missing 8 (are the ids in its file those of the questions?); "
        "see data/quarantine.jsonl, raise the limit or drop the teacher",
        files={"data/rationales/ann.jsonl": b""},
        before=("download",),
    ),
]

STUDENTS = [
    case(
        "a seed that is not in the params",
        "train 7",
        "seed 7 is not in train.seeds, which has 1",
        before=WHOLE,
    ),
    case("no corpus", "train 1", "data/corpus/train.jsonl: no such file; run dvc repro assemble", before=("download",)),
    case(
        "a folder that is no checkpoint",
        "train 1",
        "student.model: checkpoint is no checkpoint folder (it has no config.json); a .gguf needs gguf_file",
        params=LOCAL,
        files={"checkpoint/readme.txt": b"hello"},
        before=WHOLE,
    ),
    case(
        "a checkpoint that fills gaps",
        "train 1",
        "student.model: cannot load checkpoint: a bert fills gaps and writes no text; "
        "use a causal or sequence-to-sequence model",
        params=LOCAL,
        files={"checkpoint/config.json": config(model_type="bert")},
        before=WHOLE,
    ),
    case(
        "a .gguf file that is not there",
        "train 1",
        "student.model: checkpoint holds no some.gguf; .gguf files there: none",
        params={**LOCAL, "student.gguf_file": "some.gguf"},
        files={"checkpoint/config.json": config(model_type="llama")},
        before=WHOLE,
    ),
    case(
        "a .gguf file that is none",
        "train 1",
        "student.model: cannot load checkpoint: ...",
        params={**LOCAL, "student.gguf_file": "some.gguf"},
        files={"checkpoint/some.gguf": b"GGUF"},
        before=WHOLE,
    ),
    case(
        "a soft prompt without a model to belong to",
        "train 1",
        "params.yaml:N: student.tuning: is prompt, which is saved without its model, and a scratch student's is kept nowhere; "
        "use full or lora",
        params={"student.tuning": "prompt"},
    ),
    case(
        "a checkpoint of an unknown kind",
        "train 1",
        "student.model: cannot load checkpoint: ...",
        params=LOCAL,
        files={"checkpoint/config.json": config(model_type="abacus")},
        before=WHOLE,
    ),
    case(
        "a checkpoint with weights alone missing",
        "train 1",
        "student.model: cannot load checkpoint: ...",
        params=LOCAL,
        files={"checkpoint/config.json": config(model_type="t5", is_encoder_decoder=True, vocab_size=100)},
        before=WHOLE,
    ),
    case(
        "a vocabulary too small for the characters",
        "train 1",
        "student.scratch.vocabulary: 100 does not fit the train texts: ...",
        params={"student.scratch.vocabulary": 100},
        files={
            "data/corpus/train.jsonl": lines(
                {
                    "id": "t0",
                    "context": "",
                    "input": "".join(map(chr, range(0x4E00, 0x4F00))),
                    "targets": {"answer": "a fish"},
                }
            )
        },
        before=WHOLE,
    ),
    case(
        "a loss that is not finite",
        "train 1",
        "the model: the student scores its options nan, nan, which is no finite number; "
        "set score.precision to fp32, or train it with a lower train.learning_rate",
        params={"train.learning_rate": 1e30, "train.epochs": 20, "train.warmup": 0.0, "train.schedule": "constant"},
        before=WHOLE,
    ),
    case(
        "no trained student",
        "score",
        "models/student/1: holds no trained student (no model.safetensors); run dvc repro train",
        before=WHOLE,
    ),
    case(
        "a trained student whose file is cut short",
        "score",
        "models/student/1: damaged (...); delete it and run dvc repro train",
        files={
            "models/student/1/config.json": config(model_type="t5", vocab_size=100, d_model=16),
            "models/student/1/model.safetensors": b"\x10\x00\x00\x00\x00\x00\x00\x00{}",
        },
        before=WHOLE,
    ),
    case(
        "an adapter whose model is gone",
        "score",
        "models/student/1: its adapter belongs to ./base, which cannot be loaded (...); put it there",
        files={
            "models/student/1/adapter_config.json": config(peft_type="LORA", base_model_name_or_path="./base"),
            "models/student/1/adapter_model.safetensors": b"",
        },
        before=WHOLE,
    ),
    case(
        "an adapter that names no model",
        "score",
        "models/student/1: damaged (its adapter names no base_model_name_or_path); delete it and run dvc repro train",
        files={
            "models/student/1/adapter_config.json": config(peft_type="LORA"),
            "models/student/1/adapter_model.safetensors": b"",
        },
        before=WHOLE,
    ),
]


def matches(message: str, expected: str) -> bool:
    pattern = re.escape(f"error: {expected}").replace(r"params\.yaml:N:", r"params\.yaml:\d+:")
    also = r"(?: \(data\.on_bad_row: drop leaves such rows out\))?"  # of a bad row
    return re.fullmatch(pattern.replace(r"\.\.\.", ".+") + also, message) is not None


@pytest.mark.parametrize(
    ("command", "expected", "params", "files", "before", "environment"), [*PARAMS, *QUESTIONS, *TEACHERS, *STUDENTS]
)
def test_bad_input_ends_in_one_line(
    place: Place,
    command: str,
    expected: str,
    params: dict,
    files: dict,
    before: tuple[str, ...],
    environment: dict[str, str],
) -> None:
    for stage in before:
        place.run(stage)
    if params:
        place.params(params)
    place.files(files)
    for name, value in environment.items():
        place.monkeypatch.setenv(name, value)
    message = place.refuse(command)
    assert "\n" not in message
    assert matches(message, expected), message
    assert not list(place.folder.rglob("*.partial"))


def test_all_mistakes_in_params_are_told_at_once(place: Place) -> None:
    place.params({"loss.alhpa": 1.0, "train.epochs": -1, "train.seeds": [1, "two"]})
    told = re.findall(r"params\.yaml:\d+: ([a-z.0-9]+): ", place.refuse("train 1"))
    assert sorted(told) == ["loss.alhpa", "train.epochs", "train.seeds.1"]


def test_a_trained_student_without_its_vocabulary_is_refused(place: Place) -> None:
    from tests.toys import toy_model, toy_tokenizer  # bring torch

    for stage in WHOLE:
        place.run(stage)
    folder = Path("models/student/1")
    tokenizer = toy_tokenizer(place.folder / "vocabulary")
    toy_model(tokenizer).save_pretrained(folder)
    told = r"error: models/student/1: damaged \(no vocabulary.*\); delete it and run dvc repro train"
    assert re.fullmatch(told, place.refuse("score"))


def test_cuda_without_a_gpu_is_refused_and_not_replaced(place: Place) -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    for stage in WHOLE:
        place.run(stage)
    place.params({"runtime.device": "cuda"})
    assert place.refuse("train 1") == "error: runtime.device: cuda, but torch sees no GPU; use auto or cpu"


def as_process(
    command: str, folder: Path, before: Callable[[], None] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a stage the way DVC does."""
    environment = {name: value for name, value in os.environ.items() if name not in ("DVC_ROOT", "TINYLLM_TRACEBACK")}
    return subprocess.run(
        [sys.executable, "-m", *f"stages.{command}".split()],
        cwd=folder,
        env={**environment, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        preexec_fn=before,
        timeout=300,
    )


@pytest.mark.parametrize(
    ("command", "files", "expected"),
    [
        ("download", {"own/valid.jsonl": None}, "error: own/valid.jsonl: no such file\n"),
        ("query anne", {}, "error: anne is not in the registry `teachers`; it has ann, ben, eve\n"),
        ("assemble", {}, "error: data/questions/train.jsonl: no such file; run dvc repro download\n"),
        ("train 7", {}, "error: seed 7 is not in train.seeds, which has 1\n"),
        ("score", {}, "error: data/questions/test.jsonl: no such file; run dvc repro download\n"),
    ],
)
def test_a_process_prints_its_line_and_exits_with_status_1(
    place: Place, command: str, files: dict, expected: str
) -> None:
    place.files(files)
    ended = as_process(command, place.folder)
    assert (ended.returncode, ended.stdout, ended.stderr) == (1, "", expected)


def limit_files(size: int) -> Callable[[], None]:
    """Let no file of the process grow beyond so many bytes: a write then fails as on a full disk, with another number."""
    return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


def files_below(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_questions_that_cannot_be_written_leave_no_file(place: Place) -> None:
    ended = as_process("download", place.folder, limit_files(200))
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr == "error: data/questions/train.jsonl: File too large\n"
    assert not files_below(place.folder / "data")


def test_a_file_that_cannot_be_replaced_stays_as_it_was(place: Place) -> None:
    place.run("download")
    old = (place.folder / "data/questions/train.jsonl").read_bytes()
    place.files({"own/train.jsonl": lines(*(question(f"new{n}") for n in range(50)))})
    ended = as_process("download", place.folder, limit_files(len(old) + 100))
    assert (ended.returncode, ended.stderr) == (1, "error: data/questions/train.jsonl: File too large\n")
    assert (place.folder / "data/questions/train.jsonl").read_bytes() == old


@pytest.mark.slow
@pytest.mark.parametrize(
    "fits",
    [
        pytest.param(20_000, id="not the vocabulary", marks=pytest.mark.nightly),
        pytest.param(400_000, id="not the weights"),
    ],
)
def test_a_student_that_cannot_be_written_leaves_no_folder(place: Place, fits: int) -> None:
    for stage in WHOLE:
        place.run(stage)
    place.params({"student.scratch.width": 128, "student.scratch.feed_forward": 256})  # weights of a megabyte
    process = start_stage(Order("train 1", place.folder, place.folder / "printed", largest_file=fits))
    process.join(timeout=300)
    printed = (place.folder / "printed").read_text(encoding="utf-8")
    message = r"error: \S+: cannot be written \(.*File too large.*\); free space and run again\n"
    assert process.exitcode == 1 and re.fullmatch(message, printed), printed
    assert not (place.folder / "models").exists() or not files_below(place.folder / "models")
    assert not files_below(place.folder / ".cache")


@pytest.fixture
def small_disk(tmp_path: Path) -> Any:
    """A file system of 64 KiB, where the user may mount one."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tinyllm-test", disk], capture_output=True)
    if mounted.returncode:
        pytest.skip("only root may mount a small file system")
    yield disk
    subprocess.run(["umount", "--lazy", disk], check=True)


def test_a_full_disk_is_named_and_leaves_no_half_file(tmp_path: Path, small_disk: Path) -> None:
    with pytest.MonkeyPatch.context() as monkeypatch:
        place = Place(small_disk, monkeypatch)
        (small_disk / "other").write_bytes(bytes(32 * 1024))
        place.files({"own/train.jsonl": lines(*(question(f"t{n}") for n in range(100)))})
        ended = as_process("download", small_disk)
        monkeypatch.chdir(tmp_path)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr == "error: data/questions/train.jsonl: No space left on device\n"
    assert not files_below(small_disk / "data")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_may_not_be_written_is_named(place: Place) -> None:
    (place.folder / "data").mkdir(mode=0o500)
    assert place.refuse("download") == "error: data/questions: Permission denied"

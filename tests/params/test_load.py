"""Mistakes in params.yaml, each with the one line it is told in."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from pydantic import ValidationError

from tinyllm.params.load import check_values, load_params
from tinyllm.params.schema import alpha, most_rationales
from tinyllm.params.yaml_file import read_yaml

OWN = (Path(__file__).resolve().parents[2] / "params.yaml").read_text(encoding="utf-8")
TEXT = OWN


def block(text: str, key: str) -> tuple[int, int]:
    """First line of a dotted key and the line after its last, from 0: found by indentation alone, without a YAML reader."""
    lines, start, end = text.split("\n"), -1, len(text.split("\n"))
    for depth, name in enumerate(key.split(".")):
        start = next(i for i in range(start + 1, end) if lines[i].startswith("  " * depth + f"{name}:"))
        inside = re.compile("  " * depth + r"(\s|- )|\s*(#.*)?$")
        end = next((i for i in range(start + 1, end) if not inside.match(lines[i])), end)
    return start, end


def put(text: str, key: str, new: str) -> str:
    """Replace a key and all that is below it; `new` is written at the same depth, and "" takes the key out."""
    start, end = block(text, key)
    lines = text.split("\n")
    added = ["  " * key.count(".") + line for line in new.split("\n")] if new else []
    return "\n".join([*lines[:start], *added, *lines[end:]])


EXPERT = """    backend: expert
    kind: signs
    error_rate: 0.1
    decline_rate: 0.2
    blind_error_rate: 0.5
    misleading_rate: 0.0
    padding: 0
    seed: 1"""
TOY = {  # what the messages below speak of, whatever the project's own file says
    "data.dataset": "dataset: casebook",
    "teachers": f"teachers:\n  signs:\n{EXPERT}\n  notes:\n    backend: recorded\n    parameters:",
    "corpus.teachers": "teachers:\n  - signs",
    "loss.teacher_alpha": "teacher_alpha: {}",
    "train.seeds": "seeds:\n  - 1\n  - 2",
    "student.rationale_prefix": "rationale_prefix: 'explain as {teacher}: '",
}
for key, new in TOY.items():
    TEXT = put(TEXT, key, new)


def mistakes(folder: Path, text: str) -> list[str]:
    """What is said of the text, without the file's name."""
    path = folder / "params.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError) as error:
        load_params(path)
    lines = str(error.value).split("\n")
    assert all(line.startswith(f"{path}:") for line in lines)
    return [line.removeprefix(f"{path}:") for line in lines]


BEHIND = "target: rationale_then_answer"
SCORED = {"corpus.option_probabilities": "option_probabilities: true"}
ENDPOINT = """notes:
  backend: server
  url: http://localhost:8000/v1
  model: any
  api: chat
  key_variable:
  context_tokens:
  max_new_tokens: 8
  temperature: 0.0
  samples: 1
  seed:
  price:
    prompt: 0.0
    completion: 0.0
  parameters:"""
NO_SCRATCH = {"student.scratch": "scratch: null"}
PACKED = {
    "student.origin": "origin: local",
    "student.model": "model: models/base",
    "student.gguf_file": "gguf_file: some.gguf",
}


@pytest.mark.parametrize(
    ("changes", "where", "expected"),
    [
        # unknown and missing keys
        ({"loss.answer": "answer: 1.0\nanser: 1.0"}, "loss.anser", "loss.anser: unknown key; did you mean answer?"),
        (
            {"loss.answer": "answer: 1.0\nzzz: 1.0"},
            "loss.zzz",
            "loss.zzz: unknown key; allowed are answer, alpha, teacher_alpha, kd",
        ),
        (
            {"runtime.device": "device: auto\naccelerate_config:"},
            "runtime.accelerate_config",
            "runtime.accelerate_config: was removed; delete it, and set runtime.processes, which torchrun starts",
        ),
        ({"data.hub.path": "path: a\npaht: b"}, "data.hub.paht", "data.hub.paht: unknown key; did you mean path?"),
        (
            {"student.scratch.width": "width: 64\nwitdh: 64"},
            "student.scratch.witdh",
            "student.scratch.witdh: unknown key; did you mean width?",
        ),
        (
            {
                "teachers.notes": ENDPOINT.replace("api: chat", "api: batch").replace(
                    "url: http://localhost:8000/v1", "url: [http://a/v1, http://b/v1]"
                )
            },
            "teachers.notes.url",
            "teachers.notes.url: has 2 addresses, but api batch asks one; give one, or set api to chat",
        ),
        (
            {"teachers.notes": ENDPOINT.replace("url: http://localhost:8000/v1", "url: [http://a/v1, http://a/v1/]")},
            "teachers.notes.url",
            "teachers.notes.url: has http://a/v1 2 times; addresses must differ",
        ),
        (
            {"teachers.notes": ENDPOINT.replace("samples: 1", "samples: 3")},
            "teachers.notes.samples",
            "teachers.notes.samples: is 3, but at temperature 0.0 all are the same; raise that, or set samples to 1",
        ),
        ({"loss.alpha": ""}, "loss", "loss.alpha: is missing; the file must hold every value"),
        ({"score": ""}, None, "score: is missing; the file must hold every value"),
        (
            {"teachers.signs.kind": ""},
            "teachers.signs",
            "teachers.signs.kind: is missing; the file must hold every value",
        ),
        # types: nothing is converted
        ({"train.epochs": "epochs: '40'"}, "train.epochs", "train.epochs: found '40'; allowed is a valid integer"),
        ({"train.epochs": "epochs: 40.0"}, "train.epochs", "train.epochs: found 40.0; allowed is a valid integer"),
        ({"train.epochs": "epochs: true"}, "train.epochs", "train.epochs: found True; allowed is a valid integer"),
        (
            {"data.drop_leaks": "drop_leaks: 1"},
            "data.drop_leaks",
            "data.drop_leaks: found 1; allowed is a valid boolean",
        ),
        ({"data.folder": "folder: null"}, "data.folder", "data.folder: found null; allowed is a valid string"),
        (
            {"train.learning_rate": "learning_rate: '5e-5'"},
            "train.learning_rate",
            "train.learning_rate: found '5e-5'; allowed is a valid number",
        ),
        # ranges
        (
            {"train.epochs": "epochs: -1"},
            "train.epochs",
            "train.epochs: found -1; allowed is greater than or equal to 0",
        ),
        ({"train.dropout": "dropout: 1.0"}, "train.dropout", "train.dropout: found 1.0; allowed is less than 1"),
        ({"loss.alpha": "alpha: -0.5"}, "loss.alpha", "loss.alpha: found -0.5; allowed is greater than or equal to 0"),
        ({"loss.alpha": "alpha: .inf"}, "loss.alpha", "loss.alpha: found inf; allowed is a finite number"),
        ({"loss.kd": "kd: -0.5"}, "loss.kd", "loss.kd: found -0.5; allowed is greater than or equal to 0"),
        *(
            (
                {"corpus.samples": f"samples: {value}"},
                "corpus.samples",
                f"corpus.samples: found {found}; allowed is a whole number from 1 on, or all",
            )
            for value, found in (("0", "0"), ("2.0", "2.0"), ("true", "True"), ("every", "'every'"), ("", "null"))
        ),
        (
            {"train.match": "match: epochs"},
            "train.match",
            "train.match: found 'epochs'; allowed is 'none', 'steps' or 'tokens'",
        ),
        (
            {"train.schedule": "schedule: step"},
            "train.schedule",
            "train.schedule: found 'step'; allowed is 'linear', 'cosine' or 'constant'",
        ),
        (
            {"teachers.signs.error_rate": "error_rate: 1.5"},
            "teachers.signs.error_rate",
            "teachers.signs.error_rate: found 1.5; allowed is less than or equal to 1",
        ),
        (
            {"data.hub.revision": "revision: main"},
            "data.hub.revision",
            "data.hub.revision: found 'main'; allowed is a 40-digit commit, or null",
        ),
        # values that contradict each other
        (
            {"corpus.teachers": "teachers:\n  - sings"},
            "corpus.teachers",
            "corpus.teachers: sings is not in the registry `teachers`; it has signs, notes; did you mean signs?",
        ),
        (
            {"corpus.teachers": "teachers:\n  - signs\n  - signs"},
            "corpus.teachers",
            "corpus.teachers: signs stands 2 times; teachers must differ",
        ),
        (
            {"corpus.teachers": "teachers:\n  - notes"},
            "corpus.teachers",
            "corpus.teachers: notes (backend recorded) has nothing to say on data.dataset casebook; "
            "casebook is read by teachers with backend expert",
        ),
        (
            {"data.dataset": "dataset: obqa"},
            "corpus.teachers",
            "corpus.teachers: signs (backend expert) has nothing to say on data.dataset obqa; "
            "the released sets have -S 'corpus.teachers=[flan_t5_xl,llama2_chat_7b]'",
        ),
        (
            {"loss.teacher_alpha": "teacher_alpha:\n  sings: 1.0"},
            "loss.teacher_alpha.sings",
            "loss.teacher_alpha.sings: is no teacher; the registry has signs, notes",
        ),
        (
            {"loss.kd": "kd: 0.5"},
            "loss.kd",
            "loss.kd: is 0.5, but corpus.option_probabilities is false; set that to true, or loss.kd to 0.0",
        ),
        (
            {"student.target": "target: answer"},
            "student.target",
            "student.target: found 'answer'; allowed is 'multitask', 'rationale_then_answer' or 'answer_then_rationale'",
        ),
        (
            {"student.target": BEHIND, "corpus.teachers": "teachers: []"},
            "student.target",
            "student.target: is rationale_then_answer, but no teacher has a weight above 0; "
            "name one in corpus.teachers and raise loss.alpha, or set it to multitask",
        ),
        (
            {"student.target": BEHIND, "loss.teacher_alpha": "teacher_alpha:\n  signs: 0.0"},
            "student.target",
            "student.target: is rationale_then_answer, but no teacher has a weight above 0; "
            "name one in corpus.teachers and raise loss.alpha, or set it to multitask",
        ),
        (
            {"student.target": BEHIND, "loss.kd": "kd: 0.5", **SCORED},
            "loss.kd",
            "loss.kd: is 0.5, but a student with student.target rationale_then_answer never answers under "
            "student.answer_prefix; set it to 0.0, or student.target to answer_then_rationale",
        ),
        (
            {"corpus.selection": "selection: learnable"},
            "corpus.selection",
            "corpus.selection: is learnable, but student.origin is scratch, and a new student finds all texts alike; "
            "train a hub or local student, or use all",
        ),
        (
            {
                "corpus.selection": "selection: learnable",
                "corpus.samples": "samples: all",
                "student.origin": "origin: hub",
                "student.model": "model: google/flan-t5-small",
            },
            "corpus.samples",
            "corpus.samples: is all, but corpus.selection is learnable, which keeps so many of a teacher's; "
            "give a number, or select all",
        ),
        (
            {"train.match": "match: tokens", "corpus.teachers": "teachers: []"},
            "train.match",
            "train.match: is tokens, but corpus.teachers is empty, so that there is nothing to match; name the teachers of "
            "the run it is compared with and set loss.alpha to 0.0, or set it to none",
        ),
        (
            {"loss.kd": "kd: 0.5", **SCORED, "corpus.teachers": "teachers: []"},
            "loss.kd",
            "loss.kd: is 0.5, but corpus.teachers is empty; name teachers to learn from, or set it to 0.0",
        ),
        (
            {"data.dataset": "dataset: jsonl", "corpus.teachers": "teachers:\n  - notes", **SCORED},
            "corpus.option_probabilities",
            "corpus.option_probabilities: is true, but notes (backend recorded) cannot tell how likely it finds an option; "
            "backends that can: expert, local, server",
        ),
        (
            {"data.dataset": "dataset: svamp", "corpus.teachers": "teachers:\n  - notes"},
            "corpus.teachers",
            "corpus.teachers: notes has no rationales of data.dataset svamp; recorded are gpt4o_1, gpt4o_2, gpt4o_3, gpt4o_4, "
            "gpt4o_5, gpt4o_6, gemini15_flash_1, gemini15_flash_2, gemini15_flash_3, gemini15_flash_4, gemini15_flash_5, "
            "gemini15_flash_6, llama3_70b_1, llama3_70b_2, llama3_70b_3, llama3_70b_4",
        ),
        ({"train.seeds": "seeds: [1, 2, 1]"}, "train.seeds", "train.seeds: 1 stands 2 times; seeds must differ"),
        (
            NO_SCRATCH,
            "student.scratch",
            "student.scratch: is null, but student.origin is scratch; give vocabulary, width, layers, heads, ...",
        ),
        (
            {"student.origin": "origin: hub"},
            "student.model",
            "student.model: is null, but student.origin is hub; give a hub id or a folder",
        ),
        (
            {"student.scratch.width": "width: 65", "student.scratch.heads": "heads: 4"},
            "student.scratch.width",
            "student.scratch.width: 65 is no multiple of heads (4)",
        ),
        (
            {"student.scratch.architecture": "architecture: causal", "student.scratch.width": "width: 12"},
            "student.scratch.width",
            "student.scratch.width: 12 over 4 heads is 3; a Llama's need an even width",
        ),
        (
            {"student.gguf_file": "gguf_file: some.gguf"},
            "student.gguf_file",
            "student.gguf_file: is some.gguf, but student.origin is scratch; leave it empty",
        ),
        (
            {"student.chat": "chat: true"},
            "student.chat",
            "student.chat: is true, but a scratch student has no chat template; set it to false",
        ),
        (
            {"student.tuning": "tuning: prompt"},
            "student.tuning",
            "student.tuning: is prompt, which is saved without its model, and a scratch student's is kept nowhere; "
            "use full or lora",
        ),
        (
            {"student.tuning": "tuning: lora", "student.lora.saved": "saved: adapter"},
            "student.lora.saved",
            "student.lora.saved: is adapter, which is saved without its model, and a scratch student's is kept nowhere; "
            "use merged",
        ),
        (
            {**PACKED, "student.tuning": "tuning: lora", "student.lora.saved": "saved: adapter"},
            "student.lora.saved",
            "student.lora.saved: is adapter, which is saved without its model and cannot name one in a .gguf file; use merged",
        ),
        (
            {**PACKED, "student.tuning": "tuning: prompt"},
            "student.tuning",
            "student.tuning: is prompt, which is saved without its model and cannot name one in a .gguf file; use full or lora",
        ),
        (
            {
                "student.rationale_prefix": "rationale_prefix: 'predict: '",
                "student.answer_prefix": "answer_prefix: 'predict: '",
            },
            "student.rationale_prefix",
            "student.rationale_prefix: equals answer_prefix; every task needs a prefix of its own",
        ),
        (
            {"data.dataset": "dataset: hub", "corpus.teachers": "teachers: []", "data.hub.path": "path: some/set"},
            "data.hub.revision",
            "data.hub.revision: is null; pin the set to a 40-digit commit, so that the data cannot change",
        ),
        (
            {"data.casebook.fillers": "fillers: 900", "data.casebook.filler_pool": "filler_pool: 200"},
            "data.casebook.fillers",
            "data.casebook.fillers: is larger than filler_pool",
        ),
    ],
)
def test_a_mistake_is_told_in_one_line(
    tmp_path: Path, changes: dict[str, str], where: str | None, expected: str
) -> None:
    text = TEXT
    for key, new in changes.items():
        text = put(text, key, new)
    line = block(text, where)[0] + 1 if where else 1
    assert mistakes(tmp_path, text) == [f"{line}: {expected}"]


@pytest.mark.parametrize(
    "changes",
    [
        {"student.tuning": "tuning: lora"},
        {"student.lora.saved": "saved: adapter"},  # which counts for lora alone
        {"student.scratch.architecture": "architecture: causal"},
        {**PACKED, "student.tuning": "tuning: lora", "student.chat": "chat: true"},
        {"student.origin": "origin: hub", "student.model": "model: some/model", "student.tuning": "tuning: prompt"},
        {"train.epochs": "epochs: 0", "loss.alpha": "alpha: 0.0"},
    ],
)
def test_a_student_of_another_kind_is_no_mistake(tmp_path: Path, changes: dict[str, str]) -> None:
    text = TEXT
    for key, new in changes.items():
        text = put(text, key, new)
    (tmp_path / "params.yaml").write_text(text, encoding="utf-8")
    load_params(tmp_path / "params.yaml")


def test_an_unknown_section_is_told_beside_the_one_it_was_meant_to_be(tmp_path: Path) -> None:
    text = TEXT.replace("\ntrain:\n", "\ntrian:\n")
    assert mistakes(tmp_path, text) == [
        "1: train: is missing; the file must hold every value",
        f"{block(text, 'trian')[0] + 1}: trian: unknown key; did you mean train?",
    ]


def test_a_mistake_in_a_list_is_told_with_its_own_line(tmp_path: Path) -> None:
    text = put(TEXT, "train.seeds", "seeds:\n  - 1\n  - x")
    line = block(text, "train.seeds")[0] + 3
    assert mistakes(tmp_path, text) == [f"{line}: train.seeds.1: found 'x'; allowed is a valid integer"]


@pytest.mark.parametrize(
    ("new", "below", "expected"),
    [
        ("alpha: [1.0\nbeta: 2", 1, "not YAML (expected ',' or ']', but got ':')"),
        ("alpha: 1.0\n\tbeta: 2", 1, "not YAML (found character '\\t' that cannot start any token)"),
        ("alpha: 1.0\x07", 0, "not YAML (character 0x07 is not allowed)"),
        (
            "alpha: 1.0\nalpha: 2.0",
            1,
            'not YAML (found duplicate key "alpha" with value "2.0" (original value: "1.0"))',
        ),
        ("alpha: !!python/name:os.system", 0, "not YAML (could not determine a constructor for the tag"),
    ],
)
def test_what_is_no_yaml_is_told_with_its_line(tmp_path: Path, new: str, below: int, expected: str) -> None:
    text = put(TEXT, "loss.alpha", new)
    (found,) = mistakes(tmp_path, text)
    assert found.startswith(f"{block(text, 'loss.alpha')[0] + 1 + below}: {expected}")


def test_several_mistakes_are_told_at_once(tmp_path: Path) -> None:
    text = put(put(put(TEXT, "loss.alpha", "alhpa: 1.0"), "train.epochs", "epochs: -1"), "data.seed", "seed: -1")
    line = {key: block(text, key)[0] + 1 for key in ("data.seed", "loss", "loss.alhpa", "train.epochs")}
    assert mistakes(tmp_path, text) == [
        f"{line['data.seed']}: data.seed: found -1; allowed is greater than or equal to 0",
        f"{line['loss']}: loss.alpha: is missing; the file must hold every value",
        f"{line['loss.alhpa']}: loss.alhpa: unknown key; did you mean alpha?",
        f"{line['train.epochs']}: train.epochs: found -1; allowed is greater than or equal to 0",
    ]


def test_several_contradictions_are_told_at_once(tmp_path: Path) -> None:
    text = put(put(TEXT, "corpus.teachers", "teachers: [gone]"), "train.seeds", "seeds: [3, 3]")
    assert [re.sub(r"^\d+: ", "", line) for line in mistakes(tmp_path, text)] == [
        "corpus.teachers: gone is not in the registry `teachers`; it has signs, notes",
        "train.seeds: 3 stands 2 times; seeds must differ",
    ]


def test_two_teachers_may_not_share_a_prefix(tmp_path: Path) -> None:
    text = put(TEXT, "teachers", f"teachers:\n  signs:\n{EXPERT}\n  care:\n{EXPERT}")
    text = put(text, "corpus.teachers", "teachers: [signs, care]")
    (tmp_path / "good.yaml").write_text(text, encoding="utf-8")
    assert load_params(tmp_path / "good.yaml").corpus.teachers == ("signs", "care")
    text = put(text, "student.rationale_prefix", "rationale_prefix: 'explain: '")
    assert mistakes(tmp_path, text) == [
        f"{block(text, 'student.rationale_prefix')[0] + 1}: student.rationale_prefix: "
        "lacks {teacher}, so that several teachers would share one prefix"
    ]


@pytest.mark.parametrize("name", ["si.gns", "1st", "answer", "a b"])
def test_a_teachers_name_has_to_be_one(tmp_path: Path, name: str) -> None:
    text = put(TEXT, "teachers.notes", f"{name}:\n  backend: recorded\n  parameters:")
    line = text.split("\n").index(f"  {name}:") + 1
    assert mistakes(tmp_path, text) == [
        f"{line}: teachers.{name}: is no name; allowed are letters, digits, _ and -, a letter first; `answer` is taken"
    ]


@pytest.mark.parametrize("text", ["", "- a\n- b\n", "just words"])
def test_a_file_without_sections_is_refused(tmp_path: Path, text: str) -> None:
    assert mistakes(tmp_path, text) == [
        " holds no sections; expected data, prompt, teachers, corpus, student, loss, train, score, runtime"
    ]


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"params\.yaml: no such file; run it in the project's folder$"):
        load_params(tmp_path / "params.yaml")


def test_a_teacher_beside_the_registry_is_shown_its_place() -> None:
    values = read_yaml(Path(__file__).resolve().parents[2] / "params.yaml")
    _, mistakes = check_values(values | {"ann": {"backend": "recorded", "parameters": None}})
    assert mistakes == [(("ann",), "unknown section; a teacher stands under `teachers`, two spaces further in")]


def test_the_projects_own_file_is_without_mistake() -> None:
    load_params(Path(__file__).resolve().parents[2] / "params.yaml")


@pytest.mark.parametrize(
    ("written", "expected"),
    [("5e-5", 5e-05), ("5E-05", 5e-05), ("1e+2", 100.0), ("5.0e-5", 5e-05), (".5", 0.5), ("1", 1.0)],
)
def test_a_number_is_read_however_it_is_written(tmp_path: Path, written: str, expected: float) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(put(TEXT, "train.learning_rate", f"learning_rate: {written}"), encoding="utf-8")
    assert load_params(path).train.learning_rate == expected


def test_a_file_from_before_there_were_targets_means_the_papers(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(put(TEXT, "student.target", ""), encoding="utf-8")
    assert load_params(path).student.target == "multitask"


def test_targets_do_with_what_they_need(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    for target, others in [
        ("rationale_then_answer", {"loss.alpha": "alpha: 0.0", "loss.teacher_alpha": "teacher_alpha:\n  signs: 0.1"}),
        ("answer_then_rationale", {"loss.kd": "kd: 0.5", **SCORED}),
        ("answer_then_rationale", {"corpus.teachers": "teachers: []"}),
    ]:
        text = put(TEXT, "student.target", f"target: {target}")
        for key, new in others.items():
            text = put(text, key, new)
        path.write_text(text, encoding="utf-8")
        assert load_params(path).student.target == target


def test_values_cannot_be_changed_once_read(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(TEXT, encoding="utf-8")
    params = load_params(path)
    for section, name in ((params.train, "epochs"), (params.loss, "alpha"), (params.teachers["signs"], "kind")):
        with pytest.raises(ValidationError, match="frozen"):
            setattr(section, name, 7)
    assert params.train.seeds == (1, 2) and params.corpus.teachers == ("signs",)  # no lists, which could grow


def test_a_teacher_has_its_own_alpha_or_that_of_all(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    text = put(put(TEXT, "loss.alpha", "alpha: 0.5"), "loss.teacher_alpha", "teacher_alpha:\n  signs: 0.0")
    path.write_text(text, encoding="utf-8")
    loss = load_params(path).loss
    assert (alpha(loss, "signs"), alpha(loss, "notes")) == (0.0, 0.5)


def test_a_text_of_the_wrong_form_is_told_the_form_of_its_own_key(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    text = OWN.replace("url: http://localhost", "url: localhost")
    path.write_text(text.replace("key_variable:  ", "key_variable: 1st  #"), encoding="utf-8")
    with pytest.raises(ValueError) as error:
        load_params(path)
    first, second = str(error.value).split("\n")
    assert first.endswith(
        "teachers.endpoint.url: found 'localhost:8000/v1'; allowed is an address that begins with http:// or https://, "
        "or a list of such"
    )
    assert second.endswith(
        "teachers.endpoint.key_variable: found '1st'; allowed is the name of an environment variable (letters, digits, _), "
        "or null"
    )


def test_a_file_from_before_several_rationales_means_what_it_meant(tmp_path: Path) -> None:
    for key in ("corpus.samples", "train.match"):
        older = put(TEXT, key, "")
        (tmp_path / "params.yaml").write_text(older, encoding="utf-8")
        params = load_params(tmp_path / "params.yaml")
        assert (params.corpus.samples, params.train.match) == (1, "none")


def test_how_many_rationales_are_learnt_from(tmp_path: Path) -> None:
    for text, most in (("samples: 1", 1), ("samples: 4", 4), ("samples: all", None)):
        (tmp_path / "params.yaml").write_text(put(TEXT, "corpus.samples", text), encoding="utf-8")
        assert most_rationales(load_params(tmp_path / "params.yaml").corpus) == most


@pytest.mark.parametrize(
    ("value", "names"),
    [
        ("none", ()),
        ("", ()),
        ("[]", ()),
        ("dvclive", ("dvclive",)),
        ("[trackio, tensorboard]", ("trackio", "tensorboard")),
    ],
)
def test_who_is_told_of_a_training_is_none_one_or_a_list(tmp_path: Path, value: str, names: tuple[str, ...]) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(put(TEXT, "runtime.report_to", f"report_to: {value}"), encoding="utf-8")
    runtime = load_params(path).runtime
    assert runtime.report_to == names and runtime.model_dump(mode="json")["report_to"] == [*names]


@pytest.mark.parametrize("value", ["tensorbord", "[none, dvclive]", "[dvclive, dvclive]", "3", "[[dvclive]]", "{a: 1}"])
def test_a_tracker_that_is_not_known_is_told_with_those_that_are(tmp_path: Path, value: str) -> None:
    (told,) = mistakes(tmp_path, put(TEXT, "runtime.report_to", f"report_to: {value}"))
    known = "dvclive, trackio, wandb, mlflow, tensorboard"
    assert "runtime.report_to: found " in told and told.endswith(f"; allowed is none, or different ones of {known}")

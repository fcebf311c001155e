import json
import subprocess
import sys
from pathlib import Path

import datasets
import huggingface_hub.constants
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import ClassLabel, Dataset, Features, List, Value

from tinyllm.datasets.hub import load_hub
from tinyllm.datasets.rows import refuse_bad
from tinyllm.params.schema import Hub

ARC = {
    "question": "question",
    "choices": "choices.text",
    "answer": "answerKey",
    "labels": "choices.label",
    "context": None,
    "id": "id",
}
PLAIN = {"question": "question", "choices": "choices", "answer": "answer", "labels": None, "context": None, "id": None}
COMMIT = "0123456789" * 4


@pytest.fixture(autouse=True)
def _offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")  # for a process of its own; this one has read the variable already
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")


def arc_row(identifier: str, answer: str, labels: str = "ABCD") -> dict:
    texts = ["a stone", "a leaf", "a cup", "a fish"]
    choices = {"text": texts, "label": list(labels)}
    return {"id": identifier, "question": f"Which one swims, {identifier}?", "choices": choices, "answerKey": answer}


def plain_row(question: str, answer: object, choices: object = ("up", "down")) -> dict:
    return {"question": question, "choices": choices, "answer": answer}


def write_json_set(folder: Path, rows: list[dict], names: tuple[str, ...] = ("train", "validation", "test")) -> Path:
    folder.mkdir()
    for name in names:
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return folder


def write_parquet_set(folder: Path, rows: dict[str, list[dict]]) -> Path:
    (folder / "data").mkdir(parents=True)
    for name, of_split in rows.items():
        pq.write_table(pa.Table.from_pylist(of_split), folder / "data" / f"{name}-00000-of-00001.parquet")
    return folder


def hub(path: Path | str, columns: dict, **changes: object) -> Hub:
    splits = {"train": "train", "valid": "validation", "test": "test"}
    settings = {"path": str(path), "name": None, "revision": None, "splits": splits, "columns": columns}
    return Hub.model_validate(settings | changes)


def test_nested_choices_with_labels_are_read_from_parquet(tmp_path: Path) -> None:
    rows = {
        "train": [arc_row("q1", "D"), arc_row("q2", "2", labels="1234")],
        "validation": [arc_row("q1", "A")],
        "test": [arc_row("q3", "C")],
    }
    questions = load_hub(hub(write_parquet_set(tmp_path / "arc", rows), ARC)).splits
    assert [(q.id, q.gold) for q in questions["train"]] == [("train-q1", "a fish"), ("train-q2", "a leaf")]
    assert [(q.id, q.gold) for q in questions["valid"]] == [("valid-q1", "a stone")]
    assert [(q.id, q.gold) for q in questions["test"]] == [("test-q3", "a cup")]
    assert questions["train"][0].question == "Which one swims, q1?"
    assert questions["train"][0].choices == ("a stone", "a leaf", "a cup", "a fish")


@pytest.mark.parametrize(
    ("row", "columns", "gold"),
    [
        pytest.param(plain_row("Where does a stone fall?", 1), {}, "down", id="index"),
        pytest.param(plain_row("Where does a stone fall?", "down"), {}, "down", id="text"),
        pytest.param(plain_row("Where does a stone fall?", "2"), {"labels": "1,2"}, "down", id="labels written out"),
        pytest.param(plain_row("Where does a stone fall?", 2), {"labels": "1,2"}, "down", id="number as a label"),
        pytest.param(
            {
                "q": {"stem": "Up?", "options": [{"text": "yes", "label": "A"}, {"text": "no", "label": "B"}]},
                "key": "B",
            },
            {"question": "q.stem", "choices": "q.options.text", "labels": "q.options.label", "answer": "key"},
            "no",
            id="list of structs",
        ),
        pytest.param(
            {"ctx": "A ball", "ending0": "falls.", "ending1": "sings.", "label": 0},
            {"question": "ctx", "choices": "ending0, ending1", "answer": "label"},
            "falls.",
            id="one column an option",
        ),
        pytest.param(
            {"question.text": "Up?", "choices": ["yes", "no"], "answer": 1},
            {"question": "question.text"},
            "no",
            id="a dot in a column's own name",
        ),
    ],
)
def test_the_gold_option_is_found(tmp_path: Path, row: dict, columns: dict, gold: str) -> None:
    questions = load_hub(hub(write_json_set(tmp_path / "own", [row]), PLAIN | columns)).splits
    assert [(q.id, q.gold) for q in questions["test"]] == [("test-1", gold)]


def test_a_context_may_be_a_list_of_paragraphs_or_missing(tmp_path: Path) -> None:
    rows = [plain_row("Q?", 0) | {"support": support} for support in (["One.", "Two."], None)]
    folder = write_parquet_set(tmp_path / "own", dict.fromkeys(("train", "validation", "test"), rows))
    questions = load_hub(hub(folder, PLAIN | {"context": "support"})).splits
    assert [q.context for q in questions["train"]] == ["One.\nTwo.", ""]


def test_options_are_mixed_where_the_gold_one_has_a_column_of_its_own(tmp_path: Path) -> None:
    rows = [{"q": f"Number {n}?", "right": f"{n}", "wrong1": "minus one", "wrong2": "none"} for n in range(60)]
    columns = PLAIN | {"question": "q", "choices": "right,wrong1,wrong2", "answer": "right"}
    folder = write_json_set(tmp_path / "own", rows)
    train = load_hub(hub(folder, columns)).splits["train"]
    assert [q.gold for q in train] == [f"{n}" for n in range(60)]
    assert {sorted(q.choices)[0] for q in train[:3]} == {"0", "1", "2"}
    assert all(10 <= [q.answer for q in train].count(place) <= 30 for place in range(3))  # 20 expected of each
    assert load_hub(hub(folder, columns)).splits["train"] == train


def test_rows_in_another_order_and_columns_in_another_order_give_the_same_questions_in_the_order_of_the_rows(
    tmp_path: Path,
) -> None:
    rows = [{"id": f"q{n}", "q": f"Number {n}?", "right": f"{n}", "wrong": "none"} for n in range(7)]
    columns = PLAIN | {"question": "q", "choices": "right,wrong", "answer": "right", "id": "id"}
    turned = [dict(reversed(row.items())) for row in rows[::-1]]
    train = load_hub(hub(write_json_set(tmp_path / "one", rows), columns)).splits["train"]
    assert [question.id for question in train] == [f"train-q{n}" for n in range(7)]
    assert load_hub(hub(write_json_set(tmp_path / "other", turned), columns)).splits["train"] == train[::-1]


def test_valid_may_be_a_slice_of_train(tmp_path: Path) -> None:
    rows = [plain_row(f"Number {n}?", 0) for n in range(20)]
    folder = write_json_set(tmp_path / "own", rows, names=("train", "test"))
    splits = {"train": "train[10%:]", "valid": "train[:10%]", "test": "test"}
    questions = load_hub(hub(folder, PLAIN, splits=splits)).splits
    assert [q.question for q in questions["valid"]] == ["Number 0?", "Number 1?"]
    assert [q.id for q in questions["valid"]] == ["valid-1", "valid-2"]
    assert [q.question for q in questions["train"]] == [f"Number {n}?" for n in range(2, 20)]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"columns": ARC | {"choices": "choices.txt"}}, "data.hub.columns.choices: found 'choices.txt'; "),
        ({"columns": ARC | {"context": "fact"}}, "data.hub.columns.context: found 'fact'; "),
        (
            {"columns": ARC | {"labels": "labels"}},
            "columns of split train: id, question, choices.text, choices.label, ",
        ),
        ({"columns": ARC | {"choices": "choices"}}, "data.hub.columns.choices: 'choices' holds other columns; "),
        ({"columns": ARC | {"labels": None}}, "answer 'D' is none of the choices"),
        ({"columns": ARC | {"labels": "A,B"}}, "data.hub.columns.labels must give one each"),
        ({"columns": ARC | {"labels": "1,2,3,4"}}, "answer 'D'; data.hub.columns.answer must hold one of the labels"),
        (
            {"splits": {"train": "train", "valid": "dev", "test": "test"}},
            "data.hub.splits.valid: found 'dev' .* there are train, validation, test",
        ),
        (
            {"splits": {"train": "train[:", "valid": "validation", "test": "test"}},
            r"data.hub.splits.train: found 'train\[",
        ),
        (
            {"splits": {"train": "train[:0]", "valid": "validation", "test": "test"}},
            r"found 'train\[:0\]' .*corresponds to no data",
        ),
        ({"name": "easy"}, "data.hub: cannot load .* name easy, .*'easy' not found.* check these three keys"),
        ({"path": "nowhere/arc"}, "data.hub.revision: found null; data.hub.path nowhere/arc is no folder here"),
        ({"path": "nowhere/arc", "revision": COMMIT}, f"cannot load path nowhere/arc, .* {COMMIT}: Couldn't reach"),
    ],
)
def test_a_mistake_ends_in_one_line_that_names_the_key(tmp_path: Path, changes: dict, message: str) -> None:
    folder = write_json_set(tmp_path / "arc", [arc_row("q1", "D")])
    with pytest.raises(ValueError, match=message) as caught:
        loaded = load_hub(Hub.model_validate(hub(folder, ARC).model_dump() | changes))
        refuse_bad({"train": loaded.splits["train"]}, loaded.bad[:1], stop=True)
    assert "\n" not in str(caught.value)


def test_a_revision_that_can_move_is_refused(tmp_path: Path) -> None:
    settings = hub("nowhere/arc", ARC).model_copy(update={"revision": "main"})
    with pytest.raises(ValueError, match="data.hub.revision: found main; .* needs the 40 digits of a commit"):
        load_hub(settings)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("train.parquet", "no parquet", "cannot load .*Parquet"),
        ("train.jsonl", '{"question": \n', "cannot load .*JSON"),
        ("notes.xyz", "", "cannot load .*No .supported. data files"),
        (
            "folder.py",
            "raise SystemExit('the script of a set was run')",
            "cannot load .*scripts are no longer supported",
        ),
    ],
)
def test_a_folder_that_is_no_set_is_refused(tmp_path: Path, name: str, content: str, message: str) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / name).write_text(content, encoding="utf-8")
    with pytest.raises(ValueError, match=message) as caught:
        load_hub(hub(folder, PLAIN))
    assert "\n" not in str(caught.value)


def test_a_faulty_row_is_kept_apart_and_named(tmp_path: Path) -> None:
    folder = write_json_set(tmp_path / "own", [plain_row("Up?", 0), plain_row("Down?", 2)])
    loaded = load_hub(hub(folder, PLAIN))
    assert [question.question for question in loaded.splits["train"]] == ["Up?"]
    assert [(row.row, row.fault) for row in loaded.bad if "train" in row.file] == [(2, "answer 2, but 2 choices (0-1)")]


def write_labelled(folder: Path, names: list[str], options: list[str], labels: list[int], **columns: list) -> Path:
    """A set in Parquet whose answer is a ClassLabel."""
    count = len(labels)
    for split in ("train", "validation", "test"):
        rows = {
            "question": [f"{split} {row}?" for row in range(count)],
            "choices": [options] * count,
            "answer": labels,
            **columns,
        }
        whole = Dataset.from_dict(rows).cast_column("answer", ClassLabel(names=names))
        (folder / "data").mkdir(parents=True, exist_ok=True)
        whole.to_parquet(folder / f"data/{split}-00000-of-00001.parquet")
    return folder


@pytest.mark.parametrize("free", [False, True])
def test_a_label_is_read_by_its_name(tmp_path: Path, free: bool) -> None:
    folder = write_labelled(tmp_path / "own", ["no", "yes", "maybe"], ["yes", "no", "maybe"], [1, 0, 2])
    columns = {**PLAIN, "choices": None if free else "choices"}
    train = load_hub(hub(folder, columns)).splits["train"]
    assert [question.gold for question in train] == ["yes", "no", "maybe"]


def test_a_label_may_name_an_options_label(tmp_path: Path) -> None:
    folder = write_labelled(tmp_path / "own", ["A", "B"], ["ice", "oak"], [1, 0])
    train = load_hub(hub(folder, {**PLAIN, "labels": "A,B"})).splits["train"]
    assert [question.gold for question in train] == ["oak", "ice"]
    loaded = load_hub(hub(folder, PLAIN))
    with pytest.raises(ValueError) as caught:
        refuse_bad(loaded.splits, loaded.bad, stop=False)
    assert "the answer's label is 'B', of A, B, but the choices are ['ice', 'oak']" in str(caught.value)
    assert "data.hub.columns.labels, such as A,B" in str(caught.value)


def test_labels_in_lists_are_read_by_their_names(tmp_path: Path) -> None:
    options, letters = ClassLabel(names=["oak", "ice", "fern"]), ClassLabel(names=["B", "A"])
    features = Features(
        {
            "question": Value("string"),
            "choices": List(options),
            "labels": List(letters),
            "answer": letters,
            "topic": letters,
        }
    )
    for split in ("train", "validation", "test"):
        columns = {"question": [f"{split}?"], "choices": [[1, 2]], "labels": [[1, 0]], "answer": [0], "topic": [1]}
        (tmp_path / "own/data").mkdir(parents=True, exist_ok=True)
        path = tmp_path / f"own/data/{split}-00000-of-00001.parquet"
        Dataset.from_dict(columns, features=features).to_parquet(path)
    settings = hub(tmp_path / "own", {**PLAIN, "labels": "labels", "context": "topic"})
    (question,) = load_hub(settings).splits["test"]
    assert (question.choices, question.gold, question.context) == (("ice", "fern"), "fern", "A")


def test_a_label_that_is_none_of_the_names_is_a_bad_row(tmp_path: Path) -> None:
    folder = write_labelled(tmp_path / "own", ["no", "yes"], ["yes", "no"], [1, -1])
    loaded = load_hub(hub(folder, PLAIN))
    assert [question.gold for question in loaded.splits["train"]] == ["yes"]
    assert [row.fault for row in loaded.bad] == ["answer -1 is no label; there are no, yes"] * 3


def test_a_column_a_teacher_has_its_rationales(tmp_path: Path) -> None:
    said = ["Ice melts. ", None]
    folder = write_labelled(tmp_path / "own", ["no", "yes"], ["yes", "no"], [1, 0], ann=said)
    loaded = load_hub(hub(folder, {**PLAIN, "rationales": {"ann": "ann"}}))
    assert loaded.recorded == {
        "ann": [
            {"id": "train-1", "rationale": "Ice melts.", "status": "ok"},
            {"id": "train-2", "rationale": None, "status": "missing"},
            {"id": "valid-1", "rationale": "Ice melts.", "status": "ok"},
            {"id": "valid-2", "rationale": None, "status": "missing"},
        ]
    }
    with pytest.raises(ValueError, match=r"data.hub.columns.rationales.ann: found 'bob'; columns of split train"):
        load_hub(hub(folder, {**PLAIN, "rationales": {"ann": "bob"}}))


@pytest.mark.slow
def test_loading_a_set_imports_no_torch(tmp_path: Path) -> None:
    folder = write_json_set(tmp_path / "own", [plain_row("Up?", 0)])
    code = (
        "import sys; from tinyllm.datasets import hub; from tinyllm.params import schema; assert 'datasets' not in sys.modules;"
        f"hub.load_hub(schema.Hub.model_validate({hub(folder, PLAIN).model_dump()!r}));"
        "assert 'datasets' in sys.modules and 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env={"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path)})


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("train.pkl", "cannot load path"),
        ("train.py", "cannot load path"),
        ("train.tar", "its files are read as webdataset; allowed are parquet, json, csv, arrow, text"),
        ("train.h5", "its files are read as hdf5; allowed are parquet, json, csv, arrow, text"),
        ("train.toml", "its files are read as harbor; allowed are parquet, json, csv, arrow, text"),
    ],
)
def test_a_folder_of_scripts_pickles_or_archives_is_refused(tmp_path: Path, name: str, told: str) -> None:
    folder = tmp_path / "set"
    folder.mkdir()
    mark = tmp_path / "ran.txt"
    script = f"open({str(mark)!r}, 'w')"
    for split in ("train", "validation", "test"):
        (folder / name.replace("train", split)).write_text(script, encoding="utf-8")
    if name.endswith(".py"):
        (folder / "set.py").write_text(script, encoding="utf-8")  # by the folder's name, as older versions ran them
    with pytest.raises(ValueError, match=r"^data\.hub: [^\n]*$") as error:
        load_hub(hub(folder, PLAIN))
    assert told in str(error.value) and not mark.exists()

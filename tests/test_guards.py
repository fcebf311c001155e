"""Guards of the project's own rules: what imports what, what dvc.yaml declares, what every file may hold."""

from __future__ import annotations

import ast
import re
import resource
import runpy
import socket
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from tinyllm.params.schema import Params, Train
from tinyllm.params.value_types import Section
from tinyllm.provenance import stage_run

ROOT = Path(__file__).resolve().parents[1]

# Who may import whom: a room is a folder of tinyllm/, or one of the two modules beside them. The ground is open to all.
GROUND = {
    "records": set(),
    "params": {"records"},
    "console": set(),
    "project": {"records", "params"},
}
ARROWS = {
    "casebook": set(),
    "cluster": set(),
    "parsing": set(),
    "models": set(),
    "evaluation": set(),
    "provenance": set(),
    "datasets": {"casebook"},
    "teachers": {"casebook", "cluster", "models", "parsing"},
    "corpus": {"parsing"},
    "student": {"models"},
    "training": {"models", "student"},
    "report": {"evaluation"},
    "experiments": {"cluster", "evaluation", "provenance"},
    "export": {"datasets", "evaluation", "student"},
    "serving": {"models", "student"},
    "scaffold": {"datasets", "provenance"},
}
# Not declared in dvc.yaml, since they hold no result: types and limits of the params (the values themselves are declared, key
# by key), what a person sees of work under way, where files lie, and the record of what was used.
UNDECLARED = {"params", "console", "project", "provenance", "cluster"}
WITHOUT_TORCH = ("casebook", "corpus", "datasets", "evaluation", "parsing", "records", "report")
MOST_FILES, MOST_CODE_DEPS = 16, 8
STAGES = YAML(typ="safe").load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
DATA_STAGES = ("download", "query", "exam", "assemble")


def settings_of(stage: str) -> dict[str, Any]:
    """What dvc.yaml says of a stage, or of each stage of a foreach."""
    return STAGES[stage].get("do", STAGES[stage])


def path_of(module: str) -> str | None:
    """The file of a dotted name, if it is a module of ours."""
    base = module.replace(".", "/")
    return next((path for path in (f"{base}.py", f"{base}/__init__.py") if (ROOT / path).is_file()), None)


@cache
def imports_of(path: str) -> frozenset[str]:
    """The dotted names of our modules that a file imports, inside functions too; a module brings its packages."""
    found = set()
    for node in ast.walk(ast.parse((ROOT / path).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}:{node.lineno}: a relative import, which this guard does not follow"
            found |= {str(node.module), *(f"{node.module}.{alias.name}" for alias in node.names)}
    found |= {package for name in found if (package := name.rpartition(".")[0])}
    return frozenset(name for name in found if path_of(name))


def modules() -> list[str]:
    return [path.relative_to(ROOT).as_posix() for path in sorted((ROOT / "tinyllm").rglob("*.py"))]


def room_of(path: str) -> str:
    """`tinyllm/corpus/audit.py` lies in `corpus`, `tinyllm/console.py` is a room of its own."""
    return path.removeprefix("tinyllm/").partition("/")[0].removesuffix(".py")


def rooms_imported(path: str) -> set[str]:
    """The rooms that a file's imports name, its own left out."""
    found = {found for name in imports_of(path) if (found := path_of(name)) and found != "tinyllm/__init__.py"}
    return {room_of(imported) for imported in found if imported.startswith("tinyllm/")} - {room_of(path)}


def allowed(room: str) -> set[str]:
    return GROUND[room] if room in GROUND else ARROWS[room] | set(GROUND)


@pytest.mark.parametrize("path", [path for path in modules() if path != "tinyllm/__init__.py"])
def test_imports_follow_the_arrows(path: str) -> None:
    assert not [name for name in imports_of(path) if not name.startswith("tinyllm")], "the package stands on its own"
    if room_of(path) not in ("cli", "__main__"):  # the second is how Python starts the first
        strangers = rooms_imported(path) - allowed(room_of(path))
        assert not strangers, f"{path}: imports {', '.join(strangers)}; {room_of(path)} may not, see ARROWS"


def test_an_import_against_the_arrows_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, text in {
        "tinyllm/corpus/audit.py": "def late() -> None:\n    from tinyllm.teachers.open import open_teacher\n",
        "tinyllm/teachers/open.py": "",
        "tinyllm/teachers/__init__.py": "",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    monkeypatch.setattr(f"{__name__}.ROOT", tmp_path)
    imports_of.cache_clear()
    assert rooms_imported("tinyllm/corpus/audit.py") - allowed("corpus") == {"teachers"}
    imports_of.cache_clear()


def test_every_room_says_what_it_may_import() -> None:
    for room in [*ARROWS, "records", "params"]:
        doc = ast.get_docstring(ast.parse((ROOT / f"tinyllm/{room}/__init__.py").read_text(encoding="utf-8")))
        told = re.search(r"^May import: (.*)\.$", doc or "", re.MULTILINE)
        assert told, f"tinyllm/{room}/__init__.py: says not what it may import"
        assert set(re.findall(r"[a-z]+", told[1])) - {"and", "nothing"} == allowed(room), room


@pytest.mark.parametrize("room", WITHOUT_TORCH)
def test_a_room_of_data_reaches_no_torch(room: str) -> None:
    for path in [path for path in modules() if path.startswith(f"tinyllm/{room}/")]:
        for reached in closure(path):
            imported = re.findall(
                r"^\s*(?:from|import) (torch|transformers)\b", (ROOT / reached).read_text(), re.MULTILINE
            )
            assert not imported, f"{path}: reaches {imported[0]} by {reached}"


def test_no_folder_is_overfull() -> None:
    for folder in {(ROOT / path).parent for path in modules()}:
        assert len([path for path in folder.iterdir() if path.is_file()]) <= MOST_FILES, folder


def test_no_module_imports_itself_by_way_of_others() -> None:
    for path in modules():
        if not path.endswith("/__init__.py"):  # a face names its modules, and each of them brings the face
            direct = {p for name in imports_of(path) if (p := path_of(name)) and not p.endswith("/__init__.py")}
            reached = set().union(*(closure(other, faces=False) for other in direct))
            assert path not in reached, f"{path}: imports itself"


def test_only_stages_commands_and_experiments_read_params() -> None:
    readers = {path for path in modules() if "tinyllm.params.load" in imports_of(path)}
    assert {room_of(path) for path in readers} == {
        "cli",
        "experiments",
        "params",
        "provenance",
        "scaffold",
    }  # a table is many a params.yaml, and a new project gets one


def closure(path: str, left_out: frozenset[str] = frozenset(), faces: bool = True) -> set[str]:
    """The files of ours that a file brings in, itself included.

    Args:
        left_out: rooms that bring in nothing
        faces: whether a module brings its package's `__init__.py`
    """
    reached, waiting = set(), [path]
    while waiting:
        current = waiting.pop()
        if current not in reached and room_of(current) not in left_out:
            reached.add(current)
            found = {found for name in imports_of(current) if (found := path_of(name))}
            waiting += [other for other in found if faces or not other.endswith("/__init__.py")]
    return reached


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_declares_the_rooms_that_it_reaches(stage: str) -> None:
    reached = closure(f"stages/{stage}.py", frozenset(UNDECLARED)) - {"stages/__init__.py", "tinyllm/__init__.py"}
    used = {path if path.startswith("stages/") else f"tinyllm/{room_of(path)}" for path in reached}
    declared = [dep for dep in settings_of(stage)["deps"] if dep.startswith(("tinyllm/", "stages/"))]
    assert set(declared) == used
    assert len(declared) <= MOST_CODE_DEPS


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_imports_faces_alone(stage: str) -> None:
    tree = ast.parse((ROOT / f"stages/{stage}.py").read_text(encoding="utf-8"))
    found = [str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    assert not [name for name in found if name.count(".") > 1 and name.startswith("tinyllm.")]


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_has_its_script_and_nothing_of_runtime(stage: str) -> None:
    asked = settings_of(stage)
    argument = " ${item}" if "foreach" in STAGES[stage] else ""
    assert asked["cmd"] == f"python -m stages.{stage}{argument}"
    assert not [key for key in asked["params"] if key.split(".")[0] == "runtime"]


def test_train_depends_on_all_of_its_section_but_the_seeds() -> None:
    listed = {key.removeprefix("train.") for key in settings_of("train")["params"] if key.startswith("train.")}
    assert listed == set(Train.model_fields) - {"seeds"}  # another seed in the list must not train the first again


class Watch:
    """Notes which values of the params are read once they are loaded and checked."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.paths: dict[int, str] = {}
        self.read: set[str] = set()
        read = stage_run.read_params
        watch = self

        def read_and_note() -> tuple[Params, dict[str, Any]]:
            params, values = read()
            watch.paths.clear()
            watch._name(params, "")
            watch.read.clear()  # of the checks across sections
            return params, values

        def note(section: Section, name: str) -> Any:
            value = object.__getattribute__(section, name)
            if id(section) in watch.paths and name in type(section).model_fields and not _has_sections(value):
                watch.read.add(f"{watch.paths[id(section)]}{name}")
            return value

        monkeypatch.setattr(stage_run, "read_params", read_and_note)
        monkeypatch.setattr(Section, "__getattribute__", note, raising=False)

    def _name(self, section: Section, prefix: str) -> None:
        self.paths[id(section)] = prefix
        for name, value in section:
            parts = value.items() if isinstance(value, dict) else [(None, value)]
            for key, part in parts:
                if isinstance(part, Section):
                    self._name(part, f"{prefix}{name}.{key}." if key else f"{prefix}{name}.")


def _has_sections(value: Any) -> bool:
    return isinstance(value, Section) or (
        isinstance(value, dict) and any(isinstance(part, Section) for part in value.values())
    )


SMALL = {
    "data": {"dataset": "casebook", "take": {"train": 8, "valid": 4, "test": 4}},
    "corpus": {"teachers": ["signs"], "max_quarantined": 1.0},
    "student": {
        "origin": "scratch",
        "scratch": {
            "architecture": "seq2seq",
            "vocabulary": 150,
            "width": 16,
            "layers": 1,
            "heads": 2,
            "feed_forward": 32,
            "embedding_scale": 1.0,
        },
    },
    "train": {"seeds": [1], "epochs": 1, "eval_every": 1},
    "score": {"max_new_tokens": 2},
    "runtime": {"device": "cpu"},
}


def test_a_stage_lists_the_params_it_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    values = YAML(typ="safe").load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    for section, changes in SMALL.items():
        values[section] |= changes
    with open(tmp_path / "params.yaml", "w", encoding="utf-8") as file:
        YAML().dump(values, file)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    watch = Watch(monkeypatch)
    for stage, item in (
        ("download", ""),
        ("query", "signs"),
        ("exam", "signs"),
        ("assemble", ""),
        ("train", "1"),
        ("score", ""),
    ):
        monkeypatch.setattr(sys, "argv", [f"{stage}.py", *item.split()])
        runpy.run_path(str(ROOT / f"stages/{stage}.py"), run_name="__main__")
        listed = [key.replace("${item}", item) for key in settings_of(stage)["params"]]
        exempt = ["runtime", "train.seeds"] if stage == "train" else ["runtime"]  # the seed itself is in the command
        unlisted = [
            key for key in watch.read if not any(f"{key}.".startswith(f"{known}.") for known in listed + exempt)
        ]
        assert watch.read and not unlisted, stage


def test_no_module_needs_ray_to_be_imported() -> None:
    """It is an extra: whoever asks for a cluster imports it, in a function."""
    for path in [*(ROOT / "tinyllm").rglob("*.py"), *(ROOT / "stages").rglob("*.py")]:
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not [name for name in names if name.split(".")[0] == "ray"], path


def test_readme_has_every_stage() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    table = re.search(r"^\|\s*[Ss]tage\s*\|.*\n\|[-| :]+\|\n((?:\|.*\n)+)", text, re.MULTILINE)
    assert table, "README.md: no table whose first column is headed `stage`"
    rows = [re.match(r"\|\s*`([^`]+)`\s*\|", line) for line in table[1].splitlines()]
    assert [row[1] if row else None for row in rows] == [_shown(stage) for stage in STAGES]


def _shown(stage: str) -> str:
    """`train` over `${train.seeds}` is `train@SEED`."""
    over = STAGES[stage].get("foreach")
    return f"{stage}@{over.strip('${}').split('.')[-1].removesuffix('s').upper()}" if over else stage


HEAVY = ("torch", "transformers", "datasets", "sklearn", "scipy", "pandas", "ray")
RUN_WHOLE = f"""
import runpy, sys
sys.argv = sys.argv[1:]
runpy.run_module(sys.argv[0], run_name="__main__")
print("heavy:", [name for name in {HEAVY} if name in sys.modules])
"""


def python(*arguments: str, folder: Path = ROOT) -> str:
    return subprocess.run([sys.executable, *arguments], cwd=folder, capture_output=True, text=True, check=True).stdout


def test_data_stages_run_without_torch(tmp_path: Path) -> None:
    for name in ("stages", "tinyllm", "params.yaml", "dvc.yaml"):
        (tmp_path / name).symlink_to(ROOT / name)
    for stage, *arguments in (["download"], ["query", "signs"], ["query", "care"], ["assemble"]):
        out = python("-c", RUN_WHOLE, f"stages.{stage}", *arguments, folder=tmp_path)
        allowed_here = ["pandas"] if stage == "assemble" else []  # pyarrow loads it to write rows
        assert out.endswith(f"heavy: {allowed_here}\n"), out


@pytest.mark.parametrize("stage", DATA_STAGES)
def test_a_data_stage_starts_in_under_a_second(stage: str) -> None:
    seconds = []
    while not seconds or (min(seconds) >= 1.0 and len(seconds) < 4):  # others slow the processor, too: the best counts
        before = processor_seconds()
        assert f"python -m stages.{stage}" in python("-m", f"stages.{stage}", "--help")
        seconds.append(processor_seconds() - before)
    assert min(seconds) < 1.0


def processor_seconds() -> float:
    """Of all processes that this one has waited for; unlike the clock's, they hardly tell of what else the machine is doing."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def committed() -> list[Path]:
    """The files that are committed or would be."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("no git repository")
    return [path for name in sorted(set(listed.stdout.split("\0"))) if (path := ROOT / name).is_file()]


def test_no_file_tells_where_it_was_written() -> None:
    folders = {Path(sys.prefix), Path.home(), ROOT.parent}
    # a folder right below the root, such as a clone's in /tmp, is told by what follows it
    here = {str(folder) for folder in folders if len(folder.parts) > 2} | {socket.gethostname()} - {"localhost"}
    anywhere = re.compile(r"(?<![\w.:/-])/(?:work|tmp|root|home|Users|mnt|private)/\w")
    names = re.compile("|".join(rf"(?<![\w.-]){re.escape(name)}(?![\w-])" for name in here))
    for path in committed():
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
            told = anywhere.search(line) or names.search(line)
            assert not told, f"{path.relative_to(ROOT)}:{number}: {told[0]}"


def test_every_value_in_params_is_explained() -> None:
    above: list[tuple[int, bool]] = []  # indentation of each enclosing key, and whether it is explained
    unexplained, previous = [], ""
    for number, line in enumerate((ROOT / "params.yaml").read_text(encoding="utf-8").splitlines(), start=1):
        key = re.match(r"( *)([\w-]+):\s*([^#]*)", line)
        if key:
            above = [(depth, told) for depth, told in above if depth < len(key[1])]
            told = "#" in line or previous.lstrip().startswith("#") or any(told for _, told in above)
            if key[3].strip() and not told:
                unexplained.append(f"params.yaml:{number}: {key[2]}")
            above.append((len(key[1]), told))
        previous = line
    assert not unexplained


@pytest.mark.parametrize(
    ("key", "value"),
    [
        (None, None),
        ("loss.alpha", 0.123),
        ("corpus.teachers", []),
        ("corpus.teachers", ["flan_t5_xl", "llama2_chat_7b"]),
        ("train.seeds", [7]),
        ("loss.teacher_alpha", {"signs": 0.25}),
        ("data.take.train", 64),
        ("student.scratch", None),
    ],
)
def test_an_override_changes_its_own_lines_and_no_other(tmp_path: Path, key: str | None, value: object) -> None:
    """`dvc exp run -S` writes params.yaml anew; in another layout that moves values to where they are not meant."""
    from dvc.utils.serialize import modify_yaml

    old = (ROOT / "params.yaml").read_text(encoding="utf-8")
    path = tmp_path / "params.yaml"
    path.write_text(old, encoding="utf-8")
    with modify_yaml(path) as values:
        expected = YAML(typ="safe").load(old)
        if key:
            *sections, last = key.split(".")
            for tree in (values, expected):
                for section in sections:
                    tree = tree[section]
                tree[last] = value
    new = path.read_text(encoding="utf-8")
    assert YAML(typ="safe").load(new) == expected
    if key in (None, "loss.alpha"):
        changed = [pair for pair in zip(old.splitlines(), new.splitlines(), strict=True) if pair[0] != pair[1]]
        assert len(changed) == (1 if key else 0)

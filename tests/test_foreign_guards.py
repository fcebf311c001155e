"""Guards of what comes from elsewhere: every load says that no code runs, every process is started without our stdin."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SOURCES = sorted(path for folder in ("tinyllm", "stages") for path in (ROOT / folder).rglob("*.py"))
STARTS = ("run", "Popen", "call", "check_call", "check_output", "getoutput", "getstatusoutput", "system", "popen")
UNSAFE = {  # calls that run what they read, or wait for a person
    "input",
    "eval",
    "exec",
    "pickle.load",
    "pickle.loads",
    "pickle.Unpickler",
    "torch.load",
    "numpy.load",
    "np.load",
    "joblib.load",
    "yaml.load",
    "getpass.getpass",
    "pandas.read_pickle",
}


def faults(text: str) -> list[str]:
    """What the rules find in a source, as `line: call`."""
    found = []
    for call in calls(text):
        name, given = ast.unparse(call.func), {keyword.arg for keyword in call.keywords}
        last = name.rpartition(".")[2]
        if last in ("from_pretrained", "from_config") and "trust_remote_code" not in given and not needs_none(name):
            found.append(f"{call.lineno}: {name} without trust_remote_code")
        if (
            last in STARTS
            and name.partition(".")[0] in ("subprocess", "os", "asyncio")
            and not given & {"stdin", "input"}
        ):
            found.append(f"{call.lineno}: {name} without stdin")
        if last == "from_pretrained" and any(
            keyword.arg == "trust_remote_code" and getattr(keyword.value, "value", None) is True
            for keyword in call.keywords
        ):
            found.append(f"{call.lineno}: {name} trusts for good")
        if name in UNSAFE or (
            last == "YAML" and any(getattr(k.value, "value", None) == "unsafe" for k in call.keywords)
        ):
            found.append(f"{call.lineno}: {name} runs what it reads")
    return found


def needs_none(name: str) -> bool:
    """peft reads an adapter of a kind that was checked before, T5Tokenizer a vocabulary that was just written."""
    return name in ("PeftModel.from_pretrained", "T5Tokenizer.from_pretrained")


def calls(text: str) -> Iterator[ast.Call]:
    return (node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Call))


def test_no_source_runs_what_is_foreign_or_lends_its_stdin() -> None:
    found = {path.relative_to(ROOT).as_posix(): faults(path.read_text(encoding="utf-8")) for path in SOURCES}
    assert len(found) > 100 and {name: lines for name, lines in found.items() if lines} == {}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("AutoConfig.from_pretrained(a)", ["1: AutoConfig.from_pretrained without trust_remote_code"]),
        (
            "x.GenerationConfig.from_pretrained(a, **b)",
            ["1: x.GenerationConfig.from_pretrained without trust_remote_code"],
        ),
        ("A.from_pretrained(a, trust_remote_code=True)", ["1: A.from_pretrained trusts for good"]),
        ("A.from_pretrained(a, trust_remote_code=source.trusted)", []),
        ("subprocess.run([a])", ["1: subprocess.run without stdin"]),
        ("subprocess.run([a], stdin=subprocess.DEVNULL)", []),
        ("os.system(a)", ["1: os.system without stdin"]),
        ("torch.load(a)", ["1: torch.load runs what it reads"]),
        ("YAML(typ='unsafe')", ["1: YAML runs what it reads"]),
    ],
)
def test_the_guard_finds_what_it_is_for(text: str, expected: list[str]) -> None:
    assert faults(text) == expected


def test_only_the_origin_of_a_student_and_a_named_teacher_can_be_trusted() -> None:
    found = {
        path.relative_to(ROOT).as_posix()
        for path in SOURCES
        if ".trust_remote_code" in path.read_text(encoding="utf-8")
    }
    assert found == {"tinyllm/models/checkpoint.py", "tinyllm/models/source.py", "tinyllm/teachers/local/checkpoint.py"}

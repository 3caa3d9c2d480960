"""A worker that fails where a trial of its batch has seed 5: out of memory in a batch, killed or fine when alone."""

from __future__ import annotations

import os
import signal
import sys
from multiprocessing.connection import Connection
from typing import Any

from assay.workers.messages import attend
from assay.workers.worker import Worker


class Failing(Worker):
    """Raises or dies before it trains a batch with the seed."""

    def _train(self, head: dict[str, Any], *rest: Any) -> None:
        seeds = [trial["recipe"]["seed"] for job in head["jobs"] for trial in job]
        if 5 in seeds and os.environ["FAILING"] == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        if 5 in seeds and (len(seeds) > 1 or os.environ["FAILING"] == "always"):
            raise MemoryError("out of memory")
        super()._train(head, *rest)


if __name__ == "__main__":
    worker = Failing(Connection(int(sys.argv[1])))
    attend(worker.connection, worker.take, worker.serve)

"""Results per second that a store takes, without trainings: `python -m tests.hard.speed`, in a folder on the disk."""

import os
import tempfile
import time
from pathlib import Path

from assay.store.store import Store
from tests.store.makers import made_end, made_plan

_TRIALS = 150


def main() -> None:
    """Prints the results per second, without weights and with weights of 20 KB."""
    for size in (0, 20_000):
        with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder:
            store, plan = Store(f"{folder}/store.db"), made_plan(_TRIALS)
            store.register(plan)
            contents = {key: os.urandom(size) if size else None for key in plan.trials}
            ends = {key: made_end(trial, content=contents[key]) for key, trial in plan.trials.items()}
            begin = time.perf_counter()
            while claimed := store.leases.claim(plan.jobs):
                trial = claimed[1].trials[0]
                store.finish(claimed[0], trial, ends[trial.key])
                store.leases.release(claimed[0])
            print(f"weights of {size} bytes: {_TRIALS / (time.perf_counter() - begin):.0f} results per second")
            store.close()


if __name__ == "__main__":
    main()

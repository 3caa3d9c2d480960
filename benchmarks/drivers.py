"""Many drivers on one store: `python -m benchmarks.drivers postgresql+psycopg://... --drivers 4 16 --trials 2000`.

Each driver is a process that claims one trial, sleeps for as long as the trial would take, and stores its result, until
none is left. Measured are the claims of all drivers a second, the time of a claim and of a commit of a result, and
whether every trial has exactly one result. Without a URL, a server is started on loopback (Debian: postgresql).
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from contextlib import ExitStack
from typing import Any

import numpy as np
import sqlalchemy as sa

from assay.store.endings import Ending
from assay.store.records import Finished
from assay.store.schema import result
from assay.store.store import Store
from assay.studies.plan import Plan, plan
from assay.studies.study import Study
from assay.system.machine import describe
from assay.training.outcome import Outcome
from benchmarks.synthetic import NAME, history_of


def planned(trials: int) -> Plan:
    """A study of so many trials, which differ in their seed."""
    settings = {"design": "one-at-a-time", "engine": "numpy", "timing": "packed", "keep": "nothing"}
    baseline = {"data": "digits", "budget": {"iterations": 500}}
    return plan(Study.parse({"name": NAME, **settings, "repeats": trials, "baseline": baseline}))


def drive(url: str, trials: int, sleep: float, begin: float) -> dict[str, Any]:
    """Trains as one driver; returns how many trials it ended, the seconds of its claims and of its commits."""
    store, made = Store(url), planned(trials)
    draw, machine = np.random.default_rng(os.getpid()), describe()
    waiting = {job.trajectory: job for job in made.jobs}
    claims: list[float] = []
    commits: list[float] = []
    ended = 0
    time.sleep(max(0.0, begin - time.time()))
    while waiting:
        start = time.perf_counter()
        claimed, done = store.leases.claim_batch(list(waiting.values()), lambda _: (1, None))
        claims.append(time.perf_counter() - start)
        for key in done:
            waiting.pop(made.trials[key].trajectory, None)
        if not claimed:
            break
        (held,) = claimed
        waiting.pop(held.lease.trajectory, None)
        time.sleep(sleep)
        (trial,) = held.job.trials
        history = history_of(trial, np.arange(0, 501, 25), Outcome.COMPLETED, draw, machine)
        start = time.perf_counter()
        end = Ending(held.lease, trial, Finished(history.outcome, history.reason, history))
        ended += store.finish_all([end], release=[held.lease]) == [True]
        commits.append(time.perf_counter() - start)
    return {"ended": ended, "claims": claims, "commits": commits}


def measure(url: str, drivers: int, trials: int, sleep: float) -> dict[str, Any]:
    """So many drivers at once; their sums and percentiles."""
    store = Store(url)
    store.register(planned(trials))
    begin = time.time() + 3.0 + 0.7 * drivers  # when all have started
    words = [sys.executable, "-m", "benchmarks.drivers", url, "--trials", str(trials), "--sleep", str(sleep)]
    words += ["--begin", str(begin)]
    processes = [subprocess.Popen(words, stdout=subprocess.PIPE, text=True) for _ in range(drivers)]
    told = [json.loads(process.communicate()[0]) for process in processes]
    seconds = time.time() - begin
    with store.database.read() as connection:
        stored = int(connection.execute(sa.select(sa.func.count()).select_from(result)).scalar_one())
    store.close()
    claims = np.array([second for one in told for second in one["claims"]])
    commits = np.array([second for one in told for second in one["commits"]])
    return {
        "drivers": drivers,
        "trials": trials,
        "stored": stored,
        "ended": sum(one["ended"] for one in told),
        "seconds": seconds,
        "claims_per_second": trials / seconds,
        **{f"claim_p{p}_ms": 1000 * float(np.percentile(claims, p)) for p in (50, 99)},
        **{f"commit_p{p}_ms": 1000 * float(np.percentile(commits, p)) for p in (50, 99)},
    }


def main() -> None:
    """Measures each number of drivers on an empty database."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url", nargs="?")
    parser.add_argument("--drivers", type=int, nargs="+", default=[1, 4, 16])
    parser.add_argument("--trials", type=int, default=2000)
    parser.add_argument("--sleep", type=float, default=0.01, help="seconds of a trial")
    parser.add_argument("--begin", type=float, help=argparse.SUPPRESS)  # of one driver
    arguments = parser.parse_args()
    if arguments.begin is not None:
        print(json.dumps(drive(arguments.url, arguments.trials, arguments.sleep, arguments.begin)))
        return
    for drivers in arguments.drivers:
        with ExitStack() as stack:
            url = arguments.url
            if url is None:
                from tests.store.servers import postgres

                url = stack.enter_context(postgres(fsync=True))
            load = os.getloadavg()[0]
            row = measure(url, drivers, arguments.trials, arguments.sleep) | {"load_before": load}
            print(json.dumps({name: round(value, 2) for name, value in row.items()}))


if __name__ == "__main__":
    main()

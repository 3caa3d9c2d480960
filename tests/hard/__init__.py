"""Hard use: fault injectors that are run many times, each run with a seed; not collected by pytest as a whole.

`CASES` is the table of injectors: a name and the module whose `run(seed, cases)` makes that many cases and returns
its counts as a dictionary of integers. `cases` (made) and `failures` (promises broken) are always among them.
"""

CASES: dict[str, str] = {
    "kills": "tests.hard.kills",
    "writers": "tests.hard.writers",
    "commands": "tests.hard.commands",
    "checkpoints": "tests.hard.checkpoints",
    "power-cuts": "tests.hard.power_cuts",
    "opens": "tests.hard.opens",
    "two-drivers": "tests.hard.two_drivers",
}

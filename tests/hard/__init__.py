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
    "ray": "tests.hard.ray_faults",
    "fuzz-bundles": "tests.hard.fuzz_bundles",
    "fuzz-exports": "tests.hard.fuzz_exports",
    "fuzz-idx": "tests.hard.fuzz_idx",
    "fuzz-logs": "tests.hard.fuzz_logs",
    "fuzz-npz": "tests.hard.fuzz_npz",
    "fuzz-pictures": "tests.hard.fuzz_pictures",
    "fuzz-safetensors": "tests.hard.fuzz_safetensors",
    "fuzz-set": "tests.hard.fuzz_set",
    "fuzz-stores": "tests.hard.fuzz_stores",
    "fuzz-state-dicts": "tests.hard.fuzz_state_dicts",
    "fuzz-tables": "tests.hard.fuzz_tables",
    "fuzz-claims": "tests.hard.fuzz_claims",
    "fuzz-studies": "tests.hard.fuzz_studies",
}

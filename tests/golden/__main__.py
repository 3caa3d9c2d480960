"""Writes the golden files from the code as it is."""

from __future__ import annotations

import json

from tests.golden.test_golden import FOLDER
from tests.golden.values import VALUES

for name, values in VALUES.items():
    (FOLDER / f"{name}.json").write_text(json.dumps(values(), indent=1) + "\n")

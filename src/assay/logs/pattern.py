"""Lines of any format, read by the user's regular expressions with named groups."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import cast

from assay.errors import AssayError, unknown
from assay.logs.columns import meaning
from assay.logs.lines import lines_of, plain_numbers
from assay.logs.log import QUANTITIES, STEPS, TARGETS, Options, Reading
from assay.logs.tables import Line, read_rows
from assay.report.text import counted
from assay.system.limits import LOG_LINE_CHARACTERS, LOG_PATTERN_CHARACTERS, LOG_PATTERN_SECONDS

MOST_CHARACTERS = LOG_LINE_CHARACTERS.most
"""The length limit of a line; a longer one is ignored."""
MOST_PATTERN = LOG_PATTERN_CHARACTERS.most
SECONDS = float(LOG_PATTERN_SECONDS.most)
"""The time limit of matching: an expression with nested repetitions may take longer than any log is worth."""
_EXAMPLE = r"--pattern 'epoch (?P<epoch>\d+): loss (?P<train_loss>\S+)'"


def looks_pattern(content: bytes) -> int:
    """0: which lines a pattern is for, only the user knows."""
    return 0


def read_pattern(content: bytes, options: Options) -> Reading:
    """Reads the lines that match a pattern; a line without a step belongs to the step before. Raises: AssayError."""
    if not options.patterns:
        raise AssayError(f"the format pattern needs a regular expression, such as {_EXAMPLE}")
    groups = _checked(options.patterns)
    texts = lines_of(content)
    reading = Reading(lines=len(texts))
    plain = [plain_numbers(text) if len(text) <= MOST_CHARACTERS else "" for text in texts]
    if long := sum(len(text) > MOST_CHARACTERS for text in texts):
        reading.notes.append(f"{counted(long, 'line')} of more than {MOST_CHARACTERS:,} characters: ignored")
    lines: list[Line] = []
    step: dict[str, str] = {}
    inherited = 0
    for number, (text, cells) in enumerate(zip(texts, _matches(options.patterns, plain), strict=True), 1):
        if cells is None:
            reading.ignored += 1
            continue
        own = {name: value for name, value in cells.items() if _target(name) in STEPS}
        inherited += not own and bool(step)
        step = own or step
        lines.append(Line(number, text, step | cells))
    if not lines:
        first = next((text for text in texts if text.strip()), "")
        raise AssayError(f"no line matches --pattern; the first line is {first[:80]!r}")
    if inherited:
        reading.notes.append(f"{counted(inherited, 'line')} without a step: counted to the step before")
    read_rows(reading, groups, lines, options, comma=False, source="a log")
    return reading


def _target(name: str) -> str:
    known = meaning(name)
    return known[0] if known else ""


def _checked(patterns: Sequence[str]) -> list[str]:
    """The names of the groups. Raises: AssayError for an expression that cannot be read, and for an unknown name."""
    names: list[str] = []
    for text in patterns:
        if len(text) > MOST_PATTERN:
            raise AssayError(f"--pattern has {len(text):,} characters; expected at most {MOST_PATTERN:,}")
        try:
            expression = re.compile(text)
        except (re.error, OverflowError, RecursionError) as error:
            raise AssayError(f"--pattern {text!r} is not a regular expression: {error}") from None
        names += expression.groupindex
    names = list(dict.fromkeys(names))
    if wrong := [name for name in names if not _target(name)]:
        raise AssayError("; ".join(f"--pattern: {unknown('group', name, TARGETS)}" for name in wrong))
    targets = {_target(name) for name in names}
    if not targets & set(STEPS) or not targets & set(QUANTITIES):
        raise AssayError(f"--pattern: expected a named group for a step and one for a quantity, such as {_EXAMPLE}")
    return names


def _matches(patterns: Sequence[str], lines: Sequence[str]) -> list[dict[str, str] | None]:
    """The groups of the first pattern that matches each line. Raises: AssayError where that takes too long."""
    command = [sys.executable, "-I", "-S", str(Path(__file__).with_name("pattern_worker.py"))]
    asked = json.dumps({"patterns": list(patterns), "lines": list(lines)})
    try:
        done = subprocess.run(command, input=asked, capture_output=True, timeout=SECONDS, encoding="ascii", check=False)
    except subprocess.TimeoutExpired:
        raise AssayError(
            f"--pattern takes more than {SECONDS:g} s to match; simplify it: a repetition within a repetition, "
            "such as (a+)+, may never end"
        ) from None
    except OSError as error:
        raise AssayError(f"--pattern: Python cannot be started to match it: {error.strerror or error}") from None
    if done.returncode:
        raise AssayError(f"--pattern cannot be matched: {done.stderr.strip().splitlines()[-1:] or 'no reason given'}")
    return cast("list[dict[str, str] | None]", json.loads(done.stdout))

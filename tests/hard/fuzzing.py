"""Runs the cases of a fuzzer in forked, warmed processes, each within limits of memory and of processor time.

A case ends "taken" or "refused" (an AssayError, or exit code 2 of a command). Anything else is a failure: another
exception, exit code 70, a killed process, more than 1 GiB above the memory at its start, or 10 s of processor time.
"""

from __future__ import annotations

import gc
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import traceback
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from assay.errors import AssayError

MEMORY_BYTES = 2**30  # of resident memory above that at the start of a case
DATA_BYTES = 2**31  # of private memory above that at the start of a block, a backstop
SECONDS = 10.0  # of processor time
_BLOCK = 200  # cases of one process
_HANGS = 120  # seconds of wall time, after which a case that waits is killed
_SHOWN = 12  # kinds of failure that are printed

MEMORY_FOLDER = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
"""Where files of cases are made: the disk is not what is tried."""

Case = Callable[[random.Random, Path], str]


def run(name: str, case: Case, seed: int, cases: int, *, warm: Callable[[], None] = lambda: None) -> dict[str, int]:
    """Makes the cases of a seed; returns how many were made, taken and refused, and the failures by kind.

    Args:
        name: of the fuzzer, for what is printed.
        case: makes one case from a random generator, in an empty folder; returns "taken" or "refused".
        seed: of the cases; case `i` depends on the name, the seed and i alone.
        cases: how many.
        warm: imports what the cases need, once, before processes are forked.
    """
    warm()
    gc.collect()
    gc.freeze()  # what is warm is neither searched nor copied by the collections of each process
    counts = Counter[str]({"cases": 0, "failures": 0, "taken": 0, "refused": 0})
    seen = Counter[str]()
    start = 0
    while start < cases:
        end = min(cases, start + _BLOCK)
        start = _block(name, case, seed, range(start, end), counts, seen)
    for sentence, number in seen.most_common(_SHOWN):
        print(f"{name}: {number} x {sentence}", file=sys.stderr)
    return dict(counts)


def one(name: str, case: Case, seed: int, number: int) -> str:
    """Makes one case in this process, to look at a failure."""
    with tempfile.TemporaryDirectory() as folder:
        return case(_random(name, seed, number), Path(folder))


def _random(name: str, seed: int, number: int) -> random.Random:
    return random.Random(f"{name} {seed} {number}")


def _block(name: str, case: Case, seed: int, numbers: range, counts: Counter[str], seen: Counter[str]) -> int:
    """Makes cases in one forked process until all are made or one kills it; returns the number of the next case."""
    read, write = os.pipe()
    folder = Path(tempfile.mkdtemp(prefix="assay-fuzz-", dir=MEMORY_FOLDER))
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if child == 0:
        os.close(read)
        _child(name, case, seed, numbers, folder, write)
    os.close(write)
    with os.fdopen(read, encoding="utf-8", errors="replace") as lines:
        done = [line.rstrip("\n").split("\t", 2) for line in lines]
    _, status = os.waitpid(child, 0)
    shutil.rmtree(folder, ignore_errors=True)
    for number, verdict, detail in done:
        counts["cases"] += 1
        counts[verdict] += 1
        if verdict not in ("taken", "refused"):
            counts["failures"] += 1
            seen[f"{verdict}, first at case {number}: {detail}" if not seen else f"{verdict}: {detail}"] += 1
            _note(name, seed, number, verdict, detail)
    after = numbers.start + len(done)
    if after < numbers.stop:  # the process ended within a case
        number = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
        kind = "over_time" if number == signal.SIGPROF else "killed"
        counts["cases"] += 1
        counts["failures"] += 1
        counts[kind] += 1
        seen[f"{kind} (status {status})"] += 1
        _note(name, seed, after, kind, str(status))
        after += 1
    return after


def _note(name: str, seed: int, number: int | str, verdict: str, detail: str) -> None:
    """Adds a failure to the file that $ASSAY_FUZZ_NOTES names, to look at it later."""
    if file := os.environ.get("ASSAY_FUZZ_NOTES"):
        with open(file, "a", encoding="utf-8") as notes:
            notes.write(f"{name}\t{seed}\t{number}\t{verdict}\t{detail}\n")


def _child(name: str, case: Case, seed: int, numbers: range, folder: Path, write: int) -> None:
    """The forked process: one line for each case. Never returns."""
    try:
        data = _status("VmData") + DATA_BYTES
        resource.setrlimit(resource.RLIMIT_DATA, (data, data))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        silent = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1, 2):
            os.dup2(silent, stream)
        for number in numbers:
            place = folder / "case"
            place.mkdir()
            os.chdir(place)
            _clear_peak()
            begin = _status("VmRSS")
            signal.setitimer(signal.ITIMER_PROF, SECONDS)
            signal.alarm(_HANGS)
            verdict, detail = _verdict(case, _random(name, seed, number), place)
            signal.setitimer(signal.ITIMER_PROF, 0)
            rise = _status("VmHWM") - begin
            if rise > MEMORY_BYTES:
                verdict, detail = "over_memory", f"{rise / 2**20:,.0f} MiB"
            line = f"{number}\t{verdict}\t{' '.join(detail.split())[:400]}\n"
            os.write(write, line.encode("utf-8", "replace"))
            os.chdir(folder)
            shutil.rmtree(place, ignore_errors=True)
    finally:
        os._exit(0)


def _verdict(case: Case, draw: random.Random, place: Path) -> tuple[str, str]:
    try:
        return case(draw, place), ""
    except AssayError as error:
        text = str(error)  # an error that cannot be printed is a crash
        return ("refused", "") if text else ("crashes", f"{type(error).__name__} without a sentence")
    except BaseException as error:
        last = traceback.extract_tb(error.__traceback__)[-3:]
        places = " < ".join(f"{Path(frame.filename).name}:{frame.lineno}" for frame in reversed(last))
        return "crashes", f"{type(error).__name__}: {str(error)[:120]} at {places}"


def command(*words: str) -> str:
    """Runs a command of Assay in this process: "taken" or "refused"; any other end is a crash."""
    import contextlib

    from assay import cli

    _keep_commands(cli)
    sys.argv = ["assay", *words]
    try:
        with contextlib.redirect_stdout(open(os.devnull, "w")), contextlib.redirect_stderr(_Last()) as said:
            cli.main()
    except SystemExit as stop:
        code = stop.code or 0
        if code not in (0, 1, 2):
            raise RuntimeError(f"{words[0]}: exit {code}: {said.text[-250:]}") from None
        return "refused" if code == 2 else "taken"
    return "taken"


def _keep_commands(cli: Any) -> None:
    """Keeps the commands that `app` builds from their functions, which it would build anew in every call."""
    import typer

    if isinstance(cli.app, typer.Typer):
        cli.app = typer.main.get_command(cli.app)


class _Last:
    """A stream that keeps what was written."""

    encoding = "utf-8"

    def __init__(self) -> None:
        self.text = ""

    def write(self, text: str) -> int:
        self.text = (self.text + text)[-4000:]
        return len(text)

    def flush(self) -> None: ...

    def isatty(self) -> bool:
        return False


def _status(field: str) -> int:
    """A size of this process in bytes, as Linux reports it."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) * 1024
    return 0


def _clear_peak() -> None:
    """Starts the peak of the resident memory anew."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        pass


# --- changes that several fuzzers make -------------------------------------------------------------------------------

_BYTES = (b"\0", b"\xff", b"\x7f", b"\x80\0\0\0", b"\xff\xff\xff\xff", b"\0\0\0\0", b"\x1f\x8b", b"PK", b"\n", b"\r")
_TEXTS = (
    b"9" * 400, b"9" * 5000, b"1e300", b"1e999", b"nan", b"-inf", b"-1", b"0", b"9223372036854775808", b"1" * 20,
    b"[" * 400, b"{" * 400, b"(" * 400, b"true", b"null", b'""', b"''", b"\xe2\x80\xa8", b"\x1b[31m", b"constructor",
    b"__proto__", b"toString", b"a." * 200, b" " * 3000,
    b"\t", b"=", b"-" * 3000, b"|" * 2000, b"0" * 3000, b"_" * 3000,
    b",", b":", b"%", b"/", b"..", b"\\", b"#", b"'''", b'"""',
)  # fmt: skip


def changed(draw: random.Random, content: bytes, *, most: int = 6) -> bytes:
    """Content with some bytes changed, removed, added, repeated or cut off."""
    result = bytearray(content)
    for _ in range(draw.randint(1, most)):
        at = draw.randrange(len(result) + 1)
        how = draw.randrange(7)
        if how == 0 and at < len(result):
            result[at] = draw.randrange(256)
        elif how == 1 and at < len(result):
            result[at] ^= 1 << draw.randrange(8)
        elif how == 2:
            del result[at : at + draw.choice((1, 4, 30, 300))]
        elif how == 3:
            result[at:at] = draw.choice(_BYTES + _TEXTS)
        elif how == 4:
            piece = draw.choice(_BYTES)
            result[at : at + len(piece)] = piece
        elif how == 5:
            length = draw.choice((4, 40, 400))
            result[at:at] = result[at : at + length] * draw.choice((1, 2, 50))
        elif draw.random() < 0.3:
            del result[at:]
    return bytes(result)


def value(draw: random.Random, depth: int = 0) -> object:
    """A value of JSON or TOML that nobody expects."""
    if depth < 3 and draw.random() < 0.25:
        entries = [value(draw, depth + 1) for _ in range(draw.randrange(4))]
        return entries if draw.random() < 0.5 else {word(draw): entry for entry in entries}
    return draw.choice(
        (0, 1, -1, 2, 10, 0.5, -0.0, 1e300, 1e-320, 1e18, 2**31, 2**53 + 1, 2**63 - 1, 2**63, -(2**63) - 1, 10**30,
         10**400, float("inf"), float("nan"), True, False, "", "x", "adam", "a" * 300, "1", "nan", "5 epochs", "97 %",
         "9" * 400 + " epochs", "1e400 epochs", "constructor", "\u2028", "\x1b[0m", "\ud800", "é", "=1+1", "0 s", "all")
    )  # fmt: skip


def word(draw: random.Random) -> str:
    """A name that nobody expects."""
    return draw.choice(("a", "name", "kind", "key", "values", "", "constructor", "__proto__", "\u2028", "x" * 300, "1"))

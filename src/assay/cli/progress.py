"""How long work shows how far it is: bars on a terminal, elsewhere a line every few seconds."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from contextlib import AbstractContextManager, contextmanager
from time import perf_counter
from typing import TYPE_CHECKING, TypeVar

from assay.cli.options import console, note

if TYPE_CHECKING:
    from rich.progress import Progress

    from assay.execution.status import StudyStatus

S = TypeVar("S")
WAITS = "waiting for another trial on this machine to end, so that the seconds mean something"


def watched(work: Iterable[S], stop: Callable[..., None], showing: AbstractContextManager[Callable[[S], None]]) -> bool:
    """Does the work and shows each of its states; True where Ctrl-C ended it."""
    from assay.system.signals import interruption

    with interruption(stop) as interrupted, showing as show:
        for status in work:
            show(status)
        return interrupted()


@contextmanager
def bars(*, remaining: bool = False) -> Generator[Progress | None]:
    """Bars that show their task's `said` and time, `remaining` too; None where there is no terminal."""
    screen = console(stderr=True)
    if not screen.is_terminal:
        yield None
        return
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[said]}"), TimeElapsedColumn())
    more = (TextColumn("ETA"), TimeRemainingColumn()) if remaining else ()
    with Progress(*columns, *more, console=screen, transient=True) as progress:
        yield progress


def lines(say: Callable[[S], str], *, seconds: float = 10.0) -> Callable[[S], None]:
    """Notes what `say` makes of a state, once in so many seconds."""
    last = perf_counter()

    def show(status: S) -> None:
        nonlocal last
        if perf_counter() - last >= seconds:
            last = perf_counter()
            note(say(status))

    return show


@contextmanager
def training_bar(title: str, reach: Callable[[StudyStatus], None]) -> Generator[Callable[[StudyStatus], None]]:
    """Iteration, loss, accuracy and ETA of one training. Each state is handed to `reach` as well."""
    with bars(remaining=True) as progress:
        write: Callable[[StudyStatus], None] = lines(
            lambda status: f"{title}: iteration {_training(status)}", seconds=5.0
        )
        task = progress.add_task(title, total=None, said="") if progress else None
        waiting = False

        def show(status: StudyStatus) -> None:
            nonlocal waiting
            reach(status)
            if not waiting and any(trial.waiting for trial in status.running):
                waiting = True
                note(WAITS)
            if progress is None or task is None:
                write(status)
            elif status.running:
                trial = status.running[0]
                progress.update(task, total=trial.iterations, completed=trial.iteration, said=_training(status))

        yield show


def _training(status: StudyStatus) -> str:
    if not status.running:
        return "another process trains this trial" if status.elsewhere else "about to start"
    trial = status.running[0]
    words = f"{trial.iteration:,}/{trial.iterations:,}"
    if trial.loss is None or trial.accuracy is None:
        return words
    return f"{words}, loss {trial.loss:.4f}, accuracy {trial.accuracy:.2%}"

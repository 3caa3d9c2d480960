"""How long work shows how far it is: bars on a terminal, elsewhere a line every few seconds."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from contextlib import AbstractContextManager, contextmanager
from time import perf_counter
from typing import TYPE_CHECKING, Any, TypeVar

from assay.cli.options import console, note

if TYPE_CHECKING:
    from rich.progress import Progress

S = TypeVar("S")


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
def training_bar(title: str) -> Generator[Callable[[Any], None]]:
    """Iteration, loss, accuracy and ETA of one training."""
    with bars(remaining=True) as progress:
        if progress is None:
            yield lines(lambda s: f"{title}: {s.iteration:,} of {s.iterations:,} iterations, {_said(s)}", seconds=5.0)
            return
        task = progress.add_task(title, total=None, said="")

        def show(status: Any) -> None:
            said = f"{status.iteration:,}/{status.iterations:,}, {_said(status)}"
            progress.update(task, total=status.iterations, completed=status.iteration, said=said)

        yield show


def _said(status: Any) -> str:
    point = status.point
    if point.test_loss is None:
        return "no log point yet"
    loss = point.train_loss if point.train_loss is not None else point.test_loss
    return f"loss {loss:.4f}, accuracy {point.test_accuracy:.2%}"

"""Progress of long work: bars on a terminal, elsewhere a line every few seconds."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from contextlib import AbstractContextManager, contextmanager
from time import perf_counter
from typing import TYPE_CHECKING, TypeVar

from assay.cli.printing import Verbosity, console, note, verbosity
from assay.report.text import clean, duration, percent
from assay.system.machine_lock import waiting_sentence

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from assay.execution.runner import Execution
    from assay.execution.status import RunningTrial, StudyStatus

S = TypeVar("S")
_MOST_SECONDS = 300.0  # between two lines of progress


def run_with_progress(
    work: Iterable[S], cancel: Callable[..., None], display: AbstractContextManager[Callable[[S], None]]
) -> bool:
    """Does the work and shows each of its states.

    Args:
        work: What is done, a state at a time.
        cancel: Called on Ctrl-C; the work ends soon after it.
        display: Gives the function that shows a state.

    Returns:
        Whether Ctrl-C interrupted the work.
    """
    from assay.system.signals import interruption

    with interruption(cancel) as interrupted, display as show:
        for status in work:
            show(status)
        return interrupted()


@contextmanager
def bars(*, remaining: bool = False) -> Generator[Progress | None]:
    """Bars with the `status` of their tasks, the elapsed and the `remaining` time; None where there is no terminal."""
    screen = console(stderr=True)
    if not screen.is_terminal or verbosity() is Verbosity.QUIET:
        yield None
        return
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[status]}"), TimeElapsedColumn())
    eta = (TextColumn("ETA"), TimeRemainingColumn()) if remaining else ()
    with Progress(*columns, *eta, console=screen, transient=True) as progress:
        yield progress


@contextmanager
def steps(title: str) -> Generator[Callable[[str, int, int], None]]:
    """A function that shows what is done, how much of it, and of how much: a bar, elsewhere a line every 10 s."""
    with bars() as progress:
        write: Callable[[tuple[str, int, int]], None] = lines(
            lambda step: f"{title}: {step[0]}, {step[1]:,} of {step[2]:,}"
        )
        task = progress.add_task(title, total=None, status="") if progress else None

        def show(what: str, done: int, total: int) -> None:
            if progress is None or task is None:
                write((what, done, total))
            else:
                progress.update(task, total=total, completed=done, status=f"{what}, {done:,} of {total:,}")

        yield show


def lines(describe: Callable[[S], str], *, seconds: float = 10.0) -> Callable[[S], None]:
    """A function that notes what `describe` makes of a state, ever more rarely: a log of an hour has about 20 lines.

    The first line is after so many `seconds`, each next one after twice the time, at most five minutes. With --verbose
    the time stays the same.
    """
    last, pause = perf_counter(), seconds

    def show(status: S) -> None:
        nonlocal last, pause
        if perf_counter() - last >= pause:
            last = perf_counter()
            pause = pause if verbosity() is Verbosity.VERBOSE else min(2 * pause, _MOST_SECONDS)
            note(describe(status))

    return show


# --- one training ----------------------------------------------------------------------------------------------------


@contextmanager
def training_bar(title: str, reach: Callable[[StudyStatus], None]) -> Generator[Callable[[StudyStatus], None]]:
    """Iteration, loss, accuracy and ETA of one training. Each state is passed to `reach` as well."""
    with bars(remaining=True) as progress:
        write: Callable[[StudyStatus], None] = lines(lambda status: f"{title}: {_training_text(status)}", seconds=5.0)
        task = progress.add_task(title, total=None, status="") if progress else None
        waiting = False

        def show(status: StudyStatus) -> None:
            nonlocal waiting
            reach(status)
            if not waiting and any(trial.waiting for trial in status.running):
                waiting = True
                note(waiting_sentence())
            if progress is None or task is None:
                write(status)
            elif status.running:
                trial = status.running[0]
                text = _training_text(status)
                progress.update(task, total=trial.iterations, completed=trial.iteration, status=text)

        yield show


def _training_text(status: StudyStatus) -> str:
    if not status.running:
        return "another process trains this trial" if status.elsewhere else "starting"
    trial = status.running[0]
    text = f"{trial.iteration:,}/{trial.iterations:,}"
    if trial.loss is not None and trial.accuracy is None:
        return f"{text}, loss {trial.loss:.4f}"
    if trial.loss is None or trial.accuracy is None:
        return text
    return f"{text}, loss {trial.loss:.4f}, accuracy {percent(trial.accuracy)}"


# --- a study ---------------------------------------------------------------------------------------------------------


def execute(execution: Execution) -> bool:
    """Runs a study with one bar for all of it and one for each trial in training; True where Ctrl-C interrupted it."""
    interrupted = run_with_progress(execution, execution.stop, _study_bars(execution.name))
    if sentence := execution.executor.sentence():
        note(sentence)
    return interrupted


@contextmanager
def _study_bars(name: str) -> Generator[Callable[[StudyStatus], None]]:
    waiting = False

    def note_waiting(status: StudyStatus) -> None:
        nonlocal waiting
        if not waiting and any(trial.waiting for trial in status.running):
            waiting = True
            note(waiting_sentence(of_study=True))

    with bars() as progress:
        if progress is None:
            write: Callable[[StudyStatus], None] = lines(lambda status: f"{name}: {_study_text(status)}")
            yield lambda status: (note_waiting(status), write(status))[1]
            return
        study = progress.add_task(clean(name), total=None, status="")
        trials: dict[str, TaskID] = {}

        def show(status: StudyStatus) -> None:
            note_waiting(status)
            progress.update(study, total=status.trials, completed=status.done, status=_study_text(status))
            running = {trial.label: trial for trial in status.running}
            for label in [label for label in trials if label not in running]:
                progress.remove_task(trials.pop(label))
            for label, trial in running.items():
                if label not in trials:
                    trials[label] = progress.add_task(f"  {clean(label)}", total=trial.iterations, status="")
                progress.update(trials[label], completed=trial.iteration, status=_trial_text(trial))

        yield show


def _trial_text(trial: RunningTrial) -> str:
    if trial.waiting:
        return "waiting for another trial on this machine"
    accuracy = "" if trial.accuracy is None else f", accuracy {percent(trial.accuracy)}"
    return f"{trial.iteration:,}/{trial.iterations:,}{accuracy}"


def _study_text(status: StudyStatus) -> str:
    parts = [f"{status.done:,}/{status.trials:,}"]
    parts += [f"ETA {duration(status.eta_seconds)}"] if status.eta_seconds is not None else []
    parts += [f"{count:,} {outcome}" for outcome, count in status.outcomes.items() if outcome != "completed"]
    if status.running and all(trial.waiting for trial in status.running):
        parts.append("waiting for another trial on this machine")
    if status.elsewhere:
        parts.append(f"{status.elsewhere:,} in other processes")
    if status.best:
        label, accuracy = status.best
        what = "best of one seed" if status.is_search else "best"
        parts.append(f"{what} {percent(accuracy)} ({label})")
    return ", ".join(parts)

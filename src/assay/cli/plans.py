"""What running a study will do: the sentence, the counts, and the question before a long run."""

from __future__ import annotations

import sys
from collections import Counter
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import typer

from assay.cli.exits import Exit
from assay.cli.printing import note
from assay.errors import AssayError, listed, shortened
from assay.report.notes import Note, grouped, line
from assay.report.text import duration
from assay.studies.repeats import repeats_text

if TYPE_CHECKING:
    from assay.execution.runner import Execution
    from assay.studies.plan import Plan

_LONG_SECONDS = 3600.0
_LARGE_BYTES = 2_000_000_000
_NAMED_BYTES = 100_000_000  # of weights, from which on the sentence names them
_NAMED = 3  # groups of equal configurations that are named


def plan_sentence(execution: Execution) -> str:
    """What a run will do: trials, how many of them are stored, trajectories, time."""
    counts = plan_counts(execution)
    counted = [job for job in execution.open if job.seconds is None]
    separate_iterations = sum(trial.iterations for job in counted for trial in job.trials)
    sentence = f"{execution.name}: {counts['trials']:,} trials"
    drawn = dict.fromkeys(repeats_text(plan.study.settings) for plan in execution.plans)
    sentence += "".join(f" ({text})" for text in drawn if text)
    for plan in execution.plans:
        sentence += "".join(f"; {note}" for note in folded_notes(plan))
    lost = {key: labels for plan in execution.plans for key, labels in plan.lost.items()}
    for key, count in counts["dropped"].items():
        sentence += f"; {key} ignored {count:,} times, because the component has no such key: {listed(lost[key])}"
    sentence += (
        f"; {counts['stored']:,} stored, {counts['to_train']:,} to train on {counts['trajectories']:,} trajectories"
    )
    if counts["iterations"] < separate_iterations:
        sentence += f" ({counts['iterations']:,} iterations instead of {separate_iterations:,})"
    weights = f" and {storage(counts['weights_bytes'])} of weights" if counts["weights_bytes"] >= _NAMED_BYTES else ""
    return f"{sentence}; {execution.timing}, about {duration(counts['seconds'])}{weights}"


def folded_notes(plan: Plan) -> list[str]:
    """Which configurations are listed again and left out, and which share trials, in words."""
    notes: list[str] = []
    if plan.repeated:
        again = sum(plan.repeated.values())
        notes.append(
            f"{again:,} configuration{'' if again == 1 else 's'} listed again, left out: {listed(list(plan.repeated))}"
        )
    if plan.shared:
        trials = sum(plan.shared.values())
        groups = [" = ".join(listed([label], 1) for label in labels) for labels in plan.shared]
        text = shortened(groups, _NAMED, separator="; ")
        notes.append(f"{trials:,} trial{'' if trials == 1 else 's'} shared by equal configurations: {text}")
    return notes


def print_plan(execution: Execution) -> None:
    """Notes what a run will do, what stands out in its data, and what is unusual in its recipes."""
    sentences = [plan_sentence(execution), *execution.changes(), *replaced_notes(execution), *data_notes(execution)]
    sentences += dict.fromkeys(sentence for plan in execution.plans for sentence in plan.device_notes)
    for sentence in sentences:
        note(sentence)
    count = sum(len({member.label for member in plan.members}) for plan in execution.plans)
    for unusual in plan_notes(execution):
        note(f"note: {line(unusual, configurations=count)}")


def replaced_notes(execution: Execution) -> list[str]:
    """For each key of a baseline that configurations replace with its component: that they do not have it."""
    return [
        f"{plan.study.name}: {key} of the baseline is not used by {listed(labels)}, "
        f"which {'replaces' if len(labels) == 1 else 'replace'} its component"
        for plan in execution.plans
        for key, labels in plan.replaced.items()
    ]


def plan_notes(execution: Execution) -> list[Note]:
    """What is unusual in the recipes of a run: each sentence with its configurations."""
    from assay.recipe.notes import notes

    several = len(execution.plans) > 1
    pairs: list[tuple[str, str]] = []
    for plan in execution.plans:
        recipes = {member.label: plan.trials[member.key].recipe for member in reversed(plan.members)}
        for label, recipe in reversed(recipes.items()):
            name = f"{plan.study.name}, {label}" if several else label
            pairs += [(name, sentence) for sentence in notes(recipe)]
    return grouped(pairs)


def plan_counts(execution: Execution) -> dict[str, Any]:
    """The same as plain data, but for the notes."""
    dropped: Counter[str] = Counter()
    for plan in execution.plans:
        dropped.update(plan.dropped)
    return {
        "study": execution.name,
        "trials": len(execution.trials),
        "folded": sum(plan.requested for plan in execution.plans)
        - len({key for plan in execution.plans for key in plan.trials}),
        "repeated": {label: count for plan in execution.plans for label, count in plan.repeated.items()},
        "shared": [list(labels) for plan in execution.plans for labels in plan.shared],
        "dropped": dict(dropped),
        "stored": execution.stored,
        "to_train": sum(len(job.trials) for job in execution.open),
        "trajectories": len(execution.open),
        "iterations": sum(job.iterations for job in execution.open if job.seconds is None),
        "seconds": execution.seconds,
        "weights_bytes": execution.weights_bytes,
    }


def plan_table(execution: Execution) -> dict[str, Any]:
    """What running a study will do, with the notes, as plain data."""
    return plan_counts(execution) | {"notes": [asdict(note) for note in plan_notes(execution)]}


def announce(execution: Execution, *, yes: bool) -> None:
    """Notes what a run will do, and asks for confirmation if it will take long."""
    print_plan(execution)
    confirm_if_large(execution.seconds, execution.weights_bytes, yes=yes)


def data_notes(execution: Execution) -> list[str]:
    """What stands out in the data of a run, each sentence once, after the name of its data set."""
    notes = {(trial.recipe.data.name, note) for trial in execution.trials.values() for note in trial.notes}
    names = sorted({name for name, _ in notes})
    by_name = {name: grouped((name, note) for of, note in sorted(notes) if of == name) for name in names}
    return [f"{name}: {one.sentence}" for name in names for one in by_name[name]]


def confirm_if_large(seconds: float, weights_bytes: int, *, yes: bool) -> None:
    """Asks before a run of more than an hour, or one that keeps more than 2 GB of weights, unless --yes was given.

    Raises:
        AssayError: There is no terminal to ask on.
        typer.Exit: The answer is no.
    """
    large = weights_bytes > _LARGE_BYTES
    if (seconds <= _LONG_SECONDS and not large) or yes:
        return
    what = f"takes about {duration(seconds)}"
    if large:
        what += f' and keeps about {storage(weights_bytes)} of weights (keep = "nothing" keeps none)'
    if not sys.stdin.isatty():
        raise AssayError(f"this {what}; give --yes to start it without confirmation")
    if not typer.confirm(f"This {what}. Start?", err=True):
        raise typer.Exit(Exit.NEGATIVE)


def storage(count: int) -> str:
    """A number of bytes in words.

    >>> storage(2_340_000_000), storage(120_000_000)
    ('2.3 GB', '120 MB')
    """
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"

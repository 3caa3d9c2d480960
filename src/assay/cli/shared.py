"""Options that many commands share: the short forms of `--set`, how much is printed, and the formats of tables."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

import typer

from assay.cli import formats
from assay.cli.printing import Verbosity, set_verbosity
from assay.errors import AssayError


@dataclass(frozen=True)
class ShortForm:
    """An option that is short for `--set KEY=VALUE`."""

    option: str
    key: str
    about: str

    @property
    def parameter(self) -> inspect.Parameter:
        """The option as a parameter of a command's function."""
        about = f"{self.about} Short for --set {self.key}=..."
        option = typer.Option(f"--{self.option}", metavar="VALUE", help=about, show_default=False)
        kind = inspect.Parameter.KEYWORD_ONLY
        return inspect.Parameter(self.option, kind, default=None, annotation=Annotated[str | None, option])


SHORT_FORMS = (
    ShortForm("model", "model", "Model, e.g. 3LS or lenet5."),
    ShortForm("optimizer", "optimizer", "Optimizer, e.g. adam."),
    ShortForm("lr", "optimizer.learning_rate", "Learning rate."),
    ShortForm("epochs", "budget.epochs", "Epochs of training."),
    ShortForm("batch", "batches.size", "Examples per batch."),
    ShortForm("seed", "seed", "Seed of initial weights, batches and dropout."),
)
"""The short forms of commands with `--set`; `--data`, which also keeps the split, is in `options`."""


def _verbosity(level: Verbosity) -> Callable[[bool], bool]:
    def choose(wanted: bool) -> bool:
        if wanted:
            set_verbosity(level)
        return wanted

    return choose


Quiet = Annotated[
    bool,
    typer.Option(
        "-q",
        "--quiet",
        callback=_verbosity(Verbosity.QUIET),
        help="Print results and errors alone: no progress, no notes.",
    ),
]
Verbose = Annotated[
    bool,
    typer.Option(
        "-v", "--verbose", callback=_verbosity(Verbosity.VERBOSE), help="Print more: log messages, every progress line."
    ),
]


def takes_shared_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """A command's function with `--quiet` and `--verbose`, and with the options that its parameters ask for.

    These are the short forms of `--set` if it has `sets`, and `--csv`, `--markdown` and `--latex` if it has
    `table_format`.
    An option that the function has itself stays its own: `--epochs` of a bench counts those of each row.
    """
    signature = inspect.signature(function, eval_str=True)
    parameters = list(signature.parameters.values())
    own = set(signature.parameters)
    forms = [form for form in SHORT_FORMS if "sets" in own and form.option not in own]

    @functools.wraps(function)
    def command(**values: Any) -> Any:
        typed = [f"{form.key}={value}" for form in forms if (value := values.pop(form.option)) is not None]
        for name in ("quiet", "verbose"):
            values.pop(name)
        if formats.PARAMETER in own:
            values[formats.PARAMETER] = formats.chosen(values, as_json=values.get("as_json") or False)
            for parameter in formats.OPTIONS:
                values.pop(parameter.name)
        if typed:
            values["sets"] = [*(values["sets"] or []), *typed]
        if values.get("data") is not None and values.get("sets"):
            _refuse_two_data_sets(values["sets"])
        return function(**values)

    if formats.PARAMETER in own:
        place = [parameter.name for parameter in parameters].index(formats.PARAMETER)
        parameters[place : place + 1] = formats.OPTIONS
    keyword = inspect.Parameter.KEYWORD_ONLY
    for name, annotation in (("quiet", Quiet), ("verbose", Verbose)):
        parameters.append(inspect.Parameter(name, keyword, default=False, annotation=annotation))
    if "sets" in own:
        place = 1 + next(i for i, parameter in enumerate(parameters) if parameter.name == "sets")
        parameters[place:place] = [form.parameter for form in forms]
    every = [parameter.replace(kind=keyword) for parameter in parameters]
    command.__signature__ = signature.replace(parameters=every)  # pyright: ignore[reportAttributeAccessIssue]
    command.__annotations__ = {parameter.name: parameter.annotation for parameter in every}
    return command


def _refuse_two_data_sets(sets: list[str]) -> None:
    """Raises: AssayError where --set names a data set although --data does."""
    from assay.recipe.aliases import canonical
    from assay.recipe.patches import assignments, names_component

    for patch in assignments(sets):
        data = canonical(patch).get("data")
        if names_component(data):
            name = data["name"] if isinstance(data, dict) else data
            raise AssayError(f"--data: is given together with --set data.name={name}; leave one of them out")

"""How a module on jax is told that it is in training: by arguments of its `__call__`, which have these names."""

from __future__ import annotations

import inspect
from dataclasses import dataclass

from assay.errors import listed

FLAGS: dict[str, bool] = {
    "train": True,
    "training": True,
    "is_training": True,
    "deterministic": False,
    "use_running_average": False,
    "inference": False,
}
"""The name of an argument -> its value in training."""

*_first, _last = (f"`{name}`" for name in FLAGS)
IN_WORDS = f"an argument of `__call__` named {', '.join(_first)} or {_last}"
"""The argument in a sentence."""


@dataclass(frozen=True)
class Call:
    """The arguments of a module's `__call__` after its inputs.

    Attributes:
        flags: Those of `FLAGS`.
        given: Those that its library's adapter gives.
        others: The rest, which keep their defaults.
        switches: Those of them that are true or false by default, with the default.
    """

    flags: tuple[str, ...]
    given: tuple[str, ...]
    others: tuple[str, ...]
    switches: tuple[tuple[str, bool], ...] = ()

    def notes(self) -> tuple[str, ...]:
        """A sentence on arguments that may be meant to say whether the module is in training, after its name."""
        if self.flags or not self.switches:
            return ()
        kept = ", ".join(f"{name}={default}" for name, default in self.switches)
        return (
            f"is called with {kept} in training and evaluation, the defaults of its __call__; Assay sets {IN_WORDS} "
            "alone",
        )

    def arguments(self, *, training: bool) -> dict[str, bool]:
        """The arguments for a call."""
        return {name: FLAGS[name] == training for name in self.flags}


def call_of(kind: type, *, given: tuple[str, ...] = ()) -> Call:
    """The arguments that a class of modules is called with; `given` are those that its library's adapter gives.

    Raises: TypeError, with a sentence, if it needs others, or takes no inputs.
    """
    function = kind.__call__
    positional, flags, own, required = 0, list[str](), list[str](), list[str]()
    others: dict[str, object] = {}
    for parameter in inspect.signature(function).parameters.values():
        if parameter.kind is parameter.VAR_POSITIONAL:
            positional = 2
        elif parameter.kind is parameter.VAR_KEYWORD:
            continue
        elif parameter.name in given:
            own.append(parameter.name)
        elif parameter.name in FLAGS:
            flags.append(parameter.name)
        elif parameter.kind is not parameter.KEYWORD_ONLY and positional < 2:
            positional += 1  # self, and the inputs
        elif parameter.default is parameter.empty:
            required.append(parameter.name)
        else:
            others[parameter.name] = parameter.default
    if positional < 2:
        raise TypeError("has a __call__ that takes no inputs; expected __call__(self, x)")
    if required:
        raise TypeError(
            f"needs {listed([repr(name) for name in required])} in its __call__, and is called with the inputs and, as "
            f"{IN_WORDS}, with whether it is in training; give other arguments a default"
        )
    switches = tuple((name, default) for name, default in others.items() if isinstance(default, bool))
    return Call(tuple(flags), tuple(own), tuple(others), switches)

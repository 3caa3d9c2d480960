"""What an option that a command does not have is answered with: the `--set` that does it, or the nearest option."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import Any

from assay.cli.shared import SHORT_FORMS
from assay.errors import AssayError, nearest


@contextmanager
def explained(command: Any, path: str, words: Sequence[str]) -> Generator[None]:
    """Inside, the parser's error for an unknown option becomes a sentence that says what to write.

    Args:
        command: The command that parses.
        path: Its name in the sentence, such as "assay train".
        words: What was typed after it.
    """
    try:
        yield
    except Exception as error:
        name = getattr(error, "option_name", None)
        if type(error).__name__ != "NoSuchOption" or not isinstance(name, str):
            raise
        raise AssayError(sentence(command, path, name, words)) from None


def sentence(command: Any, path: str, name: str, words: Sequence[str]) -> str:
    """What to write in place of an unknown option."""
    options = [option for param in command.params for option in param.opts if option.startswith("--")]
    problem = f"{path} has no option {name}"
    if "sets" in {param.name for param in command.params} and (cure := _cure(name, options, words)):
        return f"{problem}; {cure}"
    guess = nearest(name.lstrip("-"), [option.lstrip("-") for option in options])
    hint = f"did you mean --{guess}? " if guess else ""
    return f"{problem}; {hint}`{path} --help` lists them"


def _cure(name: str, options: Sequence[str], words: Sequence[str]) -> str:
    """The `--set` that does what an option asks for, and its short form; "" if no key of a recipe has that name."""
    from assay.recipe.reference import all_keys, paths_named

    word = name.lstrip("-").replace("-", "_")
    paths = paths_named(word)
    if not paths and f"--{nearest(name.lstrip('-'), [o.lstrip('-') for o in options])}" not in options:
        known = {key.path.rpartition(".")[2]: key.path for key in reversed(all_keys(user=False))}
        guess = nearest(word, known)
        paths = [known[guess]] if guess else []
    if not paths:
        return ""
    value = _value(name, words)
    ways = " or ".join(f"--set {path}={value}" for path in paths)
    short = next((form for form in SHORT_FORMS if [form.key] == paths and f"--{form.option}" in options), None)
    return f"write {ways}" + (f", or --{short.option} {value}" if short else "")


def _value(name: str, words: Sequence[str]) -> str:
    """What was typed behind an option, or VALUE where nothing was."""
    for i, word in enumerate(words):
        if word.startswith(f"{name}="):
            return word.partition("=")[2]
        if word == name and i + 1 < len(words) and not words[i + 1].startswith("-"):
            return words[i + 1]
    return "VALUE"

"""Settings that a study is run with in turn, such as engines and numbers of threads, and whether they can run here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from assay.engines import DEVICES, ENGINES, choose, installed
from assay.engines.devices import load_for_planning
from assay.errors import AssayError, has_no, unknown
from assay.recipe.model import PRECISIONS, Recipe
from assay.system.machine import cores

EVERY_ENGINE = "engines"
_SETTINGS = ("engine", "device", "threads", "precision")


@dataclass(frozen=True)
class Setup:
    """An engine, on a device, with a number of threads on a CPU and a precision: a study of its own.

    Attributes:
        base: The study that is run with it.
        engine: The engine.
        device: The device; empty for the engine's own choice.
        threads: The number of threads; None for the engine's own choice.
        precision: The precision; empty for that of the study.
    """

    base: str
    engine: str
    device: str = ""
    threads: int | None = None
    precision: str = ""

    @property
    def study(self) -> str:
        """The name of its study."""
        return "-".join(
            str(part) for part in (self.base, self.engine, self.device, self.threads, self.precision) if part
        )

    @property
    def device_text(self) -> str:
        """The device in words."""
        if self.threads is None:
            return f"gpu, {self.precision}" if self.precision else "gpu"
        return f"{self.device}, {self.threads} thread{'' if self.threads == 1 else 's'}"

    @property
    def settings(self) -> dict[str, Any]:
        """The settings of its study."""
        settings: dict[str, Any] = {"engine": self.engine, "name": self.study}
        settings |= {"device": self.device} if self.device else {}
        return settings if self.threads is None else {**settings, "threads": self.threads}

    @property
    def baseline(self) -> dict[str, Any]:
        """What it changes in the baseline of its study."""
        return {"precision": self.precision} if self.precision else {}


def setups_of(base: str, written: str | tuple[Mapping[str, Any], ...]) -> list[Setup]:
    """The setups of a study as `article.toml` has them: a list of settings, or "engines" for each installed engine."""
    if isinstance(written, str):
        return [Setup(base, name) for name in ENGINES if installed(name)]
    return [
        Setup(base, str(s["engine"]), str(s.get("device", "")), s.get("threads"), str(s.get("precision", "")))
        for s in written
    ]


def problems_of_setups(written: str | tuple[Mapping[str, Any], ...]) -> Iterator[str]:
    """What is wrong with the setups of a study as `article.toml` has them."""
    if isinstance(written, str):
        if written != EVERY_ENGINE:
            yield f"setups: got {written!r}; expected {EVERY_ENGINE!r}, or a list such as [{{ engine = 'native' }}]"
        return
    for number, settings in enumerate(written, 1):
        where = f"setups {number}"
        yield from (f"{where}: {has_no('a setup', 'key', key, _SETTINGS)}" for key in settings if key not in _SETTINGS)
        if "engine" not in settings:
            yield f"{where}: engine is missing; expected one of {', '.join(ENGINES)}"
        for key, known in (("engine", ENGINES), ("device", DEVICES), ("precision", PRECISIONS)):
            if key in settings and settings[key] not in known:
                yield f"{where}: {unknown(key, settings[key], known)}"
        threads = settings.get("threads", 1)
        if isinstance(threads, bool) or not isinstance(threads, int) or threads < 1:
            yield f"{where}: threads: got {threads!r}; expected a whole number >= 1"
        if settings in written[: number - 1]:
            yield f"{where}: is listed twice"


def why_not(baseline: Mapping[str, Any], setup: Setup) -> str | None:
    """Why a setup cannot train a recipe on this machine; None if it can."""
    if setup.threads and setup.threads > cores():
        return f"this machine has {cores()} core{'' if cores() == 1 else 's'} for it"
    try:
        recipe, device = Recipe.parse({**baseline, **setup.baseline}), setup.device or "cpu"
        choose(recipe, setup.engine, device=device, threads=setup.threads, load=load_for_planning)
    except AssayError as error:
        return str(error)
    return None


__all__ = ["EVERY_ENGINE", "Setup", "problems_of_setups", "setups_of", "why_not"]

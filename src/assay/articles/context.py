"""What the tables, pictures and experiments of a page are made from: results, published figures, and how it is run."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

from assay.articles.entries import PublishedPoint, Sampling
from assay.articles.measurements import Measurements
from assay.articles.setups import Setup
from assay.articles.spec import ReproductionSpec
from assay.errors import AssayError, CodeError, unknown
from assay.results.results import Results
from assay.studies.plan import Plan
from assay.studies.study import Study


def _nothing() -> Plan:
    raise AssayError("the article samples no study")


@dataclass
class Context:
    """What a page is made from.

    Attributes:
        spec: How the reproduction is run.
        results: The results of each study that is registered, by its name in the article.
        plans: The plans of the same studies.
        points: The published figures of single trainings.
        facts: Everything else that was published, from `[facts]`.
        written: The studies as they are written, by name.
        experiments: The module of `experiments.py`; None without one, or where it may not be run.
        counted: The studies whose trials `{summary}` and `{engines}` count.
        setups: The setups of the studies that have some, each with why it cannot run on this machine.
        sampling: How a study is sampled.
        unsampled: The plan of all of that study.
    """

    spec: ReproductionSpec
    results: Mapping[str, Results]
    plans: Mapping[str, Plan]
    points: Sequence[PublishedPoint] = ()
    facts: Mapping[str, Any] = field(default_factory=dict[str, Any])
    written: Callable[[str], Study] = Study.load
    experiments: ModuleType | None = None
    counted: Sequence[str] = ()
    setups: Mapping[str, Mapping[Setup, str | None]] = field(default_factory=dict[str, Mapping[Setup, str | None]])
    sampling: Sampling | None = None
    unsampled: Callable[[], Plan] = _nothing
    _once: dict[str, Any] = field(default_factory=dict[str, Any])
    _measured: dict[tuple[str, ...], Measurements] = field(default_factory=dict[tuple[str, ...], Measurements])

    def text(self, text: str) -> str:
        """A text of the article with its placeholders filled in: `{data}`, `{iterations N}`, `{summary}`, `{engines}`.

        `{iterations N}` is where a scaled-down run measures what the article measured at N.
        """
        return _PLACEHOLDER.sub(lambda match: self._filled(match[1], match[2]), text)

    def _filled(self, name: str, number: str | None) -> str:
        if name == "iterations" and number is not None:
            return f"{self.spec.iterations(int(number)):,}"
        if name == "data":
            return self.spec.data or "of each study"
        if name == "sample":
            fraction = self.spec.sample
            return "all of them" if fraction is None else f"a sample of {100 * fraction:g} % of their trajectories"
        measured = self.measured(self.counted)
        return measured.engines() if name == "engines" else measured.summary()

    def result(self, study: str) -> Results:
        """The results of a study. Raises: AssayError where it is not planned yet."""
        if study not in self.results:
            raise AssayError(f"the study {study} depends on results that are not there yet")
        return self.results[study]

    def fact(self, name: str) -> Any:
        """An entry of `[facts]`. Raises: AssayError where the article has none of this name."""
        if name not in self.facts:
            raise AssayError(f"facts: {unknown('entry', name, self.facts)}")
        return self.facts[name]

    def once(self, name: str, make: Callable[[], Any]) -> Any:
        """What `make` returns; it is called once for a name, because several parts of a page need it."""
        if name not in self._once:
            self._once[name] = make()
        return self._once[name]

    def measured(self, studies: Iterable[str]) -> Measurements:
        """The trials of studies, those that are not planned yet left out."""
        names = tuple(name for name in studies if name in self.results)
        if names not in self._measured:
            self._measured[names] = Measurements([self.results[name] for name in names])
        return self._measured[names]

    def experiment(self, name: str) -> Any:
        """What a function of `experiments.py` returns for this page; it is called once.

        Raises:
            AssayError: It may not be run, or has no such function.
            CodeError: The function raises an exception.
        """
        if self.experiments is None:
            raise AssayError("experiments.py is not run without --allow-code")
        function = getattr(self.experiments, name, None)
        if not callable(function):
            known = [key for key, value in vars(self.experiments).items() if callable(value) and key[0] != "_"]
            raise AssayError(f"experiments.py: {unknown('function', name, known)}")
        try:
            return self.once(f"experiment {name}", lambda: function(self))
        except AssayError:
            raise
        except Exception as error:
            raise CodeError(f"experiments.py: {name}: {type(error).__name__}: {error}") from error


_PLACEHOLDER = re.compile(r"\{(data|sample|summary|engines|iterations)(?: (\d+))?\}")
_ANY = re.compile(r"\{([^{}]*)\}")


def problems_of_text(where: str, text: str) -> Iterator[str]:
    """Placeholders in a text that are unknown."""
    known = ("data", "sample", "summary", "engines", "iterations N")
    for match in _ANY.finditer(text):
        if not _PLACEHOLDER.fullmatch(match[0]):
            yield f"{where}: {unknown('placeholder', match[1], known)}"


__all__ = ["Context", "problems_of_text"]

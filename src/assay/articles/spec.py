"""How a reproduction is run: on which data, with how many seeds, scaled down or not."""

from __future__ import annotations

from dataclasses import dataclass, field

from assay.articles.entries import Quick
from assay.data.datasets import load
from assay.errors import AssayError, DataError


@dataclass(frozen=True)
class ReproductionSpec:
    """How a reproduction is run.

    Attributes:
        data: Name or folder of the data set; empty for that of each study.
        quick: Whether it is scaled down.
        seeds: Number of seeds per configuration; None for each study's own.
        sample: Fraction of the trajectories of the study that the article samples; None for all.
        epochs: Epochs of every training; None for each study's own.
        scale: How a scaled-down run differs.
    """

    data: str
    quick: bool = False
    seeds: int | None = None
    sample: float | None = None
    epochs: int | None = None
    scale: Quick = field(default_factory=Quick)

    @property
    def repeats(self) -> int | None:
        """The paired seeds per configuration; None for each study's own number."""
        return self.seeds if self.seeds is not None else self.scale.seeds if self.quick else None

    @property
    def training_epochs(self) -> int | None:
        """The epochs of every training; None for each study's own."""
        return self.epochs or (self.scale.default_epochs if self.quick else 0) or None

    def iterations(self, published: int) -> int:
        """The iterations at which a point that was published at `published` iterations is measured."""
        return max(1, published // self.scale.iterations) if self.quick else published

    @property
    def banner(self) -> str:
        """The warning at the top of the page of a scaled-down run; else empty."""
        if not self.quick:
            return ""
        count = self.training_epochs
        epochs = f"{count} epoch{'s' * (count > 1)}" if count else f"epochs by {self.scale.epochs}"
        changes = self.scale.says or f"iterations divided by {self.scale.iterations}, {{epochs}}"
        data = f", data set {self.data}" if self.data else ""
        return (
            f"Scaled down: {changes.replace('{epochs}', epochs)}{data}. "
            "It shows that everything works; its figures and verdicts say nothing about the article."
        )


def parse_spec(
    *,
    data: str | None,
    quick: bool,
    seeds: int | None,
    sample: float | None = None,
    epochs: int | None = None,
    usual: str = "mnist",
    scale: Quick | None = None,
) -> ReproductionSpec:
    """The spec that the options ask for; `usual`: the data set without one, "" for that of each study.

    Raises:
        AssayError: An option has a wrong value.
        DataError: The data set is not on this machine.
    """
    scale = scale or Quick()
    if seeds is not None and seeds < 1:
        raise AssayError(f"--seeds: got {seeds}; expected a number >= 1")
    if sample is not None and not 0 < sample <= 1:
        percent = f": {sample / 100:g} is {sample:g} %" if 1 < sample <= 100 else ""
        raise AssayError(f"--sample: got {sample:g}; expected a fraction above 0 and up to 1{percent}")
    if epochs is not None and epochs < 1:
        raise AssayError(f"--epochs: got {epochs}; expected a number >= 1")
    name = data or (scale.data if quick else usual)
    if name:
        _check_data(name, is_given=data is not None)
    return ReproductionSpec(name, quick, seeds, sample, epochs, scale)


def _check_data(name: str, *, is_given: bool) -> None:
    """Raises DataError if a data set cannot be loaded, with how to get MNIST if that is what is missing."""
    try:
        load(name)
    except DataError as error:
        if is_given or name != "mnist":
            raise
        raise DataError(
            "the article trains on MNIST, which is not on this machine: fetch it with `assay data fetch mnist`, or "
            "give --data FOLDER with its four IDX files; --quick runs everything on the embedded digits"
        ) from error


__all__ = ["ReproductionSpec", "parse_spec"]

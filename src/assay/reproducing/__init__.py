"""Published results beside measured ones: the studies behind each article, and the page that compares."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from assay.errors import AssayError, unknown
from assay.reproducing.asking import Asked, asked_for, plans
from assay.reproducing.flux import adam_page, adam_plans, calibration_page, flux_page, flux_plans
from assay.reproducing.from_scratch import from_scratch_page, from_scratch_plans
from assay.reproducing.grid import grid_page, grid_plans
from assay.reproducing.lenet import lenet_page, lenet_plans
from assay.reproducing.pages import Page
from assay.reproducing.parameters import parameters_page
from assay.results import Results
from assay.studies.planning import Plan


@dataclass(frozen=True)
class Reproduction:
    """The studies that are run, in order, and the page made of what they gave (by the bundled study's name)."""

    about: str
    plans: Callable[[Asked], list[Plan]]
    page: Callable[[Asked, Mapping[str, Results]], Page]


def reproduction(name: str) -> Reproduction:
    """The reproduction of a name. Raises: AssayError."""
    if name not in REPRODUCTIONS:
        raise AssayError(unknown("reproduction", name, REPRODUCTIONS))
    return REPRODUCTIONS[name]


REPRODUCTIONS: dict[str, Reproduction] = {
    "flux-mnist": Reproduction("Flux.jl on MNIST: plain Descent", flux_plans, flux_page),
    "adam": Reproduction("Flux.jl on MNIST: ADAM against Descent", adam_plans, adam_page),
    "adam-calibration": Reproduction(
        "the learning rate that the article on ADAM does not state",
        lambda asked: plans(["adam-calibration"], asked),
        calibration_page,
    ),
    "from-scratch": Reproduction(
        "a network from scratch: Julia, NumPy, and what preallocation buys", from_scratch_plans, from_scratch_page
    ),
    "parameters": Reproduction(
        "parameter choice in PyTorch: one change at a time",
        lambda asked: plans(["parameters"], asked),
        parameters_page,
    ),
    "lenet5": Reproduction("a widened LeNet-5 in MATLAB, PyTorch and Flux", lenet_plans, lenet_page),
    "parameter-grid": Reproduction("parameter choice in PyTorch: all 2,187 combinations", grid_plans, grid_page),
}

__all__ = ["REPRODUCTIONS", "Asked", "Page", "Reproduction", "asked_for", "reproduction"]

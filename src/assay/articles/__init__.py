"""Published results next to measured ones: the studies behind each article, and the page that compares them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

from assay.articles.beyond import beyond_finals, beyond_page, beyond_plans
from assay.articles.flux import adam_page, adam_plans, calibration_page, flux_page, flux_plans
from assay.articles.from_scratch import from_scratch_page, from_scratch_plans
from assay.articles.grid import grid_finals, grid_page, grid_plans
from assay.articles.lenet import lenet_page, lenet_plans
from assay.articles.page import Page
from assay.articles.parameters import parameters_page
from assay.articles.spec import QUICK, ReproductionSpec, parse_spec, plans
from assay.articles.timings import time_table
from assay.errors import AssayError, unknown
from assay.results.results import Results
from assay.store.store import Store
from assay.studies.plan import Plan


def _no_plans(spec: ReproductionSpec, results: Mapping[str, Results]) -> list[Plan]:
    return []


@dataclass(frozen=True)
class Reproduction:
    """The studies behind an article, and the page that is made of their results.

    Attributes:
        about: What it reproduces, in a line.
        plans: The studies to run, in order.
        page: The page, from the results by the bundled study's name.
        then: Studies that depend on the results of the first ones.
    """

    about: str
    plans: Callable[[ReproductionSpec], list[Plan]]
    page: Callable[[ReproductionSpec, Mapping[str, Results]], Page]
    then: Callable[[ReproductionSpec, Mapping[str, Results]], list[Plan]] = _no_plans


def reproduction(name: str) -> Reproduction:
    """The reproduction of a name. Raises: AssayError."""
    if name not in REPRODUCTIONS:
        raise AssayError(unknown("reproduction", name, REPRODUCTIONS))
    return REPRODUCTIONS[name]


def results_of(plans: Iterable[Plan], store: Store) -> dict[str, Results]:
    """The stored results of each study, by the bundled study's name."""
    return {plan.study.name.removesuffix(QUICK): Results(store, plan.study.name) for plan in plans}


def page_of(chosen: Reproduction, spec: ReproductionSpec, plans: Iterable[Plan], store: Store) -> Page:
    """The page of a reproduction's stored results, with the time that its studies took."""
    plans = list(plans)
    results = results_of(plans, store)
    page = chosen.page(spec, results)
    return replace(page, parts=[*page.parts, time_table(plans, list(results.values()))])


REPRODUCTIONS: dict[str, Reproduction] = {
    "flux-mnist": Reproduction("Flux.jl on MNIST: plain Descent", flux_plans, flux_page),
    "adam": Reproduction("Flux.jl on MNIST: ADAM against Descent", adam_plans, adam_page),
    "adam-calibration": Reproduction(
        "the learning rate that the article on ADAM does not state",
        lambda spec: plans(["adam-calibration"], spec),
        calibration_page,
    ),
    "from-scratch": Reproduction(
        "a network from scratch: Julia, NumPy, and what preallocation buys", from_scratch_plans, from_scratch_page
    ),
    "parameters": Reproduction(
        "parameter choice in PyTorch: one change at a time",
        lambda spec: plans(["parameters"], spec),
        parameters_page,
    ),
    "lenet5": Reproduction("a widened LeNet-5 in MATLAB, PyTorch and Flux", lenet_plans, lenet_page),
    "parameter-grid": Reproduction(
        "parameter choice in PyTorch: all 2,187 combinations", grid_plans, grid_page, grid_finals
    ),
    "beyond": Reproduction(
        "what the articles left open: best configurations, tuned optimizers, seconds to 97 %",
        beyond_plans,
        beyond_page,
        beyond_finals,
    ),
}

__all__ = [
    "REPRODUCTIONS",
    "Page",
    "Reproduction",
    "ReproductionSpec",
    "page_of",
    "parse_spec",
    "reproduction",
    "results_of",
]

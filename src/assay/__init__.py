"""Assay measures what a training choice costs and what it buys."""

TYPE_CHECKING = False  # nothing is imported here: `python -m assay` has the current folder on its path until __main__
if TYPE_CHECKING:
    from typing import Any

    from assay.data.dataset import Dataset, from_arrays
    from assay.data.datasets import load as load_data
    from assay.errors import AssayError
    from assay.execution.ask_tell import Search
    from assay.execution.fit import Interrupted, fit
    from assay.execution.run import run
    from assay.parts.from_torch import layers_of
    from assay.parts.user_optimizers import allowing_code
    from assay.recipe.model import Recipe
    from assay.results.results import Results
    from assay.studies.study import Study
    from assay.training.checkpoints import restore as load_history
    from assay.training.history import History
    from assay.training.outcome import Outcome

__version__ = "0.2.0"

_FACE = {  # name -> module and, where it differs, the name there; loaded when first used
    "AssayError": "errors",
    "Dataset": "data.dataset",
    "History": "training.history",
    "Interrupted": "execution.fit",
    "Outcome": "training.outcome",
    "Recipe": "recipe.model",
    "Results": "results.results",
    "Search": "execution.ask_tell",
    "Study": "studies.study",
    "allowing_code": "parts.user_optimizers",
    "fit": "execution.fit",
    "from_arrays": "data.dataset",
    "layers_of": "parts.from_torch",
    "load_data": "data.datasets:load",
    "load_history": "training.checkpoints:restore",
    "run": "execution.run",
}

__all__ = [
    "AssayError",
    "Dataset",
    "History",
    "Interrupted",
    "Outcome",
    "Recipe",
    "Results",
    "Search",
    "Study",
    "__version__",
    "allowing_code",
    "fit",
    "from_arrays",
    "layers_of",
    "load_data",
    "load_history",
    "run",
]


def __getattr__(name: str) -> "Any":
    import importlib

    if name not in _FACE:
        raise AttributeError(f"module 'assay' has no attribute {name!r}")
    module, _, original = _FACE[name].partition(":")
    value = getattr(importlib.import_module(f"assay.{module}"), original or name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__

"""The kinds of pictures of a page: one file each. What they draw with is in `assay.report.charts`."""

from __future__ import annotations

from assay.articles.kinds import PagePart
from assay.articles.pictures.approach import Approach
from assay.articles.pictures.curves import CurvePicture
from assay.articles.pictures.effects import Effects
from assay.articles.pictures.effort import Effort
from assay.articles.pictures.grid import GridEffects, GridImportance, GridRuns, GridStrata
from assay.articles.pictures.pareto import Pareto
from assay.articles.pictures.sensitivity import Sensitivity

PICTURES: dict[str, type[PagePart]] = {
    "approach": Approach,
    "curves": CurvePicture,
    "effects": Effects,
    "effort": Effort,
    "grid-effects": GridEffects,
    "grid-importance": GridImportance,
    "grid-strata": GridStrata,
    "grid-runs": GridRuns,
    "pareto": Pareto,
    "sensitivity": Sensitivity,
}

__all__ = ["PICTURES"]

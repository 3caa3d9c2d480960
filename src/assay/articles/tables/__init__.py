"""The kinds of tables of a page: one file each."""

from __future__ import annotations

from assay.articles.kinds import PagePart
from assay.articles.tables.accuracy_by_epoch import AccuracyByEpoch
from assay.articles.tables.all_runs import AllRuns
from assay.articles.tables.best_combinations import BestCombinations
from assay.articles.tables.calibration import CalibrationTable
from assay.articles.tables.changes import Changes
from assay.articles.tables.cold_starts import ColdStarts
from assay.articles.tables.correct_counts import CorrectCounts
from assay.articles.tables.factors import Factors
from assay.articles.tables.logging_cost import LoggingCost
from assay.articles.tables.loss_by_epoch import LossByEpoch
from assay.articles.tables.main_effects import MainEffects
from assay.articles.tables.published_points import PublishedPoints
from assay.articles.tables.published_runs import PublishedRuns
from assay.articles.tables.published_seconds import PublishedSeconds
from assay.articles.tables.race import Race
from assay.articles.tables.sample_judged import SampleJudged
from assay.articles.tables.seeds import SeedTable
from assay.articles.tables.stated import Stated
from assay.articles.tables.time_to_target import TimeToTarget
from assay.articles.tables.tuned_networks import TunedNetworks
from assay.articles.tables.tuned_rates import TunedRates

TABLES: dict[str, type[PagePart]] = {
    "stated": Stated,
    "changes": Changes,
    "published-points": PublishedPoints,
    "published-seconds": PublishedSeconds,
    "calibration": CalibrationTable,
    "published-runs": PublishedRuns,
    "cold-starts": ColdStarts,
    "accuracy-by-epoch": AccuracyByEpoch,
    "loss-by-epoch": LossByEpoch,
    "seeds": SeedTable,
    "logging-cost": LoggingCost,
    "correct-counts": CorrectCounts,
    "all-runs": AllRuns,
    "factors": Factors,
    "main-effects": MainEffects,
    "sample-judged": SampleJudged,
    "best-combinations": BestCombinations,
    "race": Race,
    "time-to-target": TimeToTarget,
    "tuned-networks": TunedNetworks,
    "tuned-rates": TunedRates,
}

__all__ = ["TABLES"]

"""Made-up studies, of which the verdicts are known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd


@dataclass
class MadeUp:
    """A study of made-up trials; `frame`, `curves` and `budgets` are those of `Results`."""

    rows: list[dict[str, Any]]
    name: str = "made-up"
    axes: list[str] = field(default_factory=list)
    points: list[dict[str, Any]] = field(default_factory=list)
    lengths: dict[str, dict[str, float]] = field(default_factory=dict)
    seeds_added: str = ""
    looks: list[Any] = field(default_factory=list)

    def look_verdicts(self, measure: str = "accuracy") -> list[Any]:
        return self.looks if measure == "accuracy" else []

    def frame(self) -> pd.DataFrame:
        return pd.DataFrame(self.rows)

    def curves(self) -> pd.DataFrame:
        return pd.DataFrame(self.points)

    def budgets(self) -> pd.DataFrame:
        keys = [row["trial"] for row in self.rows]
        none = {"budget": float("nan"), "epochs": float("nan"), "finished": float("nan")}
        return pd.DataFrame([{"trial": key, **none, **self.lengths.get(key, {})} for key in keys])


def made_up(
    values: Mapping[str, Sequence[float | None]],
    *,
    column: str = "accuracy",
    outcomes: Mapping[str, Sequence[str]] | None = None,
    name: str = "made-up",
    columns: Mapping[str, Mapping[str, Any]] | None = None,
    first_seed: int = 1,
) -> MadeUp:
    """A study with these numbers per configuration, one per seed; None for a trial that was not trained."""
    rows: list[dict[str, Any]] = []
    for label, numbers in values.items():
        for repeat, number in enumerate(numbers):
            word = "planned" if number is None else "completed"
            if outcomes and label in outcomes:
                word = outcomes[label][repeat]
            row = {"trial": f"{name} {label} {repeat}", "configuration": label, "repeat": repeat, "outcome": word}
            row |= {"seed": first_seed + repeat, "classes": 10, "origin": "measured", column: number}
            row |= {"timing": "isolated", "machine": "m1", "threads": 2, "level": "avx2", "engine": "native"}
            row |= {"busy": None, "cohort": 1, "foreign_seconds": 0.0, "data": "digits"}
            rows.append(row | dict((columns or {}).get(label, {})))
    study = MadeUp(rows, name)
    study.lengths = {row["trial"]: {"budget": 100.0, "epochs": 10.0, "finished": 1000.0} for row in rows}
    for row in rows:
        if row[column] is not None:
            study.points += [
                {
                    "trial": row["trial"],
                    "iteration": t,
                    "examples": 10 * t,
                    column if column != "accuracy" else "test_accuracy": row[column] * t / 100,
                }
                for t in (0, 10, 50, 100)
            ]
    return study


def verdict_of(table: Mapping[str, Any], *studies: MadeUp, **options: Any) -> Any:
    """The judgement on one claim with this rule."""
    from assay.claims.claim import parse_claims
    from assay.claims.judge import judge

    claims = parse_claims({"claims": [{"id": "one", "text": "A claim", **table}]}, source="test")
    return judge(claims, {study.name: study for study in studies}, **options)[0]

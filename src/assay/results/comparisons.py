"""Which comparisons of a study are shown, out of its two families, and the sentences that lead them."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from assay.analysis.families import against, all_pairs, pairs_among
from assay.analysis.quantities import MEASURES
from assay.analysis.seed_values import SeedValues
from assay.analysis.verdict import Verdict, said_once
from assay.analysis.verdicts import best
from assay.errors import AssayError
from assay.report.answers import baseline_of

if TYPE_CHECKING:
    import pandas

MOST = 20  # comparisons of a table on the terminal
MATRIX = 40  # configurations of a matrix
_SENTENCES = 6  # where there are more comparisons than a table shows


@dataclass(frozen=True)
class Comparisons:
    """Verdicts to show, the first ones the most telling.

    Attributes:
        verdicts: those that are shown.
        total: how many there are of their kind.
        lead: sentences on all of them.
        about: what is compared, such as "each configuration with baseline".
    """

    verdicts: tuple[Verdict, ...]
    total: int
    lead: tuple[str, ...]
    about: str

    def table(self) -> pandas.DataFrame:
        """The table of `table_of`."""
        return table_of(self.verdicts)

    @property
    def replicate(self) -> str:
        """What the pairs are: "seed", "fold" or "re-split"."""
        return next((verdict.replicate for verdict in self.verdicts if not verdict.incomparable), "seed")

    @property
    def alone(self) -> str:
        """What a star in the table means; empty without one."""
        starred = [verdict for verdict in self.verdicts if verdict.interval_text().endswith("*")]
        return ALONE.format(comparisons=starred[0].comparisons) if starred else ""

    def sentences(self) -> list[str]:
        """What leads, and the verdicts in words: all of them, or the first ones where there are more than shown."""
        most = len(self.verdicts) if self.total <= MOST else _SENTENCES
        return [*self.lead, *said_once([verdict.sentence() for verdict in self.verdicts[:most]])]


def shown(
    trials: pandas.DataFrame,
    looks: Sequence[Verdict] = (),
    *,
    measure: str,
    alpha: float,
    names: Sequence[str] = (),
    baseline: str | None = None,
    most: int | None = MOST,
) -> Comparisons:
    """The comparisons of a study that a table shows, at most `most`; None: all.

    With names: of these with one another, or with the baseline, in the order asked. Else with a baseline (that named
    "baseline", or the one asked for): every configuration with it, the largest difference first. Else all pairs, or
    where these are more than a table shows, the best configuration with the others, the smallest difference first.
    `looks`: the stored verdicts on all pairs of a study to which seeds were added, which take the place of all pairs.
    """
    seeds = SeedValues.of(trials, measure)
    if len(seeds.names) < 2:
        raise AssayError(
            f"there is only one configuration, {', '.join(seeds.names)!r}, so there is nothing to compare it with"
        )
    if baseline is None and not names:
        baseline = baseline_of(trials, {measure: looks} if looks else None)
    if baseline is not None:
        return _with_baseline(seeds, baseline, names=names, alpha=alpha, most=most)
    if names:
        family = looks or pairs_among(seeds, names, alpha=alpha).verdicts()
        verdicts = _in_order(family, list(itertools.combinations(names, 2)))
        return Comparisons(tuple(verdicts[:most]), len(verdicts), (), f"{len(names)} configurations with one another")
    pairs = len(seeds.names) * (len(seeds.names) - 1) // 2
    if most is None or pairs <= most:
        verdicts = list(looks) or all_pairs(seeds, alpha=alpha).verdicts()
        return Comparisons(tuple(verdicts), pairs, (), "all pairs")
    first = best(trials, measure=measure, alpha=alpha, decided={measure: looks} if looks else None)
    closest = sorted(first.verdicts, key=lambda v: (not v.n, abs(v.difference)))[:most]
    about = f"{first.name} with the others, the smallest difference first"
    return Comparisons(tuple(closest), len(first.verdicts), (first.sentence(),), about)


def _with_baseline(
    seeds: SeedValues, baseline: str, *, names: Sequence[str], alpha: float, most: int | None
) -> Comparisons:
    family = against(seeds, baseline, alpha=alpha).verdicts()
    if names:
        of_names = {verdict.names[0]: verdict for verdict in family}
        verdicts = [of_names[name] for name in names if name in of_names]
        return Comparisons(tuple(verdicts[:most]), len(verdicts), (), f"with {baseline}")
    lead = (
        f"{sum(v.decided for v in family):,} of {len(family):,} configurations differ significantly from {baseline}",
    )
    family.sort(key=lambda v: -abs(v.difference) if v.difference == v.difference else 0.0)
    about = f"each configuration with {baseline}" + (", the largest difference first" if len(family) > 1 else "")
    return Comparisons(tuple(family[:most]), len(family), lead, about)


def _in_order(verdicts: Sequence[Verdict], pairs: Sequence[tuple[str, str]]) -> list[Verdict]:
    """The verdicts on these pairs, each from its first configuration's side."""
    of_pair = {frozenset(verdict.names): verdict for verdict in verdicts}
    found = [(pair, of_pair[frozenset(pair)]) for pair in pairs if frozenset(pair) in of_pair]
    return [verdict if verdict.names == pair else verdict.reversed() for pair, verdict in found]


def matrix(
    seeds: SeedValues, looks: Sequence[Verdict] = (), *, most: int = MATRIX
) -> tuple[list[str], list[list[str]]]:
    """The names of the best configurations, the best first, and the sign of each against each other.

    "+" where the first is significantly better, "-" where it is worse, "·" where it is open. Corrected for all pairs.
    """
    means = seeds.means()
    order = np.argsort(-means if MEASURES[seeds.measure].higher_is_better else means, kind="stable")  # NaN last
    names = [seeds.names[i] for i in order[:most]]
    signs = {(v.names, v.winner) for v in (looks or pairs_among(seeds, names).verdicts()) if v.winner is not None}
    better = {(winner, pair[pair[0] == winner]) for pair, winner in signs}
    rows = [
        ["" if a == b else "+" if (a, b) in better else "−" if (b, a) in better else "·" for b in names] for a in names
    ]
    return names, rows


ALONE = "the interval is of this difference alone, uncorrected for the {comparisons:,} comparisons"


def table_of(verdicts: Sequence[Verdict]) -> pandas.DataFrame:
    """Verdicts as the table that people read: a, b, difference, interval, n, p, finding, more seeds.

    The interval of a significant difference is simultaneous; a star marks that of a difference alone, `ALONE`.
    """
    import pandas

    rows: list[dict[str, object]] = []
    for verdict in verdicts:
        row: dict[str, object] = {"a": verdict.names[0], "b": verdict.names[1], "difference": verdict.difference}
        row |= {"interval": verdict.interval_text(), "n": verdict.n, "p_holm": verdict.p_corrected}
        rows.append(row | {"finding": finding_of(verdict), "more_seeds": verdict.more_seeds})
    table = pandas.DataFrame(rows).astype({"more_seeds": "Int64"})
    words = {verdict.replicate for verdict in verdicts if verdict.n and not verdict.incomparable}
    table.attrs["replicate"] = words.pop() if len(words) == 1 else "repeat" if words else "seed"
    return table


def finding_of(verdict: Verdict) -> str:
    """The verdict in a word or two.

    "better" and "worse" are the first configuration's, where the difference is significant.
    """
    if not verdict.n or not verdict.comparable:
        return "not comparable"
    if verdict.decided:
        return "better" if verdict.winner == verdict.names[0] else "worse"
    if verdict.difference == verdict.deviation == 0:
        return "equal"
    return f"too few {verdict.replicate}s" if verdict.too_few else "not significant"


def in_order(table: pandas.DataFrame, names: Sequence[str]) -> pandas.DataFrame:
    """Comparisons of configurations with one another in the order of the names, also within each comparison."""
    place = {name: number for number, name in enumerate(names)}
    turned = [place[a] > place[b] for a, b in zip(table["a"], table["b"], strict=True)]
    exchanged = {"a": "b", "missing_a": "missing_b", "ended_a": "ended_b"}
    exchanged |= {second: first for first, second in exchanged.items()}
    signs = {"low": "high", "high": "low", "low_uncorrected": "high_uncorrected", "high_uncorrected": "low_uncorrected"}
    result = table.copy()
    for column, other in (*exchanged.items(), *signs.items(), ("difference", "difference")):
        sign = -1 if column in signs or column == "difference" else 1
        values = zip(table[column].tolist(), table[other].tolist(), turned, strict=True)
        result[column] = [(sign * y if sign < 0 else y) if turn else x for x, y, turn in values]
    keys = [(place[a], place[b]) for a, b in zip(result["a"], result["b"], strict=True)]
    return result.iloc[sorted(range(len(keys)), key=lambda i: keys[i])]


__all__ = ["ALONE", "MOST", "Comparisons", "finding_of", "in_order", "matrix", "shown", "table_of"]

"""The verdict on claims: each is judged by its rule, from the stored results of studies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from assay.claims.claim import Claim, Condition
from assay.claims.measured import CannotTellError, Experiments, Measured, NotRunError, StudyData
from assay.claims.rules import RULES, Answer
from assay.claims.rules.rule import ASSUMES
from assay.errors import AssayError, RecipeError

HOLDS, FAILS, CANNOT_TELL, NOT_RUN = "holds", "does not hold", "cannot tell", "not run"
_ALPHA = 0.05


@dataclass(frozen=True)
class Judgement:
    """The verdict on a claim.

    Attributes:
        claim: The claim.
        holds: Whether it holds; None where that cannot be told, or what it needs was not run.
        rule: The rule in words.
        evidence: What was measured, in words.
        reason: Why it cannot be told; empty where it can.
        figures: The figures of each rule of the claim, as plain data.
        is_not_run: Whether it needs code that was not allowed.
    """

    claim: Claim
    holds: bool | None
    rule: str
    evidence: str
    reason: str = ""
    figures: Sequence[Mapping[str, Any]] = field(default_factory=list[Mapping[str, Any]])
    is_not_run: bool = False

    @property
    def verdict(self) -> str:
        """The verdict in words."""
        if self.holds is None:
            return NOT_RUN if self.is_not_run else CANNOT_TELL
        return HOLDS if self.holds else FAILS

    def plain(self) -> dict[str, Any]:
        """The judgement as plain data."""
        return {
            "id": self.claim.id,
            "claim": self.claim.text,
            "verdict": self.verdict,
            "rule": self.rule,
            "evidence": self.evidence,
            "reason": self.reason,
            "figures": [dict(figures) for figures in self.figures],
        }


def judge(
    claims: Sequence[Claim],
    studies: Mapping[str, StudyData],
    *,
    experiments: Experiments | None = None,
    main: str = "",
    stored: Sequence[str] = (),
) -> list[Judgement]:
    """The verdict on each claim.

    Args:
        claims: The claims.
        studies: The results of the studies, by name.
        experiments: The values of experiments; None where no code was run for them.
        main: The study of sides without `study`; by default, such a side is looked for in all of them.
        stored: The names of all stored studies, for messages; by default, those of `studies`.

    Returns:
        One judgement per claim, in order.

    Raises:
        RecipeError: A side selects no configuration or several, or a quantity is not there; all of it at once.
    """
    measured = Measured(studies, experiments, main=main, stored=stored)
    if problems := find_problems(claims, measured):
        raise RecipeError(problems, source=claims[0].source)
    return [_judged(claim, measured) for claim in claims]


def find_problems(claims: Sequence[Claim], measured: Measured) -> list[str]:
    """What is wrong with the sides of claims, read against the studies: sentences with their places."""
    problems: list[str] = []
    for claim in claims:
        for place, side in claim.condition.sides():
            if problem := measured.problem(side):
                problems.append(f"{place}: {problem}")
    return list(dict.fromkeys(problems))


def _judged(claim: Claim, measured: Measured) -> Judgement:
    tests = sum(RULES[leaf.rule].is_statistical(leaf.asked.values) for leaf in claim.condition.leaves())
    answer = _answer(claim.condition, measured, alpha=_ALPHA / max(1, tests))
    figures = answer.figures.get("parts", [answer.figures] if answer.figures else [])
    words = claim.condition.words() + (f" ({tests} tests, each at {_ALPHA / tests:.2g})" if tests > 1 else "")
    reason = answer.reason if answer.holds is None else ""
    return Judgement(claim, answer.holds, words, answer.evidence, reason, figures, answer.is_not_run)


def _answer(condition: Condition, measured: Measured, *, alpha: float) -> Answer:
    """The answer of a condition; tests are made at this level."""
    if condition.combine != "rule":
        return _combined(condition, [_answer(part, measured, alpha=alpha) for part in condition.parts])
    rule = RULES[condition.rule]
    try:
        answer = rule.answer(replace(condition.asked, alpha=alpha), measured)
    except NotRunError as error:
        return Answer(None, reason=str(error), is_not_run=True)
    except (CannotTellError, AssayError) as error:
        return Answer(None, reason=str(error))
    evidence = "; ".join(filter(None, [answer.evidence, *_unsaid(condition, measured, answer)]))
    figures = {"rule": condition.rule, "holds": answer.holds, **answer.figures}
    return replace(answer, evidence=evidence, figures=figures)


def _unsaid(condition: Condition, measured: Measured, answer: Answer) -> list[str]:
    """How many seeds of each side did not finish or have no result, where the rule's own words leave that out."""
    notes: list[str] = []
    words = f"{answer.evidence}; {answer.reason}"
    for _, side in condition.sides():
        if not side.is_selection:
            continue
        try:
            read = measured.read(side)
        except (CannotTellError, AssayError):
            continue
        pairs = zip(read.notes(), read.notes(named=True), strict=True)
        notes += [named for plain, named in pairs if plain not in words]
    return list(dict.fromkeys(notes))


def _combined(condition: Condition, answers: Sequence[Answer]) -> Answer:
    """All: no if one does not hold, else unknown if one is. Any: yes if one holds, else unknown if one is."""
    holds = [answer.holds for answer in answers]
    decisive = condition.combine == "any"
    result = decisive if decisive in holds else None if None in holds else not decisive
    figures: list[Mapping[str, Any]] = []
    for answer in answers:
        figures += answer.figures.get("parts", [answer.figures] if answer.figures else [])
    reasons = dict.fromkeys(answer.reason for answer in answers if answer.holds is None and answer.reason)
    is_not_run = result is None and any(answer.is_not_run for answer in answers)
    return Answer(
        result, _together([answer.evidence for answer in answers]), "; ".join(reasons), {"parts": figures}, is_not_run
    )


def _together(evidence: Sequence[str]) -> str:
    """The evidence of several rules; what a test assumes is said once, at the end."""
    clauses = [clause for text in dict.fromkeys(filter(None, evidence)) for clause in text.split("; ")]
    notes = [clause for clause in clauses if clause.startswith(ASSUMES)]
    return "; ".join([*(clause for clause in clauses if not clause.startswith(ASSUMES)), *dict.fromkeys(notes)])


__all__ = [
    "CANNOT_TELL",
    "FAILS",
    "HOLDS",
    "NOT_RUN",
    "Experiments",
    "Judgement",
    "StudyData",
    "find_problems",
    "judge",
]

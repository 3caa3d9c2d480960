"""The claims of an article, read for a run that may be scaled down, and judged from its studies and experiments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from assay.articles.context import Context
from assay.articles.page import Finding
from assay.claims.claim import Claim, parse_claims
from assay.claims.judge import find_problems, judge
from assay.claims.measured import Experiments, Measured
from assay.errors import AssayError, RecipeError

_PLACES = ("start", "flat_until", "fallen_by", "within")  # keys of rules that are iterations


def read_claims(raw: Any, *, source: str) -> tuple[Claim, ...]:
    """The claims of `[[claims]]`; none without the table. Raises: RecipeError with all problems."""
    return parse_claims({"claims": raw}, source=source) if raw else ()


def scaled(claims: Sequence[Claim], context: Context) -> tuple[Claim, ...]:
    """The claims with their iterations divided as a scaled-down run divides those of its studies."""
    if not context.spec.quick or not claims:
        return tuple(claims)
    return read_claims([_scaled(dict(claim.table), context) for claim in claims], source=claims[0].source)


def _scaled(value: Any, context: Context, key: str = "") -> Any:
    if isinstance(value, Mapping):
        entries: Mapping[str, Any] = value  # pyright: ignore[reportUnknownVariableType]
        return {name: _scaled(entry, context, str(name)) for name, entry in entries.items()}
    if isinstance(value, list):
        return [_scaled(entry, context) for entry in value]  # pyright: ignore[reportUnknownVariableType]
    if key in ("at", "iteration", *_PLACES) and isinstance(value, int) and not isinstance(value, bool):
        return context.spec.iterations(value)
    return value


def check_claims(claims: Sequence[Claim], context: Context) -> None:
    """Raises RecipeError if a side selects nothing, or several configurations, of the studies that are planned."""
    known = [claim for claim in scaled(claims, context) if set(claim.studies()) <= context.results.keys()]
    if known and (problems := find_problems(known, Measured(context.results))):
        raise RecipeError(problems, source=known[0].source)


def findings_of(claims: Sequence[Claim], context: Context) -> list[Finding]:
    """The claims with their verdicts, the rules in words, and what was measured."""
    claims = scaled(claims, context)
    findings: list[Finding] = []
    for claim in claims:
        missing = [name for name in claim.studies() if name not in context.results]
        if missing:
            sentence = f"the study {missing[0]} depends on results that are not there yet"
            findings.append(Finding(claim.text, claim.condition.words(), None, sentence, claim.id))
            continue
        try:
            experiments, reasons = _experiments(claim, context)
            (judgement,) = judge([claim], context.results, experiments=experiments)
        except RecipeError as error:  # nothing of a side is measured; what is planned was checked before
            evidence = "; ".join(problem.partition(": ")[2] for problem in error.problems)
            findings.append(Finding(claim.text, claim.condition.words(), None, evidence, claim.id))
            continue
        evidence = "; ".join(filter(None, (judgement.evidence, judgement.reason, *reasons)))
        findings.append(
            Finding(claim.text, judgement.rule, judgement.holds, evidence, claim.id, is_not_run=judgement.is_not_run)
        )
    return findings


def _experiments(claim: Claim, context: Context) -> tuple[Experiments | None, list[str]]:
    """The values that a claim needs (None where no code may be run for them), and why some are not there."""
    names = {side.experiment for _, side in claim.condition.sides() if side.experiment}
    if not names:
        return Experiments({}), []
    if context.experiments is None:
        return None, []
    values: dict[str, Any] = {}
    reasons: list[str] = []
    for name in sorted(names):
        try:
            values[name] = _numbers(name, context.experiment(name))
        except AssayError as error:
            values[name] = None
            reasons.append(str(error))
    return Experiments(values), reasons


def _numbers(name: str, value: Any) -> Any:
    """The value of an experiment: None, a number, or a list of numbers. Raises: AssayError for anything else."""
    for number in value if isinstance(value, list | tuple) else [value]:  # pyright: ignore[reportUnknownVariableType]
        if number is not None and (isinstance(number, bool) or not isinstance(number, int | float)):
            raise AssayError(f"experiments.py: {name}: returns {number!r}; expected a number, or a list of numbers")
    return value


__all__ = ["check_claims", "findings_of", "read_claims", "scaled"]

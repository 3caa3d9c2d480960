"""Judgements as JUnit XML, which continuous integration services show as tests."""

from __future__ import annotations

import re
from collections.abc import Sequence
from xml.sax.saxutils import escape, quoteattr

from assay.claims.judge import CANNOT_TELL, FAILS, NOT_RUN, Judgement
from assay.report.text import clean

_KINDS = {FAILS: "failure", CANNOT_TELL: "error", NOT_RUN: "skipped"}


def junit(study: str, judgements: Sequence[Judgement]) -> str:
    """One test case per claim. A claim that does not hold is a failure, one that cannot be told an error.

    A claim that needs code that was not run is skipped.
    """
    counts = {kind: sum(_KINDS.get(one.verdict) == kind for one in judgements) for kind in _KINDS.values()}
    numbers = f'tests="{len(judgements)}" failures="{counts["failure"]}" errors="{counts["error"]}"'
    numbers += f' skipped="{counts["skipped"]}"'
    cases = "".join(_case(study, judgement) for judgement in judgements)
    suite = f"  <testsuite name={_attribute(f'assay check {study}')} {numbers}>\n{cases}  </testsuite>\n"
    return f'<?xml version="1.0" encoding="utf-8"?>\n<testsuites {numbers}>\n{suite}</testsuites>\n'


def _case(study: str, judgement: Judgement) -> str:
    named = f"classname={_attribute(f'assay.check.{study}')} name={_attribute(judgement.claim.id)}"
    text = escape(_allowed(sentences(judgement)))
    kind = _KINDS.get(judgement.verdict)
    if kind is None:
        return f"    <testcase {named}>\n      <system-out>{text}</system-out>\n    </testcase>\n"
    message = _attribute(f"{judgement.verdict}: {judgement.reason or judgement.evidence}")
    return f"    <testcase {named}>\n      <{kind} message={message}>{text}</{kind}>\n    </testcase>\n"


def sentences(judgement: Judgement) -> str:
    """The claim, its verdict, its rule and its evidence, in sentences."""
    parts = [f"{judgement.claim.text}: {judgement.verdict}.", f"Rule: {judgement.rule}."]
    parts += [f"Measured: {judgement.evidence}."] if judgement.evidence else []
    parts += [f"Why not: {judgement.reason}."] if judgement.reason else []
    return " ".join(parts)


def _attribute(text: str) -> str:
    return quoteattr(_allowed(text))


_FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def _allowed(text: str) -> str:
    """The text without characters that XML 1.0 forbids, and without those that steer a terminal."""
    return _FORBIDDEN.sub("\ufffd", clean(text))


__all__ = ["junit", "sentences"]

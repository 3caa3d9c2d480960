"""The rules of claims. A further rule is a file of this folder, and its line in the table."""

from __future__ import annotations

from assay.claims.rules.beats import BEATS, DIFFERS
from assay.claims.rules.equal import EQUAL
from assay.claims.rules.flat_then_falls import FLAT_THEN_FALLS
from assay.claims.rules.less import LESS
from assay.claims.rules.no_worse import NO_WORSE
from assay.claims.rules.order import ORDER
from assay.claims.rules.published_point import PUBLISHED_POINT
from assay.claims.rules.ratio import RATIO
from assay.claims.rules.reaches import REACHES
from assay.claims.rules.rule import Answer, Asked, Key, Rule
from assay.claims.rules.spread import SPREAD
from assay.claims.rules.threshold import THRESHOLD

RULES: dict[str, Rule] = {
    "threshold": THRESHOLD,
    "less": LESS,
    "order": ORDER,
    "ratio": RATIO,
    "equal": EQUAL,
    "spread": SPREAD,
    "beats": BEATS,
    "differs": DIFFERS,
    "no-worse": NO_WORSE,
    "reaches": REACHES,
    "flat-then-falls": FLAT_THEN_FALLS,
    "published-point": PUBLISHED_POINT,
}
"""The rules by name, the simplest first."""

__all__ = ["RULES", "Answer", "Asked", "Key", "Rule"]

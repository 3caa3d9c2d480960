"""The values of a user's measures in a history; `measures` computes them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class OwnMeasures:
    """The values of a user's measures.

    Attributes:
        higher: For each measure, whether higher values are better.
        values: By iteration, the values by name, such as "test_f1".
    """

    higher: Mapping[str, bool] = field(default_factory=dict[str, bool])
    values: Mapping[int, Mapping[str, float]] = field(default_factory=dict[int, dict[str, float]])

    def plus(self, later: OwnMeasures) -> OwnMeasures:
        """These, and those of a training that resumes from them."""
        values = {t: {**self.values.get(t, {}), **later.values.get(t, {})} for t in {**self.values, **later.values}}
        return OwnMeasures({**self.higher, **later.higher}, values)

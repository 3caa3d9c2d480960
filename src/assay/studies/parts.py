"""A part of a study that a run on a store of its own trains."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from assay.errors import AssayError
from assay.studies.plan import Plan


@dataclass(frozen=True)
class StudyPart:
    """Part `number` of a study that is divided into `of` parts."""

    number: int
    of: int

    @classmethod
    def parse(cls, text: str) -> StudyPart:
        """A part from "K/N". Raises: AssayError.

        >>> StudyPart.parse("2/4")
        StudyPart(number=2, of=4)
        """
        match = re.fullmatch(r"(\d{1,6})/(\d{1,6})", text)
        if match is None or not 1 <= int(match[1]) <= int(match[2]):
            raise AssayError(f"--part: got {text!r}; expected K/N with 1 <= K <= N, such as 1/4")
        return cls(int(match[1]), int(match[2]))

    def plan(self, whole: Plan) -> Plan:
        """The plan of a study of which a run trains this part alone.

        Each trajectory is in one part, whatever the store has. They are dealt out in the order of their keys, which has
        nothing to do with the axes, so that the parts are about as long as each other.
        """
        trajectories = sorted({trial.trajectory for trial in whole.trials.values()})
        own = set(trajectories[self.number - 1 :: self.of])
        keys = frozenset(key for key, trial in whole.trials.items() if trial.trajectory in own)
        return replace(whole, own=keys)

    def sentence(self, plan: Plan) -> str:
        """What the part is, in words."""
        own = len(plan.trials if plan.own is None else plan.own)
        count = f"{own:,} of {len(plan.trials):,} trials"
        return f"part {self.number} of {self.of}: {count}; the others are left to other runs"


__all__ = ["StudyPart"]

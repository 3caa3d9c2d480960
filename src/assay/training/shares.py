"""What one member of a cohort has taken: of each stretch of time, its part among the members that were then trained."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

from assay.training.ledger import ENTRIES, Ledger


class Taken(NamedTuple):
    """What a trial has taken: its ledger, and its seconds of foreign load (None if unknown)."""

    ledger: Ledger
    foreign: float | None


class Share:
    """The ledger and the foreign load of one member, equal for all that are still trained.

    share = sum over stretches of (seconds of the cohort / members that were trained)

    >>> share = Share()
    >>> share.add(Ledger(train=4.0, wall=4.0, processor={}), 0.0, members=4)
    >>> share.add(Ledger(train=6.0, wall=6.0, processor={}), 0.0, members=1)
    >>> share.ledger.train
    3.0
    """

    def __init__(self) -> None:
        self.ledger = Ledger(processor={})
        self.foreign: float | None = 0.0
        self._spent, self._foreign = Ledger(processor={}), 0.0  # of the cohort, as far as it was shared out

    def add(self, spent: Ledger, foreign: float | None, *, members: int) -> None:
        """Shares out what the cohort has spent since the last call.

        Args:
            spent: The ledger of the cohort so far.
            foreign: Its seconds of foreign load so far; None if unknown.
            members: The number of members that were trained since the last call.
        """
        before, own = self._spent.processor or {}, self.ledger.processor
        assert own is not None  # it begins with none spent
        for name in ENTRIES:
            part = (getattr(spent, name) - getattr(self._spent, name)) / members
            setattr(self.ledger, name, getattr(self.ledger, name) + part)
            own[name] = own.get(name, 0.0) + ((spent.processor or {}).get(name, 0.0) - before.get(name, 0.0)) / members
        if foreign is None or self.foreign is None:
            self.foreign = None
        else:
            self.foreign += (foreign - self._foreign) / members
            self._foreign = foreign
        self._spent = spent

    def taken(self, seconds: float) -> Taken:
        """What a member has taken by now; `seconds`: of training, as its curve has them."""
        processor = dict(self.ledger.processor or {})
        return Taken(replace(self.ledger, train=seconds, processor=processor), self.foreign)

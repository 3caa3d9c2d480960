"""How long pieces of work will take: what was foreseen for each, corrected by what finished ones have taken."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass

_TRUST_SECONDS = 5.0  # of work, from which its pace counts for more than what was foreseen


def remaining(seconds: Collection[float], workers: int = 1) -> float:
    """Seconds until pieces that take so long are done by that many workers; never less than the longest of them."""
    return max(sum(seconds) / max(workers, 1), max(seconds, default=0.0))


@dataclass(frozen=True)
class Pace:
    """A piece in work: seconds since it began, how many of those foreseen were for this, and how many are left."""

    elapsed: float
    foreseen: float
    left: float


class Foreseen:
    """Estimates of single pieces, each corrected by the pace of all that was done, or by its own pace."""

    def __init__(self, seconds: Mapping[str, float]) -> None:
        self._seconds = seconds
        self._taken = self._foreseen = 0.0  # of what is done

    def of(self, piece: str) -> float:
        """The seconds foreseen for a piece; 0 where nothing was."""
        return self._seconds.get(piece, 0.0)

    def pace(self, piece: str, elapsed: float, begin: float, now: float) -> Pace:
        """Where a piece stands that was begun at the fraction `begin` and is now at the fraction `now`."""
        return Pace(elapsed, self.of(piece) * (now - begin), self.of(piece) * (1 - now))

    def done(self, pace: Pace) -> None:
        """Counts a piece that has ended."""
        self._taken += pace.elapsed
        self._foreseen += pace.foreseen

    def remaining(self, pieces: Collection[str], in_work: Mapping[str, Pace], workers: int) -> float:
        """Seconds until the pieces are done, those in work among them."""
        taken = self._taken + sum(pace.elapsed for pace in in_work.values()) + _TRUST_SECONDS
        foreseen = self._foreseen + sum(pace.foreseen for pace in in_work.values()) + _TRUST_SECONDS
        seconds: list[float] = []
        for piece in pieces:
            pace = in_work.get(piece, Pace(0.0, 0.0, self.of(piece)))
            own = pace.elapsed > _TRUST_SECONDS and pace.foreseen > 0
            seconds.append(pace.left * (pace.elapsed / pace.foreseen if own else taken / foreseen))
        return remaining(seconds, workers)


class Repeated:
    """Pieces that come again and again, of which nothing is foreseen: each as long as its last ones.

    A piece is a kind and a number. One that has not been timed yet is as long as the others of its kind.
    """

    def __init__(self) -> None:
        self._took: dict[tuple[str, int], list[float]] = defaultdict(list)
        self._took_by_kind: dict[str, list[float]] = defaultdict(list)

    def done(self, piece: tuple[str, int], seconds: float) -> None:
        """Counts a piece that has ended."""
        self._took[piece].append(seconds)
        self._took_by_kind[piece[0]].append(seconds)

    def remaining(self, counts: Mapping[tuple[str, int], int]) -> float | None:
        """Seconds until so many of each piece are done one after the other; None where nothing tells."""
        seconds: list[float] = []
        for piece, count in counts.items():
            times = self._took.get(piece) or self._took_by_kind.get(piece[0])
            if count and not times:
                return None
            seconds.append(count * statistics.mean(times) if count and times else 0.0)
        return sum(seconds)

"""What the server has made of a store, kept until the store changes, and made anew no more often than it can afford."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

T = TypeVar("T")
_PAUSE = 4.0  # times as long as making a value took, it is kept although the store has changed
_QUICK = 0.25  # seconds, below which a value is made anew at once


@dataclass
class Made(Generic[T]):
    """A value, what it was made from, when, and how long that took.

    Attributes:
        value: What was made.
        stamp: Of the store, or of the study, when it was made.
        began: When it was begun, by the monotonic clock.
        seconds: How long it took.
        is_behind: Whether the store has changed since, and the value waits for its turn to be made anew.
    """

    value: T
    stamp: Hashable
    began: float
    seconds: float
    is_behind: bool = False

    @property
    def wait(self) -> float:
        """Seconds until it may be made anew."""
        pause = _PAUSE * self.seconds if self.seconds > _QUICK else 0.0
        return max(0.0, self.began + self.seconds + pause - time.monotonic())


class Cache:
    """Values by key, the last used ones up to a weight. One is made at a time: two would take twice the memory.

    Args:
        most: The weight of all values that are kept; the last one is kept however heavy it is.
    """

    def __init__(self, most: int) -> None:
        self._most, self._making, self._reading = most, threading.Lock(), threading.Lock()
        self._made: OrderedDict[Hashable, tuple[Made[Any], int]] = OrderedDict()

    def get(
        self, key: Hashable, stamp: Hashable, make: Callable[[], T], *, weight: Callable[[T], int] = lambda _: 1
    ) -> Made[T]:
        """The value for the stamp; an older one, marked, where making it anew would take too much of the processor."""
        if (made := self._current(key, stamp)) is not None:
            return made
        with self._making:
            if (made := self._current(key, stamp)) is not None:  # another request has made it meanwhile
                return made
            began = time.monotonic()
            self._make_room(key)
            value = make()
            made = Made(value, stamp, began, time.monotonic() - began)
            with self._reading:
                self._made[key] = (made, weight(value))
                self._drop()
            return made

    def _current(self, key: Hashable, stamp: Hashable) -> Made[Any] | None:
        with self._reading:
            if key not in self._made:
                return None
            self._made.move_to_end(key)
            made, _ = self._made[key]
            made.is_behind = made.stamp != stamp
            return None if made.is_behind and made.wait <= 0 else made

    def _make_room(self, key: Hashable) -> None:
        """Forgets the old value first if it is heavy: there is room for one of them."""
        with self._reading:
            if key in self._made and self._made[key][1] > self._most // 2:
                del self._made[key]

    def _drop(self) -> None:
        while len(self._made) > 1 and sum(weight for _, weight in self._made.values()) > self._most:
            self._made.popitem(last=False)


__all__ = ["Cache", "Made"]

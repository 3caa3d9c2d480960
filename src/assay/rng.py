"""The only maker of random numbers: named streams of raw Philox bits with random access.

Every number is a pure function of (seed, purpose, index, position), so a batch or a weight never depends on what was
drawn before it. Only the raw bits of the generator are used, because NumPy guarantees these from version to version
and does not guarantee the distributions built on them.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_WORDS_A_BLOCK = 4  # Philox4x64 makes four 64-bit words for each value of its counter
_PLACES = 1 << 20  # what the lowest bits of a word can say in a permutation's stead
_PLACE = np.uint64(_PLACES - 1)


@dataclass(frozen=True)
class Stream:
    """One stream of random numbers, read at any position.

    Source: Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3" (SC 2011).
    """

    key: int

    def words(self, count: int, *, start: int = 0) -> NDArray[np.uint64]:
        """The 64-bit words at positions start ... start + count - 1."""
        block, skip = divmod(start, _WORDS_A_BLOCK)
        raw = np.random.Philox(key=self.key, counter=block).random_raw(count + skip)
        return np.asarray(raw, dtype=np.uint64)[skip:]

    def uniform(self, count: int, *, start: int = 0) -> NDArray[np.float64]:
        """Uniform numbers in [0, 1), multiples of 2**-53."""
        return (self.words(count, start=start) >> np.uint64(11)) * np.float64(2.0**-53)

    def integers(self, high: int, count: int, *, start: int = 0) -> NDArray[np.int64]:
        """Uniform integers in 0 ... high - 1; the bias is below high / 2**53."""
        return (self.uniform(count, start=start) * high).astype(np.int64)

    def normal(self, count: int) -> NDArray[np.float64]:
        """Standard normal numbers, by the transform of Box and Muller (1958)."""
        half = (count + 1) // 2
        radius = np.sqrt(-2.0 * np.log1p(-self.uniform(half)))
        angle = 2.0 * np.pi * self.uniform(half, start=half)
        return np.concatenate([radius * np.cos(angle), radius * np.sin(angle)])[:count]

    def permutation(self, count: int) -> NDArray[np.int64]:
        """The numbers 0 ... count - 1 in a random order: that of `count` words, equal ones by their places."""
        if count <= _PLACES:  # sorting words that end in their places takes a fifth of the time of `argsort`
            keys = self.words(count)
            keys &= ~_PLACE
            keys |= np.arange(count, dtype=np.uint64)
            keys.sort()
            if ((keys[1:] ^ keys[:-1]) > _PLACE).all():  # else what is left of two words is equal
                keys &= _PLACE
                return keys.view(np.int64)
        return np.argsort(self.words(count), kind="stable")


def stream(seed: int, purpose: str, index: int = 0) -> Stream:
    """The stream of a seed, a purpose ("weights", "batches", ...) and an index (a layer, an epoch).

    >>> int(stream(1, "batches").integers(60_000, 1, start=7)[0]) == int(stream(1, "batches").integers(60_000, 9)[7])
    True
    """
    digest = hashlib.blake2b(f"{seed}/{purpose}/{index}".encode(), digest_size=16).digest()
    return Stream(int.from_bytes(digest, "little"))

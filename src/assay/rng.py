"""The only source of random numbers: named streams of raw Philox bits with random access.

Every number is a pure function of (seed, purpose, index, position), so a batch or a weight never depends on what was
drawn before it. Only the raw bits of the generator are used, because NumPy guarantees these across versions but not the
distributions built on them.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_WORDS_PER_BLOCK = 4  # Philox4x64 makes four 64-bit words for each value of its counter
_MAX_INDICES = 1 << 20  # how many indices the lowest 20 bits of a word can hold
_INDEX_BITS = np.uint64(_MAX_INDICES - 1)


@dataclass(frozen=True)
class Stream:
    """One stream of random numbers, read at any position.

    Source: Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3" (SC 2011).
    """

    key: int

    def words(self, count: int, *, start: int = 0) -> NDArray[np.uint64]:
        """The 64-bit words at positions start ... start + count - 1."""
        block, skip = divmod(start, _WORDS_PER_BLOCK)
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
        """The numbers 0 ... count - 1 in random order: sorted by `count` random words, ties by index."""
        if count <= _MAX_INDICES:  # sorting words whose lowest bits are their index is five times as fast as `argsort`
            keys = self.words(count)
            keys &= ~_INDEX_BITS
            keys |= np.arange(count, dtype=np.uint64)
            keys.sort()
            if ((keys[1:] ^ keys[:-1]) > _INDEX_BITS).all():  # else two words are equal in their remaining bits
                keys &= _INDEX_BITS
                return keys.view(np.int64)
        return np.argsort(self.words(count), kind="stable")


def stream(seed: int, purpose: str, index: int = 0) -> Stream:
    """The stream of a seed, a purpose ("weights", "batches", ...) and an index (a layer, an epoch).

    >>> int(stream(1, "batches").integers(60_000, 1, start=7)[0]) == int(stream(1, "batches").integers(60_000, 9)[7])
    True
    """
    digest = hashlib.blake2b(f"{seed}/{purpose}/{index}".encode(), digest_size=16).digest()
    return Stream(int.from_bytes(digest, "little"))

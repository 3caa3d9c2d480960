"""What each engine promises of each law, by kind of device: one table, which the contract tests and the docs read.

A tolerance is the largest difference, relative where a value is above 1; `SAME_BITS` is 0. What is not in the table
is not promised, and nothing is of an external program or of a user's optimizer.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

SAME_BITS = 0.0

LAWS = {
    1: "Parity",
    2: "Chunks",
    3: "Cohort",
    4: "Watching",
    5: "Resume",
    6: "Gradients",
}
"""The laws of `assay.engines.base`, by their numbers."""


@dataclass(frozen=True)
class Tolerance:
    """How close two results are: the largest difference by precision, and over how many iterations.

    `kinked`: over how many iterations where the activation has a kink (relu, leaky_relu, elu). There, rounding may put
    a unit on the other side of the kink, and on some seeds float32 networks part from then on.
    """

    by_precision: Mapping[str, float]
    iterations: Mapping[str, int] = field(default_factory=dict[str, int])  # by precision; empty: however many
    kinked: int = 0

    @property
    def same_bits(self) -> bool:
        """Whether the results are equal to the last bit."""
        return all(limit == SAME_BITS for limit in self.by_precision.values())

    def text(self) -> str:
        """The limit in words.

        >>> Tolerance({"float64": 1e-10, "float32": 1e-4}, {"float64": 60, "float32": 200}, kinked=20).text()
        'float64: 1e-10 over 60 iterations; float32: 1e-4 over 200 iterations; 20 iterations with a kink'
        """
        if self.same_bits:
            return "same bits"
        parts = [self._of(name) for name in self.by_precision]
        return "; ".join([*parts, f"{self.kinked} iterations with a kink"] if self.kinked else parts)

    def _of(self, precision: str) -> str:
        limit = f"{self.by_precision[precision]:.0e}".replace("e-0", "e-")
        count = self.iterations.get(precision)
        return f"{precision}: {limit}" + (f" over {count} iterations" if count else "")


_SAME = Tolerance({"float64": SAME_BITS, "float32": SAME_BITS})
_REFERENCE = {1: _SAME}
_PARITY = {1: Tolerance({"float64": 1e-10, "float32": 1e-4}, {"float64": 60, "float32": 200}, kinked=20)}
_BITS = dict.fromkeys((2, 3, 4, 5), _SAME)
_TOGETHER = Tolerance({"float64": 1e-11, "float32": 1e-4}, {"float64": 25, "float32": 25})
_GRADIENTS = {6: Tolerance({"float64": 1e-6})}

PROMISES: dict[tuple[str, str], dict[int, Tolerance]] = {
    ("numpy", "cpu"): _REFERENCE | _BITS | _GRADIENTS,
    ("native", "cpu"): _PARITY | _BITS | _GRADIENTS,
    ("jax", "cpu"): _PARITY | _BITS | {3: _TOGETHER} | _GRADIENTS,
    ("torch", "cpu"): _PARITY | _BITS | _GRADIENTS,
    ("torch", "cuda"): {1: Tolerance({"float32": 1e-4}, {"float32": 200})},
}
"""(engine, kind of device) -> law -> its limit. XLA compiles a cohort into one program, whose sums over a batch may be
in another order than those of a trial alone: jax does not promise the same bits there. Same bits need the same
machine, version of the libraries, number of threads and, of the native engine, instruction level."""


def promised(engine: str, law: int, *, device: str = "cpu") -> Tolerance | None:
    """The limit of an engine on a device under a law, or None if it promises none.

    >>> promised("native", 3).same_bits, promised("jax", 3).same_bits, promised("jax", 3, device="cuda")
    (True, False, None)
    """
    return PROMISES.get((engine, device.partition(":")[0]), {}).get(law)


def table() -> str:
    """The promises as a table in Markdown: a row for each engine and kind of device, a column for each law."""
    rows = [["engine, device", *(f"{number} {name}" for number, name in LAWS.items())], ["---"] * (1 + len(LAWS))]
    for (engine, device), limits in PROMISES.items():
        cells = [limits[law].text() if law in limits else "no promise" for law in LAWS]
        if (engine, device) == ("numpy", "cpu"):
            cells[0] = "is the reference"
        rows.append([f"{engine}, {device}", *cells])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows) + "\n"

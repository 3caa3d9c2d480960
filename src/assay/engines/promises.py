"""What each engine promises of each law, by kind of device: one table, which the contract tests and the docs read.

A tolerance is the largest difference, relative where a value is above 1; `SAME_BITS` is 0. What is not in the table
is not promised, and nothing is of an external program or of a user's optimizer. A promise that no card has confirmed
is what the tests expect there; nothing may rely on it until they have passed on one.
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

    Attributes:
        by_precision: The limit of each precision that has one.
        iterations: By precision, over how many iterations; empty: however many.
        kinked: Over how many iterations where the activation has a kink (relu, leaky_relu, elu). There, rounding may
            put a unit on the other side of the kink, and on some seeds float32 networks part from then on.
        bounded: The precisions in which the gradients of a batch and one step of descent are held to the rounding
            bound of `assay.bench.rounding` instead of whole trainings to a limit.
        confirmed: Whether the contract tests have passed on such a device.
    """

    by_precision: Mapping[str, float]
    iterations: Mapping[str, int] = field(default_factory=dict[str, int])
    kinked: int = 0
    bounded: tuple[str, ...] = ()
    confirmed: bool = True

    @property
    def exact(self) -> bool:
        """Whether the tests hold the results to the last bit."""
        return not self.bounded and all(limit == SAME_BITS for limit in self.by_precision.values())

    @property
    def same_bits(self) -> bool:
        """Whether the results are equal to the last bit, and this has been confirmed on such a device."""
        return self.exact and self.confirmed

    def text(self) -> str:
        """The limit in words.

        >>> Tolerance({"float64": 1e-10, "float32": 1e-4}, {"float64": 60, "float32": 200}, kinked=20).text()
        'float64: 1e-10 over 60 iterations; float32: 1e-4 over 200 iterations; 20 iterations with a kink'
        >>> Tolerance({"float32": SAME_BITS}, confirmed=False).text()
        'same bits (unconfirmed)'
        """
        parts = ["same bits"] if self.exact else [self._of(name) for name in self.by_precision]
        if self.bounded:
            parts.append(f"{', '.join(self.bounded)}: gradients and one step within the rounding bound")
        parts += [f"{self.kinked} iterations with a kink"] if self.kinked else []
        return "; ".join(parts) + ("" if self.confirmed else " (unconfirmed)")

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

_LOW = ("float32", "tensorfloat32", "bfloat16")
_PARITY_ON_GPU = {1: Tolerance({"float64": 1e-10}, {"float64": 60}, kinked=20, bounded=_LOW, confirmed=False)}
_BITS_ON_GPU = Tolerance(dict.fromkeys(("float64", *_LOW), SAME_BITS), confirmed=False)
_TOGETHER_ON_GPU = Tolerance(
    {"float64": 1e-11, "float32": 1e-4, "tensorfloat32": 1e-2, "bfloat16": 5e-2},
    {"float64": 25, "float32": 25, "tensorfloat32": 10, "bfloat16": 10},
    confirmed=False,
)
_GRADIENTS_ON_GPU = {6: Tolerance({"float64": 1e-6}, confirmed=False)}

PROMISES: dict[tuple[str, str], dict[int, Tolerance]] = {
    ("numpy", "cpu"): _REFERENCE | _BITS | _GRADIENTS,
    ("native", "cpu"): _PARITY | _BITS | _GRADIENTS,
    ("jax", "cpu"): _PARITY | _BITS | {3: _TOGETHER} | _GRADIENTS,
    ("torch", "cpu"): _PARITY | _BITS | _GRADIENTS,
    ("jax", "cuda"): _PARITY_ON_GPU
    | {2: _BITS_ON_GPU, 3: _TOGETHER_ON_GPU, 4: _BITS_ON_GPU, 5: _TOGETHER_ON_GPU}
    | _GRADIENTS_ON_GPU,
    ("torch", "cuda"): _PARITY_ON_GPU
    | {2: _BITS_ON_GPU, 3: _TOGETHER_ON_GPU, 4: _BITS_ON_GPU, 5: _BITS_ON_GPU}
    | _GRADIENTS_ON_GPU,
    ("torch", "mps"): {1: Tolerance({}, bounded=("float32", "bfloat16"), confirmed=False)},
}
"""(engine, kind of device) -> law -> its limit. XLA compiles a cohort into one program, whose sums over a batch may be
in another order than those of a trial alone: jax does not promise the same bits there. On a GPU, XLA chooses kernels by
measuring them when it compiles, so that a program that another process compiles may sum in another order: jax does not
promise the same bits of a resumed training there. Same bits need the same machine, version of the libraries, number of
threads and, of the native engine, instruction level; on a GPU deterministic kernels, which are the default."""

NUMERICS: dict[tuple[str, str], int] = {
    ("numpy", "cpu"): 1,
    ("native", "cpu"): 3,
    ("jax", "cpu"): 1,
    ("jax", "cuda"): 2,  # 2: deterministic kernels
    ("torch", "cpu"): 3,
    ("torch", "cuda"): 4,  # 4: deterministic kernels, batched cohorts
    ("torch", "mps"): 3,
}
"""(engine, kind of device) -> a version of the results, increased by hand when their bits may change. It is part of a
trial's key, so that older results of that device belong to other trials."""


def numerics(engine: str, device: str = "cpu") -> int:
    """The version of the results of an engine on a device; 1 for what is not in the table.

    >>> numerics("torch"), numerics("torch", "cuda:1")
    (3, 4)
    """
    return NUMERICS.get((engine, kind_of(device)), 1)


def kind_of(device: str) -> str:
    """The kind of a device; jax calls a CUDA device also "gpu".

    >>> kind_of("cuda:1"), kind_of("gpu")
    ('cuda', 'cuda')
    """
    kind = device.partition(":")[0]
    return "cuda" if kind == "gpu" else kind


def promised(engine: str, law: int, *, device: str = "cpu") -> Tolerance | None:
    """The limit of an engine on a device under a law, or None if it promises none.

    >>> promised("native", 3).same_bits, promised("jax", 3).same_bits, promised("numpy", 3, device="cuda")
    (True, False, None)
    """
    return PROMISES.get((engine, kind_of(device)), {}).get(law)


def resumes_exactly(engine: str, device: str) -> bool:
    """Whether a resumed training equals an uninterrupted one bit for bit, as confirmed on such a device.

    >>> resumes_exactly("torch", "cpu"), resumes_exactly("torch", "cuda")
    (True, False)
    """
    limit = promised(engine, 5, device=device)
    return limit is not None and limit.same_bits


def table() -> str:
    """The promises as a table in Markdown: a row for each engine and kind of device, a column for each law."""
    rows = [["engine, device", *(f"{number} {name}" for number, name in LAWS.items())], ["---"] * (1 + len(LAWS))]
    for (engine, device), limits in PROMISES.items():
        cells = [limits[law].text() if law in limits else "no promise" for law in LAWS]
        if (engine, device) == ("numpy", "cpu"):
            cells[0] = "is the reference"
        rows.append([f"{engine}, {device}", *cells])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows) + "\n"

"""How many trials a worker trains at once: as many as fit its memory, by the engine's estimate, then by measurement."""

from __future__ import annotations

from collections.abc import Sequence

import psutil

from assay.data.prepare import Prepared
from assay.engines.base import Cohort, Engine
from assay.engines.program import Program
from assay.recipe.cohorts import static_form
from assay.training.loop import splits_of
from assay.workers.batch import Member

_HOST_BYTES = 2**29  # of the weights, slots and outputs of a cohort on a CPU
_FRACTION = 0.9  # of the free memory of a GPU that a cohort may take: libraries take workspaces beyond the arrays
_HOST_FRACTION = 0.25  # of the free memory of the machine for what a cohort on a GPU reports


class CohortSizes:
    """The sizes of cohorts in one worker process, which learns what a trial of a form takes of a GPU's memory."""

    def __init__(self) -> None:
        self._bytes: dict[str, float] = {}  # of a trial on the GPU, by its form
        self._most: dict[str, int] = {}  # half of a size that ran out of memory, by its form
        self._peak = 0  # of the process so far

    def size(
        self, members: Sequence[Member], engine: Engine | Program, data: Prepared, *, limit: int | None = None
    ) -> int:
        """How many of the members are trained at once.

        Args:
            members: Trajectories of one form.
            engine: What trains them.
            data: The prepared data.
            limit: The bytes that the worker may take; None for no limit.
        """
        if len(members) < 2:
            return len(members)
        recipe, n = members[0].recipes[-1], len(data.y_train)
        network = recipe.model.network(data.shape, data.classes)
        one, two = (engine.memory(Cohort((recipe,) * count, network), n) for count in (1, 2))
        outputs = 8 * len(data.y_test) * data.classes
        weights = 8 * network.parameters * (1 + type(recipe.optimizer).stored_slots())  # copies that are reported
        free = engine.free_device_memory()
        if free is None:
            most = _HOST_BYTES if limit is None else min(_HOST_BYTES, limit // 4)
            return _at_least_one(most / (two - one + outputs + weights), members)
        host = psutil.virtual_memory().available * _HOST_FRACTION if limit is None else limit / 4
        form = static_form(recipe)
        each = self._bytes.get(form, two - one)
        fitting = min((_FRACTION * free - _data_bytes(members, data)) / each, host / (outputs + weights))
        return min(_at_least_one(fitting, members), self._most.get(form, len(members)))

    def learn(self, members: Sequence[Member], engine: Engine | Program, data: Prepared) -> None:
        """Takes the peak of the GPU's memory after a cohort has ended, if no earlier one of this process was higher."""
        peak = engine.peak_device_memory()
        if peak is None or peak <= self._peak:
            return
        self._peak = peak
        form = static_form(members[0].recipes[-1])
        self._bytes[form] = max(peak - _data_bytes(members, data), 1) / len(members)

    def ran_out(self, members: Sequence[Member], engine: Engine | Program | None) -> None:
        """Halves the size of the cohorts of a form, one of which has run out of memory."""
        self._peak = max(self._peak, (engine.peak_device_memory() if engine else None) or 0)
        self._most[static_form(members[0].recipes[-1])] = max(1, len(members) // 2)


def _data_bytes(members: Sequence[Member], data: Prepared) -> int:
    """The bytes of the examples and their one-hot labels, which a cohort shares."""
    parts = splits_of(members[0].recipes[-1], data).parts.values()
    return sum(x.nbytes + x.itemsize * len(y) * data.classes for x, y in parts)


def _at_least_one(count: float, members: Sequence[Member]) -> int:
    return max(1, min(int(count), len(members)))

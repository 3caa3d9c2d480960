"""Whether other processes used the GPU around an isolated trial, which its seconds do not show by themselves."""

from __future__ import annotations

from dataclasses import replace

from assay.engines.base import Engine
from assay.engines.program import Program
from assay.system.gpu import others, processes
from assay.training.history import History

_OTHERS = "busy machine: other processes were on the GPU"
UNKNOWN = "whether other processes used the GPU is unknown: its driver does not show them to this process"


class GpuWatch:
    """The processes on the GPU of a training, before it begins and when a trial of it has ended.

    Args:
        engine: What trains; nothing is watched where it is on no CUDA device.
        earlier: The history that the training resumes, whose seconds count too.
    """

    def __init__(self, engine: Engine | Program, earlier: History | None = None) -> None:
        self._number = None if isinstance(engine, Program) else engine.device_number()
        self._before = None if self._number is None else processes(self._number)
        self._earlier = [] if earlier is None else [text for text in earlier.warnings if text.startswith(_OTHERS)]

    def marked(self, history: History) -> History:
        """A history, marked as of a busy machine where there were others, and with a sentence where that is unknown."""
        if self._number is None:
            return history
        count = others(self._before, processes(self._number))
        if count == 0 and not self._earlier:
            return history
        if count is None and not self._earlier:
            load = replace(history.load, busy=history.load.busy or None)
            return replace(history, load=load, warnings=(*history.warnings, UNKNOWN))
        sentence = f"{_OTHERS} before or after the training: {count}" if count else self._earlier[0]
        return replace(history, load=replace(history.load, busy=True), warnings=(*history.warnings, sentence))

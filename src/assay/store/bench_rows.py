"""The schema of a stored bench: what answers, tables and charts read of it, with its types."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from assay.training.checked import Fraction, Number, Seconds, Whole

_strict = ConfigDict(strict=True, extra="ignore")
_Positive = Annotated[Number, Field(gt=0)]


class _Table(BaseModel):
    model_config = _strict


class _Spread(_Table):
    median: Number
    min: Number
    max: Number
    n: Whole


class _PositiveSpread(_Table):
    median: _Positive
    min: _Positive
    max: _Positive
    n: Whole


class _Summary(_Table):
    start_up: _Spread | None = None
    data: _Spread | None = None
    compile: _Spread | None = None
    first_epoch: _Spread | None = None
    later_epoch: _Spread | None = None
    train: _PositiveSpread | None
    validate_: _Spread | None = Field(None, alias="validate")
    total: _PositiveSpread | None
    examples_per_second: Number | None = None
    gflops: Number | None = None
    limit: _Positive | None
    times_limit: Number | None = None
    ratio: _PositiveSpread | None
    accuracy: _Spread | None = None
    r2: _Spread | None = None
    rmse: _Spread | None = None


class _Check(_Table):
    what: str
    deviation: Number | None
    array: str


class _Certificate(_Table):
    reference: str
    iterations: Whole
    tolerance: Number
    losses: Number | None
    weights: Number | None
    parted: Fraction = 0.0
    may_part: Fraction = 0.0
    notes: list[str]
    holds: bool
    arithmetic: str = ""
    checks: list[_Check] = []


class _Start(_Table):
    repeat: Whole
    start_up: Seconds
    data: Seconds
    compile: Seconds


class _Epoch(_Table):
    repeat: Whole
    number: Whole
    begin: Number
    batches: Seconds
    train: Seconds
    validate_: Seconds = Field(alias="validate")
    examples: Whole
    loss: Number | None
    accuracy: Fraction | None
    r2: Number | None = None
    rmse: Number | None = None


class _Row(_Table):
    label: str
    engine: str
    device: str
    threads: Whole | None
    precision: str
    state: str
    reason: str
    certificate: _Certificate | None
    summary: _Summary
    starts: list[_Start]
    epochs: list[_Epoch]


class _Data(_Table):
    name: str
    examples: Whole
    iterations_per_epoch: Whole


class _Machine(_Table):
    cpu: str
    cores: Whole


class _Calibration(_Table):
    sgemm: dict[str, Number]
    memory: Number


class _Calibrations(_Table):
    before: _Calibration | None
    after: _Calibration | None


class _Baseline(_Table):
    row: str | None
    why: str


class BenchContent(_Table):
    """A bench as plain data. Keys that it does not name are not read."""

    name: str
    outcome: str
    recipe: dict[str, object]
    data: _Data
    epochs: Whole
    repeats: Whole
    calibration: _Calibrations
    baseline: _Baseline
    machine: _Machine
    notes: list[str]
    rows: list[_Row]
    timeline: list[object]


__all__ = ["BenchContent"]

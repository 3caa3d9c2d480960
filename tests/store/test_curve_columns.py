"""The curves of a large study are decoded while they are read, exactly, in four bytes where that is exact."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from assay.store.curve_columns import CurveColumn, imported_column
from assay.store.curves import header_of, load, packed


def _curve(count: int, *, step: int = 1, loss: float = 0.1, **more: Any) -> bytes:
    columns: dict[str, list[Any]] = {
        "iteration": [step * i for i in range(count)],
        "examples": [32 * step * i for i in range(count)],
        "seconds": [0.1 * i for i in range(count)],
        "test_loss": [loss] * count,
    }
    return packed(columns | more)


@given(st.lists(st.lists(st.tuples(st.integers(0, 5), st.floats(0, 1e30)), max_size=4), max_size=4))
def test_columns_are_those_of_all_curves_at_once(portions: list[list[tuple[int, float]]]) -> None:
    cells = [[_curve(count, loss=loss) for count, loss in portion] for portion in portions]
    column = CurveColumn()
    for some in cells:
        column.extend(some)
    counts, columns = column.joined()
    whole = load([cell for some in cells for cell in some], check=True)
    assert counts.tolist() == whole.counts.tolist()
    assert columns.keys() == whole.columns.keys()
    for name, values in columns.items():
        assert values.astype(np.float64).tolist() == whole.columns[name].astype(np.float64).tolist()


def test_what_four_bytes_do_not_hold_takes_eight() -> None:
    column = CurveColumn()
    column.extend([_curve(3, loss=0.5)])
    column.extend([_curve(3, step=2**31, loss=0.1)])
    _, columns = column.joined()
    assert columns["iteration"].tolist() == [0, 1, 2, 0, 2**31, 2**32]
    assert columns["test_loss"].tolist() == [0.5] * 3 + [0.1] * 3
    alone = CurveColumn()
    alone.extend([_curve(3, loss=0.5)])
    assert {name: values.dtype.itemsize for name, values in alone.joined()[1].items()} == {
        "iteration": 4,
        "examples": 4,
        "seconds": 8,
        "test_loss": 4,
    }


def test_cells_are_headers_and_damaged_or_missing_curves_have_no_points() -> None:
    sound, wrong = _curve(2), _curve(2, test_accuracy=[0.5, 7.0])
    cut = sound[:-1] + bytes([sound[-1] ^ 1])
    column = CurveColumn()
    column.extend([None, sound, cut])
    column.extend([wrong, sound])
    assert list(column) == [None, *(header_of(cell) for cell in (sound, cut, wrong, sound))]
    assert column[1] is column[4]
    assert column.errors == {
        2: "is damaged: its checksum does not match",
        3: "test_accuracy: expected fractions from 0 to 1",
    }
    foreign = imported_column([_curve(2, examples=[None, None], seconds=[None, 1.0])])
    counts, columns = column.joined(foreign)
    assert counts.tolist() == [0, 2, 0, 0, 2, 2]
    np.testing.assert_array_equal(columns["examples"], [0, 32, 0, 32, np.nan, np.nan])
    np.testing.assert_array_equal(columns["seconds"], [0, 0.1, 0, 0.1, np.nan, 1])
    assert not foreign.errors

"""Rows checked many at once: what is refused, and why, is what the check of one row says."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
import sqlalchemy as sa

from assay.errors import StoreError
from assay.results.results import Results
from assay.store import integrity
from assay.store.columns import wrong_rows
from assay.store.curves import packed
from assay.store.records import dumped, machine_row, result_row, trial_row
from assay.store.rows import check_row
from assay.store.schema import member, result, study
from assay.store.store import Store
from assay.system.machine import describe
from tests.store.makers import made_end, made_plan
from tests.store.test_contract import finish_one

VALUES: tuple[Any, ...] = (
    None,
    True,
    0,
    -1,
    7,
    1.0,
    1.5,
    -0.5,
    2**63,
    -(2**63),
    float("nan"),
    float("inf"),
    "",
    "x",
    "ab12",
    "AB12",
    "f" * 65,
    b"\xff\0",
    "{}",
    "[]",
    "[[1]]",
    "[[1, 2]]",
    "[[-1]]",
    "[[true]]",
    '["a"]',
    "[1]",
    "{",
    '{"train":-1.0}',
    '{"train":1}',
    '{"train":NaN}',
    '{"train":Infinity}',
    '{"train":1000000000000000000000}',
    '{"processor":{"train":1.0}}',
    '{"processor":{"train":"1"}}',
    '{"processor":7}',
    '{"speed":1.0}',
    "[" * 5000,
    packed({"iteration": [1, 1], "examples": [1, 2], "seconds": [0.0, 1.0]}),
)


def sound_rows() -> dict[str, list[dict[str, Any]]]:
    """Rows of every table that is read many at once."""
    planned = list(made_plan(3).trials.values())
    recipe = json.loads(trial_row(planned[0], 1.0)["recipe"])
    place = machine_row(describe())
    ended = [
        result_row(t.key, made_end(t), artifact=None, cores=2, now=1.0) | {"machine": place["hash"]} for t in planned
    ]
    rows = {
        "trial": [trial_row(t, 1.0) for t in planned] + [trial_row(planned[0], 1.0) | {"recipe": dumped(recipe)}],
        "result": ended,
        "machine": [place],
        "member": [
            {"study": 1, "position": 0, "trial": "ab", "label": "x", "axis_values": '{"a":1}', "repeat": 0},
            {"study": 1, "position": 1, "trial": "ab", "label": "x", "axis_values": '{"a":"b"}', "repeat": 1},
        ],
        "study": [{"id": 1, "name": "s", "definition": "{}", "digest": None, "created": 1.0, "updated": 2.0}],
    }
    assert all(wrong_rows(table, given) == {} for table, given in rows.items())
    return rows


def reason(table: str, row: dict[str, Any]) -> str | None:
    try:
        check_row(table, row)
    except ValueError as error:
        return str(error)
    return None


@pytest.mark.parametrize("table", ["trial", "result", "machine", "member", "study"])
def test_every_cell_is_refused_as_the_check_of_one_row_refuses_it(table: str) -> None:
    rows = sound_rows()[table]
    for column in rows[0]:
        changed = [rows[0] | {column: value} for value in VALUES]
        mixed = [row for pair in zip(changed, [rows[-1]] * len(changed), strict=True) for row in pair]
        expected = {2 * n: sentence for n, row in enumerate(changed) if (sentence := reason(table, row)) is not None}
        assert wrong_rows(table, mixed) == expected, column
        for n, row in enumerate(changed):  # alone, where the types of its neighbours do not give it away
            assert wrong_rows(table, [row]) == ({0: expected[2 * n]} if 2 * n in expected else {}), column


def test_a_recipe_is_refused_whatever_its_seed_hides() -> None:
    row = sound_rows()["trial"][0]
    recipe = json.loads(row["recipe"])
    texts = [dumped(recipe | {"seed": seed}) for seed in (0, 1, 999_999_999, 2**62, -1, 2**63, "1", None, 1.5)]
    texts += [dumped(recipe).replace('"seed":1', '"seed":01'), dumped(recipe | {"loss": "none"})]
    rows = [row | {"recipe": text} for text in texts]
    expected = {n: sentence for n, one in enumerate(rows) if (sentence := reason("trial", one)) is not None}
    assert wrong_rows("trial", rows) == expected
    assert set(expected) == {4, 5, 6, 8, 9, 10}  # null is the default


@pytest.mark.parametrize("seed", range(4))
def test_a_damaged_row_of_a_study_is_found_wherever_it_is(seed: int, store: Store) -> None:
    draw, plan = random.Random(seed), made_plan(5)
    store.register(plan)
    keys = [finish_one(store, plan) for _ in range(5)]
    key = draw.choice(keys)
    values = draw.choice(({"ledger": '{"train":-1.0}'}, {"warnings": "{}"}, {"outcome": "won"}, {"accuracy": 1.5}))
    with store.database.write() as connection:
        connection.execute(sa.update(result).where(result.c.trial == key).values(**values))
    with pytest.raises(StoreError, match=f"the result '{key[:8]}' cannot be read: result.{next(iter(values))}: "):
        Results(store, "made")
    assert [d.subject for d in integrity.check(store) if d.kind == "unreadable"] == [key]


def test_a_damaged_member_is_said(store: Store) -> None:
    plan = made_plan(2)
    store.register(plan)
    with store.database.write() as connection:
        connection.execute(sa.update(member).where(member.c.position == 1).values(axis_values="[]"))
        assert connection.execute(sa.select(sa.func.count()).select_from(study)).scalar_one() == 1
    with pytest.raises(StoreError, match=r"the member '.*' cannot be read: member.axis_values: is JSON of type list"):
        Results(store, "made")

"""JSON of cells: what is refused by walking through it is refused where most texts are judged without a walk."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.store.rows import _check_plain, plain_json

_VALUES = st.recursive(
    st.none() | st.booleans() | st.text(max_size=5) | st.floats() | st.integers(-(2**66), 2**66),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@given(st.lists(_VALUES, max_size=4), st.booleans())
def test_a_text_is_taken_if_a_walk_through_its_values_takes_them(value: list[Any], ascii_only: bool) -> None:
    text = json.dumps(value, ensure_ascii=ascii_only)
    try:
        _check_plain(json.loads(text), 0)
    except ValueError:
        with pytest.raises(ValueError):
            plain_json(text, list)
    else:
        assert plain_json(text, list) == value


@pytest.mark.parametrize(
    ("text", "taken"),
    [
        ("[9223372036854775807, 0.1234567890123456789, 1e-300]", True),
        ("[9223372036854775808]", False),
        ("[-9223372036854775808]", False),
        ("[NaN]", False),
        ("[-Infinity]", False),
        ("[1e999]", False),
        ("[1E+400]", False),
        (f"[{'9' * 400}.0]", False),
        (r'["\ud83d\ude00"]', True),
        (r'["\ud83d"]', False),
        (r'{"\uDFFF": 1}', False),
        ('["\ud83d"]', False),
        (f"{'[' * 32}{']' * 32}", True),
        (f"{'[' * 40}{']' * 40}", False),
        (f'{{"a": {"[" * 40}{"]" * 40}}}', False),
    ],
)
def test_only_what_can_be_stored_and_printed_again_is_taken(text: str, taken: bool) -> None:
    kind = dict if text.startswith("{") else list
    if taken:
        assert plain_json(text, kind) == json.loads(text)
    else:
        with pytest.raises(ValueError):
            plain_json(text, kind)

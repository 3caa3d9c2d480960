"""Parts of a study: together the whole of it, and no trial in two of them."""

import pytest

from assay.errors import AssayError
from assay.studies.parts import StudyPart
from assay.studies.plan import plan
from assay.studies.study import Study

STUDY = {
    "name": "parts",
    "repeats": 3,
    "engine": "numpy",
    "baseline": {"data": "digits"},
    "axes": {
        "rate": {"key": "optimizer.learning_rate", "values": [0.1, 0.01, 0.001]},
        "length": {"key": "budget.iterations", "values": [10, 1000]},  # both are read off one trajectory
    },
    "design": "grid",
}


@pytest.mark.parametrize("of", [1, 2, 4, 9, 20])
def test_parts_are_the_whole_study_once(of: int) -> None:
    whole = plan(Study.parse(STUDY))
    parts = [StudyPart(number, of).plan(whole) for number in range(1, of + 1)]
    own = [part.own or frozenset() for part in parts]
    assert sum(map(len, own)) == len(whole.trials) == 18
    assert frozenset().union(*own) == whole.trials.keys()
    assert all(part.trials is whole.trials and part.members is whole.members for part in parts)
    sizes = [len(keys) for keys in own]
    assert max(sizes) - min(sizes) <= 2  # a trajectory of two trials is in one part
    for keys in own:
        others = whole.trials.keys() - keys
        assert not {whole.trials[key].trajectory for key in keys} & {whole.trials[key].trajectory for key in others}


def test_a_part_is_the_same_whatever_the_order_of_the_axes() -> None:
    other = STUDY | {"axes": dict(reversed(list(STUDY["axes"].items())))}  # pyright: ignore[reportAttributeAccessIssue]
    assert StudyPart(2, 3).plan(plan(Study.parse(STUDY))).own == StudyPart(2, 3).plan(plan(Study.parse(other))).own


@pytest.mark.parametrize("text", ["", "1", "0/4", "5/4", "-1/4", "1/0", "1 / 4", "a/b", "1.0/4", "1/9999999"])
def test_what_is_no_part_is_refused(text: str) -> None:
    with pytest.raises(AssayError, match="expected K/N with 1 <= K <= N"):
        StudyPart.parse(text)

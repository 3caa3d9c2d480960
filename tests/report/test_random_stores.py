"""Answers on random stores: no crash, no `nan` in a sentence, and numbers that an independent count confirms.

`python -m tests.report.test_random_stores COUNT SEED` tries more of them.
"""

from __future__ import annotations

import re
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest

from assay.errors import AssayError
from assay.results.results import Results
from assay.store.queries import studies
from tests.report.random_stores import random_store

_ODD = re.compile(r"(?<![\w.'-])(nan|inf|-inf|NaN|NaT|None|<NA>)(?![\w'])")
_CHARTS = ("curves", "effort", "pareto", "ledger", "verdicts", "importance", "factors", "grid", "parallel")


def check(folder: Path, seed: int) -> None:
    """Every answer on the store of that seed."""
    store = random_store(folder / f"{seed}.db", seed)
    for row in studies(store.database):
        results = Results(store, row["name"])
        sentences = list(results.answers())
        for name in _CHARTS:
            try:
                results.picture(name).to_dict()
            except AssayError as error:
                sentences.append(str(error))
        for measure in ("accuracy", "test_loss", "effort"):
            try:
                sentences += results.verdicts(measure=measure)["sentence"].tolist()
            except AssayError as error:
                sentences.append(str(error))
        assert not [text for text in sentences if _ODD.search(text)], (seed, sentences)
        recounted(results)
    store.close()


def recounted(results: Results) -> None:
    """The means of the summary and the counts of outcomes, from the rows of the trials alone."""
    frame, summary = results.frame(), results.summary().set_index("configuration")
    for label, group in frame.groupby("configuration"):
        finished = group[group["outcome"].isin(["completed", "stopped"])]
        row = summary.loc[label]
        assert row["trials"] == len(group) and row["diverged"] == (group["outcome"] == "diverged").sum()
        if len(finished) == len(group) and len(finished) and finished["accuracy"].notna().all():
            assert row["accuracy"] == pytest.approx(sum(finished["accuracy"]) / len(finished))
            assert row["seconds"] != row["seconds"] or row["seconds"] <= max(finished["seconds"].fillna(0.0))
        if not len(finished) and (group["origin"] == "measured").all():
            assert np.isnan(row["effort"])


@pytest.mark.parametrize("seed", range(4))
def test_answers_on_random_stores(seed: int, tmp_path: Path) -> None:
    check(tmp_path, seed)


if __name__ == "__main__":
    count, first = int(sys.argv[1]), int(sys.argv[2])
    with tempfile.TemporaryDirectory() as temporary:
        for number in range(first, first + count):
            check(Path(temporary), number)
    print(f"{count} stores from seed {first}: no crash, no odd number")

"""An article goes into a bundle with its stored studies, its claims and its own files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from assay.articles.bundling import bundling, is_article
from assay.articles.folder import article_names
from assay.claims.bundles import derived
from assay.claims.bundles.archive import unpacked
from assay.errors import AssayError

ARTICLE = """
about = "Rates"
title = "Rates on the digits"
[[studies]]
name = "small"
[[studies]]
name = "absent"
[[claims]]
id = "good"
text = "The rate 0.2 ends above 1 %"
rule = "threshold"
side = { study = "small", configuration = "learning_rate 0.2" }
at_least = "1 %"
[[claims]]
id = "other"
text = "Another study"
rule = "threshold"
side = { study = "absent", configuration = "x" }
at_least = "1 %"
"""
STUDY = """
engine = "numpy"
threads = 1
timing = "packed"
[baseline]
budget = 3
model.hidden = [4]
[axes]
rate = { key = "optimizer.learning_rate", values = [0.1, 0.2] }
"""


def test_every_bundled_article_says_what_it_needs() -> None:
    for name in article_names():
        assert is_article(name)
        with pytest.raises(
            AssayError, match=f"article {name}: none of its studies is stored: .*assay reproduce {name}"
        ):
            bundling(name, [])
    made = bundling("from-scratch", ["from-scratch", "from-scratch-timing-numpy"])
    assert made.studies == ("from-scratch", "from-scratch-timing-numpy")
    assert set(made.files) >= {"article.toml"}
    assert len(made.claims["claims"]) == 3


def test_the_folder_of_an_article_is_published_with_what_is_stored(
    invoke: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(derived, "_reports", lambda content, studies: {})
    folder = Path("rates")
    (folder / "studies").mkdir(parents=True)
    (folder / "article.toml").write_text(ARTICLE.replace("learning_rate 0.2", "rate 0.2"))
    (folder / "experiments.py").write_text("raise SystemExit('executed')")
    for name in ("small", "absent"):
        (folder / "studies" / f"{name}.toml").write_text(STUDY)
    assert invoke("run", "rates/studies/small.toml", "--yes", "-q")[0] == 0
    code, out, err = invoke("publish", "rates", "--author", "Lovelace, Ada")
    assert code == 0, err
    assert out.startswith("rates.zip: 2 trials, ")
    assert "article rates: not stored, and so not in the bundle: absent" in " ".join(err.split())
    files, _ = unpacked(Path("rates.zip"))
    assert files["article/experiments.py"] == b"raise SystemExit('executed')"
    Path("assay.db").unlink()
    code, out, err = invoke("verify", "rates.zip", "--all")
    assert code == 0, out + err
    assert "claim good: holds: The rate 0.2 ends above 1 %" in out
    assert "claim other: cannot tell: Another study" in out

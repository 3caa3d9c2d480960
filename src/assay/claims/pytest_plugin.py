"""The pytest plugin `assay_claims`: every claim of a file is a test; and a fixture that checks claims in a test.

With `pytest --assay-claims`, files named `claims.toml` and `*.claims.toml` are collected. Each names its study.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from assay.claims.judge import Judgement

_STORE = "--assay-store"
Check = Callable[..., "list[Judgement]"]


def pytest_addoption(parser: pytest.Parser) -> None:
    """Adds the options of the plugin."""
    group = parser.getgroup("assay")
    group.addoption("--assay-claims", action="store_true", help="collect claims.toml and *.claims.toml as tests")
    group.addoption(_STORE, metavar="URL", default=None, help="store of the studies (default: $ASSAY_STORE)")


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> ClaimsFile | None:
    """A claims file, if the option asks for them."""
    is_claims = file_path.name == "claims.toml" or file_path.name.endswith(".claims.toml")
    if not is_claims or not parent.config.getoption("--assay-claims"):
        return None
    return ClaimsFile.from_parent(parent, path=file_path)


class ClaimsFile(pytest.File):
    """A file of claims; its `study` is that of sides that name none."""

    def collect(self) -> Iterator[ClaimItem]:
        """One test per claim."""
        from assay.errors import AssayError

        try:
            judgements = _checked(self.path, self.config.getoption(_STORE))
        except AssayError as error:
            raise self.CollectError(str(error)) from None
        for judgement in judgements:
            yield ClaimItem.from_parent(self, name=judgement.claim.id, judgement=judgement)


def _checked(path: Path, store: str | None) -> list[Judgement]:
    from assay.claims.stored import check
    from assay.errors import FileError
    from assay.recipe.toml import read_toml
    from assay.store.store import Store

    study = read_toml(path).get("study")
    if not isinstance(study, str):
        raise FileError(f'{path}: names no study; write at its top: study = "NAME"')
    return check(study, Store(store, read_only=True), path)


class ClaimItem(pytest.Item):
    """A claim: it fails if it does not hold or cannot be told, and is skipped if it needs code that was not run."""

    def __init__(self, *, judgement: Judgement, **options: Any) -> None:
        super().__init__(**options)
        self.judgement = judgement

    def runtest(self) -> None:
        """Fails or skips by the verdict."""
        _assert_holds([self.judgement])

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> str:
        """The verdict with its evidence, without a traceback."""
        return str(excinfo.value)

    def reportinfo(self) -> tuple[Path, int | None, str]:
        """Where the claim stands."""
        return self.path, None, f"{self.path.name}::{self.name}"


def _assert_holds(judgements: list[Judgement]) -> None:
    from assay.claims.judge import NOT_RUN
    from assay.claims.junit import sentences

    failing = [one for one in judgements if one.holds is not True and one.verdict != NOT_RUN]
    if failing:
        pytest.fail("\n".join(map(sentences, failing)), pytrace=False)
    if judgements and all(one.verdict == NOT_RUN for one in judgements):
        pytest.skip(sentences(judgements[0]))


@pytest.fixture
def assay_claims(request: pytest.FixtureRequest) -> Check:
    """A function that checks claims about a stored study, and fails the test unless all of them hold.

    `assay_claims("STUDY", "claims.toml")`, or a list of tables in place of the file; `store` is that of the option.
    """

    def check_claims(study: str, claims: str | Path | list[dict[str, Any]], *, store: Any = None) -> list[Judgement]:
        from assay.claims.stored import check, check_tables
        from assay.store.store import Store

        opened = Store(store or request.config.getoption(_STORE), read_only=True)
        if isinstance(claims, list):
            judgements = check_tables(study, opened, {"claims": claims})
        else:
            judgements = check(study, opened, Path(claims))
        _assert_holds(judgements)
        return judgements

    return check_claims

"""What to type after a study was removed from its store during its run."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

from assay.errors import AssayError, FileError


@contextmanager
def saying_how_to_restore(study: str | None, line: str) -> Generator[None]:
    """Adds to the error of a study that was removed during its run what to type.

    Args:
        study: The file or the name that was given; None where the command itself has the definition.
        line: The command.

    Raises: AssayError.
    """
    from assay.store.removals import RemovedError
    from assay.studies.study import Study

    try:
        yield
    except RemovedError as error:
        advice = f"to train again what is gone: {line}"
        try:
            if study is not None:
                Study.load(study)
        except FileError:  # it was named by its definition in the store
            advice = (
                f"`assay run` needs the file of the study to train it again, because {study!r} was stored only there"
            )
        except AssayError:  # another fault, of which that command speaks
            pass
        raise AssayError(f"{error}; {advice}") from None

"""Verifies a bundle: checksums, rows, plans, figures and claims for certain, values in the trials that a seed draws."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from assay.claims.bundles import layout
from assay.claims.bundles.archive import unpacked
from assay.claims.bundles.comparing import file_problems
from assay.claims.bundles.content import Content
from assay.claims.bundles.data_files import content_of, data_names
from assay.claims.bundles.data_sets import DataSets
from assay.claims.bundles.derived import derived_files
from assay.claims.bundles.manifest import Manifest, read_manifest, unlike, writers
from assay.claims.bundles.plan_check import plan_problems
from assay.claims.bundles.retraining import (
    Answer,
    Repeated,
    chance_of_missing,
    drawn,
    repeat_all,
    repeatable,
    time_sentence,
)
from assay.errors import AssayError, shortened
from assay.system.files import read_limited
from assay.system.limits import BUNDLE_BYTES
from assay.training.outcome import RANKED

Show = Callable[[str, int, int], None]
_TAMPERED = (1, 2, 3, 5, 10)
"""Numbers of tampered trials for which the chance of missing them is printed."""

_ROUNDING = 1e-6  # an engine may compute an accuracy in 32 bits


@dataclass(frozen=True)
class Finding:
    """Something that is wrong with a bundle.

    Attributes:
        kind: "file", "checksum", "row", "plan", "figure" or "value".
        sentence: What is wrong, and where.
    """

    kind: str
    sentence: str


@dataclass
class Verification:
    """What a verification found.

    Attributes:
        title: Of the bundle; empty where it could not be read.
        sha256: Of the file.
        seed: That drew the trials.
        findings: What is wrong.
        checked: What was compared, a sentence each.
        open: What could not be compared on this machine, a sentence each.
        unseen: What cannot be seen this way, a sentence each.
        repeated: The trials that were trained again.
        trials: The number of trials that can be compared with repeated ones.
        claims: The verdicts on the claims, judged from the data.
        times: How the training times compare; empty where nothing was trained.
    """

    title: str
    sha256: str
    seed: int
    findings: list[Finding] = field(default_factory=list[Finding])
    checked: list[str] = field(default_factory=list[str])
    open: list[str] = field(default_factory=list[str])
    unseen: list[str] = field(default_factory=list[str])
    repeated: list[Repeated] = field(default_factory=list[Repeated])
    trials: int = 0
    claims: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    times: str = ""

    @property
    def compared(self) -> int:
        """The number of trials that were trained again and compared."""
        return sum(one.answer is not Answer.NOT_RUN for one in self.repeated)

    @property
    def not_run(self) -> int:
        """The number of trials that were drawn and could not be compared."""
        return len(self.repeated) - self.compared

    def chances(self) -> dict[int, float]:
        """The chance that not one of k tampered trials was compared, by k."""
        n = self.trials
        return {k: chance_of_missing(k, trials=n, sample=self.compared) for k in _TAMPERED if k <= n} if n else {}

    def plain(self) -> dict[str, Any]:
        """As plain data."""
        return {
            "title": self.title,
            "sha256": self.sha256,
            "seed": self.seed,
            "findings": [vars(finding) for finding in self.findings],
            "checked": self.checked,
            "trials": [one.plain() for one in self.repeated],
            "comparable_trials": self.trials,
            "chance_of_missing": {str(k): chance for k, chance in self.chances().items()},
            "claims": self.claims,
            "times": self.times,
            "not_compared": self.open,
            "unseen": self.unseen,
        }


def verify(
    path: Path,
    *,
    sample: int | None = 5,
    seed: int,
    data: Sequence[str] = (),
    allow_code: bool = False,
    show: Show = lambda what, done, total: None,
) -> Verification:
    """Verifies a bundle. Nothing in it is executed, and nothing is written but in a temporary folder.

    Args:
        path: The file.
        sample: How many trials are trained again; None for all.
        seed: That draws them.
        data: Folders of data sets on this machine, for those that have no name everywhere.
        allow_code: Whether optimizers and programs of this machine may be run that the trials name.
        show: Is given what is being done, how much of it is done, and of how much.

    Raises:
        FileError: The file cannot be read, or is no zip file.
        DataError: A folder of `data` cannot be read.
    """
    show("checksums", 0, 1)
    files, problems = unpacked(path)
    made = Verification("", hashlib.sha256(read_limited(path, BUNDLE_BYTES)).hexdigest(), seed)
    _note(made, "file", problems)
    if problems or (manifest := _manifest(files, made)) is None:
        return made
    made.title = manifest.title
    _note(made, "checksum", unlike(manifest, files))
    made.checked.append(f"checksums of {len(files) - 1:,} files")
    content = _content(files, manifest, made)
    if content is None:
        return made
    sets = DataSets(data)
    show("plans", 0, 1)
    problems, unseen = plan_problems(content, sets, allow_code=allow_code)
    _note(made, "plan", problems)
    made.checked.append(f"rows of {len(content.trials):,} trials, held against the plans of their studies")
    made.open += unseen
    show("figures", 0, 1)
    _figures(files, manifest, content, made)
    _values(content, sets, made, sample=sample, allow_code=allow_code, show=show)
    made.unseen += _unseen(content, made)
    return made


def _note(made: Verification, kind: str, sentences: Any) -> None:
    made.findings += [Finding(kind, sentence) for sentence in sentences]


def _manifest(files: Mapping[str, bytes], made: Verification) -> Manifest | None:
    if layout.MANIFEST not in files:
        _note(made, "file", [f"has no {layout.MANIFEST}; expected a bundle that `assay publish` wrote"])
        return None
    try:
        return read_manifest(files[layout.MANIFEST])
    except ValueError as error:
        _note(made, "file", [f"{layout.MANIFEST}: cannot be read: {error}"])
        return None


def _content(files: Mapping[str, bytes], manifest: Manifest, made: Verification) -> Content | None:
    """The content of a bundle; None where its rows cannot be read, which is noted."""
    content, problems = content_of(files, manifest.about)
    problems = problems or content.problems()
    if not problems and not content.trials and not content.imported:
        problems = ["has no trial"]
    _note(made, "row", problems)
    if problems:
        made.unseen.append("Plans, figures, claims and values were not looked at, because rows cannot be read.")
        return None
    _note(made, "row", _confusions(content))
    return content


def _confusions(content: Content) -> Iterator[str]:
    """A sentence for each trial whose accuracy is not that of its confusion matrix."""
    for row in content.trials:
        if row["confusion"] is None or row["accuracy"] is None or row["outcome"] not in RANKED:
            continue
        matrix = json.loads(row["confusion"])
        total, right = sum(map(sum, matrix)), sum(counts[n] for n, counts in enumerate(matrix))
        if total and abs(right / total - row["accuracy"]) > _ROUNDING:
            yield (
                f"trial {row['key'][:8]}: its accuracy is {row['accuracy']}, "
                f"its confusion matrix gives {right:,} of {total:,}"
            )


def _figures(files: Mapping[str, bytes], manifest: Manifest, content: Content, made: Verification) -> None:
    """Makes the figures, claims and pages again from the data, and compares them with those of the bundle."""
    same = manifest.made_with == writers()
    try:
        expected = derived_files(content, pages=same)
    except AssayError as error:
        _note(made, "figure", [f"the data give no figures: {' '.join(str(error).split())[:500]}"])
        return
    made.claims = json.loads(expected.get(layout.CLAIMS, b'{"claims": []}'))["claims"]
    given = {name: files[name] for name in set(files) - data_names(content) - {layout.MANIFEST}}
    problems, unseen = file_problems(given, expected, same_packages=same)
    _note(made, "figure", problems)
    figures = "figures, claims, pages and recipes" if same else "figures, verdicts and recipes"
    made.checked.append(f"{figures}, made again from the data")
    if unseen:
        others = ", ".join(
            f"{name} {version}" for name, version in manifest.made_with.items() if writers().get(name) != version
        )
        made.unseen.append(
            f"The words of {shortened(unseen, 5)} were not compared: they were made with {others or 'other packages'}."
        )


def _values(
    content: Content, sets: DataSets, made: Verification, *, sample: int | None, allow_code: bool, show: Show
) -> None:
    """Trains the drawn trials again."""
    reasons = {row["key"]: repeatable(row) for row in content.trials}
    rows = [row for row in content.trials if not reasons[row["key"]]]
    made.trials = len(rows)
    chosen = drawn(rows, sample=sample, seed=made.seed)
    for number, one in enumerate(repeat_all(chosen, content, sets, allow_code=allow_code)):
        show("trials trained again", number + 1, len(chosen))
        made.repeated.append(one)
    _note(
        made,
        "value",
        [f"trial {o.trial[:8]} ({o.place}): {o.sentence}" for o in made.repeated if o.answer is Answer.DIFFERS],
    )
    if made.not_run:
        made.open.append(f"{made.not_run:,} of the {len(made.repeated):,} trials that were drawn")
    made.times = time_sentence(made.repeated, content)
    for reason in dict.fromkeys(filter(None, reasons.values())):
        count = sum(other == reason for other in reasons.values())
        made.unseen.append(f"{count:,} of {len(reasons):,} trials cannot be compared with repeated ones: {reason}.")


def _unseen(content: Content, made: Verification) -> list[str]:
    """What no verification of this kind can see."""
    sentences: list[str] = []
    if made.compared < made.trials:
        sentences.append(
            "Values of the trials that were not trained again, if figures and claims were changed with them."
        )
    if any(one.answer is Answer.WITHIN for one in made.repeated):
        sentences.append("Changes smaller than what one seed differs between engines and instruction levels.")
    sentences += [
        "Seconds, memory and other costs: they depend on the machine, and are as published.",
        "Studies, seeds and configurations that were trained and not published, and claims that were written "
        "after the results.",
        "Who published it: compare the SHA-256 of the file with the one that its author states.",
    ]
    if content.imported:
        sentences.append(f"The {len(content.imported):,} imported curves: they are logs of other programs.")
    return sentences


__all__ = ["Finding", "Verification", "verify"]

"""The files of a bundle that are made from its data: figures, verdicts, pages, recipes, commands and the card."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from assay.claims.bundles import layout
from assay.claims.bundles.card import card, citation
from assay.claims.bundles.content import Content
from assay.claims.bundles.data_files import json_bytes
from assay.claims.bundles.environment import commands_text, environment_table, recipe_texts, study_texts
from assay.claims.claim import Claim, parse_claims
from assay.claims.judge import Judgement, judge
from assay.errors import RecipeError
from assay.results.results import Results

FIGURES = (layout.RESULTS, layout.CLAIMS)
"""The files whose numbers other versions of the libraries give too, but for rounding."""


def derived_files(content: Content, *, pages: bool = True) -> dict[str, bytes]:
    """The files that are made from the data of a bundle, by name; the same for the same content and packages.

    Args:
        content: The data.
        pages: Whether to make the reports too, which takes seconds.

    Raises:
        AssayError: The rows cannot be stored, or the claims cannot be judged.
    """
    with content.opened() as store:
        studies = {name: Results(store, name) for name in content.names}
        results = {name: _figures(study) for name, study in studies.items()}
        verdicts = judged(content, studies)
        files = _reports(content, studies) if pages else {}
    environment = environment_table(content)
    files[layout.RESULTS] = json_bytes(results)
    if verdicts:
        files[layout.CLAIMS] = json_bytes({"claims": verdicts})
    files[layout.ENVIRONMENT] = json_bytes(environment)
    files[layout.README] = card(content, results, environment, verdicts).encode()
    files[layout.COMMANDS] = commands_text(content).encode()
    if text := citation(content.about):
        files[layout.CITATION] = text.encode()
    files |= {file: text.encode() for _, file, text, _ in study_texts(content)}
    return files | dict(recipe_texts(content))


def judged(content: Content, studies: Mapping[str, Results]) -> list[dict[str, Any]]:
    """The verdicts on the claims of a bundle, as plain data. Raises: RecipeError."""
    if not content.claims:
        return []
    claims = parse_claims(content.claims, source=layout.CLAIMS_SOURCE)
    if content.about.kind == "study":
        return [plain_figures(one.plain()) for one in judge(claims, studies, main=content.names[0])]
    return [plain_figures(_judged_alone(claim, studies)) for claim in claims]


def _judged_alone(claim: Claim, studies: Mapping[str, Results]) -> dict[str, Any]:
    """The verdict on a claim of an article, of which single studies may not be there."""
    missing = [name for name in claim.studies() if name not in studies]
    reason = f"study {missing[0]} is not in the bundle" if missing else ""
    if not missing:
        try:
            (judgement,) = judge([claim], studies)
            return judgement.plain()
        except RecipeError as error:  # a side selects nothing of what is there
            reason = "; ".join(error.problems)
    return Judgement(claim, None, claim.condition.words(), "", reason).plain()


def plain_figures(value: Any) -> Any:
    """Figures as JSON takes them: numbers of NumPy as plain ones, infinite ones in words, missing ones as None."""
    if isinstance(value, Mapping):
        return {str(name): plain_figures(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain_figures(item) for item in value]
    if hasattr(value, "item"):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else str(value)
    return value if isinstance(value, str | int | float | bool | None) else str(value)


def _figures(study: Results) -> dict[str, Any]:
    """The figures of a study: its configurations, and its answers in words."""
    frame = study.summary()
    configurations = [plain_figures(row) for row in frame.to_dict("records")]
    return {"trials": len(study.frame()), "configurations": configurations, "answers": study.answers()}


def _reports(content: Content, studies: Mapping[str, Results]) -> dict[str, bytes]:
    """The page of each study, and the data next to it where they are too large for the page."""
    with TemporaryDirectory(prefix="assay-bundle-") as folder:
        for name, stem in content.stems().items():
            studies[name].report(Path(folder) / f"{stem}.html")
        return {f"report/{path.name}": path.read_bytes() for path in sorted(Path(folder).iterdir())}


__all__ = ["FIGURES", "derived_files", "judged", "plain_figures"]

"""The environment of the trials of a bundle, and the commands that repeat them; nothing of the publisher's machine."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from assay.claims.bundles import layout
from assay.claims.bundles.content import Content
from assay.claims.bundles.tables import Row
from assay.data.portable import MARKED, is_path
from assay.parts.foreign import exempt_module
from assay.recipe.toml import toml_text
from assay.studies.rerun import rerun
from assay.system.command_line import command_line

_RUN_AS = "run as: "
_ENGINE = ("engine", "numerics", "level", "device", "timing", "threads", "source_commit")


def environment_table(content: Content) -> dict[str, Any]:
    """The machines, engines and data sets of the trials, each with the number of its trials."""
    on = Counter(row["machine"] for row in content.trials if row["machine"])
    machines = [
        {"machine": row["hash"], "trials": on[row["hash"]], **json.loads(row["description"])}
        for row in content.machines
    ]
    engines = Counter(tuple(row[name] for name in _ENGINE) for row in content.trials if row["outcome"])
    data = Counter((row["data"], row["data_checksum"]) for row in content.trials)
    return {
        "machines": machines,
        "engines": [
            dict(zip(_ENGINE, values, strict=True)) | {"trials": count}
            for values, count in sorted(engines.items(), key=lambda pair: (-pair[1], str(pair[0])))
        ],
        "data": [{"name": name, "checksum": checksum, "trials": n} for (name, checksum), n in data.items()],
    }


def needs_code(row: Row) -> bool:
    """Whether a trial needs code of its author: an optimizer, or a program in the place of an engine."""
    optimizer = row["optimizer"] or ""
    return (":" in optimizer and not exempt_module(optimizer)) or str(row["engine"] or "").startswith("command:")


def study_texts(content: Content) -> Iterator[tuple[str, str, str, str]]:
    """Name, file, definition as TOML, and the command that runs it or the reason why none does, of each study."""
    stems = content.stems()
    for study in content.studies:
        again = rerun({**_without_decisions(study["definition"]), "name": study["name"]})
        file = layout.study_file(stems[study["name"]])
        command = f"# {study['name']}: cannot be run again: {again.problem}".replace("\n", " ")
        yield study["name"], file, again.text, command if again.problem else again.command(file)


def _without_decisions(definition: Mapping[str, Any]) -> dict[str, Any]:
    from assay.results.results import DECIDED

    return {key: value for key, value in definition.items() if key != DECIDED}


def train_command(row: Row) -> str:
    """The command that trains a trial again from its recipe."""
    engine, command = str(row["engine"] or ""), None
    if engine.startswith("command:"):
        engine, command = "", (row["engine_choice"] or "").partition(_RUN_AS)[2] or None
    return command_line(
        "assay train",
        layout.recipe_file(row["key"]),
        engine=engine or None,
        command=command,
        device=None if row["device"] in (None, "cpu") else row["device"],
        threads=row["threads"],
        data="FOLDER" if MARKED.fullmatch(row["data"]) or is_path(row["data"]) else None,
        allow_code=needs_code(row),
    )


def recipe_texts(content: Content) -> Iterator[tuple[str, bytes]]:
    """The file of each trial's recipe, with the command that trains it."""
    labels: dict[str, str] = {}
    for row in content.members:
        labels.setdefault(row["trial"], f"{row['study']}: {row['label']}, repeat {row['repeat']}")
    for row in content.trials:
        lines = [f"trial {row['key']}", labels.get(row["key"], ""), train_command(row)]
        header = "".join(f"# {' '.join(line.split())}\n" for line in lines if line)
        yield layout.recipe_file(row["key"]), (header + toml_text(json.loads(row["recipe"]))).encode()


def commands_text(content: Content, bundle: str = "BUNDLE.zip") -> str:
    """The commands that verify a bundle, run its studies again and train each trial alone."""
    lines = [
        "# verify: checksums, rows, claims, and five trials trained again",
        command_line("assay verify", bundle),
        "",
    ]
    lines.append("# run each study again, in the folder that the bundle is unpacked into")
    lines += [command for *_, command in study_texts(content)]
    lines += ["", "# train each trial alone; `assay train` times isolated"]
    lines += [train_command(row) for row in content.trials]
    return "\n".join(" ".join(line.split("\n")) for line in lines) + "\n"

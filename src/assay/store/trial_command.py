"""The command line that trains a stored trial again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from assay.system.command_line import command_line


def repeat_command(row: Mapping[str, Any], store: str | None) -> str | None:
    """The commands that train a trial again; None for an external program that has not run, so that none is stored.

    The recipe goes into a file by an option, which writes all of it or nothing, and not by a redirect.
    """
    command, engine = None, str(row["engine"] or "")
    if engine.startswith("command:"):
        engine, command = "", (row["engine_choice"] or "").partition("run as: ")[2]
        if not command:
            return None
    key = row["key"][:12]
    file = f"recipe-{key}.toml"
    show = command_line("assay show", key, recipe=True, out=file, store=store)
    train = command_line(
        "assay train",
        file,
        engine=engine or None,
        command=command,
        device=None if row["device"] == "cpu" else row["device"],
        threads=row["threads"],
        store=store,
        again=True,
        allow_code=any(":" in (row[name] or "") for name in ("optimizer", "engine")),
    )
    return f"{show} && {train}"


__all__ = ["repeat_command"]

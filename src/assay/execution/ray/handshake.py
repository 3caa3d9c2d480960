"""What the nodes of a cluster say about themselves before the first trial, compared with the driver and one another."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from assay.store.records import machine_row

_LIBRARIES = {"numpy": ("numpy", "scipy"), "native": ("numpy",), "jax": ("numpy", "jax", "jaxlib"), "torch": ("torch",)}
"""The libraries whose versions the bits of an engine depend on."""
_SMALL_SHARED_MEMORY = 200 * 10**6  # bytes of /dev/shm, below which Ray keeps its objects on the disk


@dataclass(frozen=True)
class Node:
    """A node that is alive: its id, its address, its CPUs and GPUs, and what it answered.

    Attributes:
        answer: Empty before it was asked.
    """

    id: str
    address: str
    cpus: float
    gpus: float
    answer: Mapping[str, Any] = field(default_factory=dict[str, Any])

    @property
    def machine(self) -> str:
        """The machine that it is a part of; several nodes may be on one."""
        return str(self.answer.get("machine", self.id))

    @property
    def hash(self) -> str:
        """Equal where timings are comparable."""
        return machine_row(self.answer["describe"])["hash"]


@dataclass(frozen=True)
class Agreed:
    """The nodes that may train, why each other one may not, and the level of the native engine on all of them.

    `level`: None where the native engine does not train, or is best left alone.
    """

    nodes: Sequence[Node]
    refused: Mapping[str, str]
    level: str | None = None
    notes: Sequence[str] = ()


def answer_of(raw: bytes) -> dict[str, Any]:
    """A node's answer, with `problem` where Assay does not answer there."""
    about: dict[str, Any] = json.loads(raw)
    errors = about.pop("errors")
    try:
        about |= json.loads(about.pop("answer"))
    except ValueError:
        last = errors.strip().splitlines()[-1:] or [f"it ended with code {about['code']}"]
        about["problem"] = _why_silent(about["code"], last[0])
    return about


def _why_silent(code: int | None, last: str) -> str:
    if code is None:
        return "Assay did not answer in time"
    if re.search(r"No module named '?assay\b(?!\.)", last):
        return "Assay is not installed there"
    if re.search(r"No module named '?assay\.", last):
        return "an older Assay is installed there; install the driver's on every node"
    return f"Assay cannot be started there: {last[:200]}"


def agreed(nodes: Sequence[Node], here: Mapping[str, Any], engines: Sequence[str], *, isolated: bool) -> Agreed:
    """Which nodes give the same bits as the driver's Assay, and for isolated trials comparable times.

    Args:
        nodes: Those that have answered.
        here: The same facts of the driver.
        engines: The engines that train.
        isolated: Whether trials are timed alone.
    """
    refused = {node.address: why for node in nodes if (why := _differs(node.answer, here, engines))}
    left = [node for node in nodes if node.address not in refused]
    for engine in (name for name in engines if name != "native"):
        left = _same_instructions(left, engine, refused)
    level, notes = _common_level(left, here)
    if "native" in engines and left and level is None:
        refused |= {node.address: f"native engine with {_words(node.answer['levels'])} alone" for node in left}
        left = []
    if isolated:
        left = _one_kind(left, refused)
    notes += [note for node in left if (note := _shared_memory_note(node))]
    return Agreed(left, refused, level, tuple(dict.fromkeys(notes)))


def _differs(there: Mapping[str, Any], here: Mapping[str, Any], engines: Sequence[str]) -> str:
    """Why a node cannot train what the driver asks for; "" if it can."""
    if problem := there.get("problem"):
        return problem
    for name in ("python", "ray"):
        if there[name] != here[name]:
            return f"{name.capitalize()} {there[name]} there, {here[name]} here"
    if there["assay"] != here["assay"]:
        return f"Assay {there['assay']} there, {here['assay']} here"
    if there["numerics"] != here["numerics"]:
        return "the numerics of its engines are others than here; install the driver's Assay on every node"
    if there["files"] != here["files"]:
        return (
            f"the files of its Assay {there['assay']} are others ({there['files']}) than here ({here['files']}); "
            "install the same wheel on every node"
        )
    missing = [there["missing"][engine] for engine in engines if engine in there["missing"]]
    if missing:
        return missing[0]
    for library in dict.fromkeys(name for engine in engines for name in _LIBRARIES.get(engine, ())):
        versions = [about["describe"]["versions"].get(library, "none") for about in (there, here)]
        if versions[0] != versions[1]:
            return f"{library} {versions[0]} there, {versions[1]} here"
    return ""


def _same_instructions(nodes: Sequence[Node], engine: str, refused: dict[str, str]) -> list[Node]:
    """The largest group of nodes on which an engine uses the same instructions. Adds the others to `refused`."""
    counts = Counter(str(node.answer["used"].get(engine)) for node in nodes)
    if len(counts) < 2:
        return list(nodes)
    most = max(sorted(counts), key=lambda used: counts[used])
    for node in nodes:
        if (used := str(node.answer["used"].get(engine))) != most:
            refused[node.address] = f"engine {engine!r} uses {used} there, and {most} on the other nodes"
    return [node for node in nodes if node.address not in refused]


def _common_level(nodes: Sequence[Node], here: Mapping[str, Any]) -> tuple[str | None, list[str]]:
    """The best level of the native engine that all nodes have, and a sentence where some have better ones."""
    wanted = here["levels"]
    common = [level for level in wanted if all(level in node.answer["levels"] for node in nodes)]
    if not nodes or not common:
        return None, []
    better = [node.address for node in nodes if node.answer["levels"][0] != common[0]]
    if not better and wanted[0] == common[0]:
        return common[0], []
    where = better or ["the driver's machine"]
    return common[0], [
        f"the native engine runs at {common[0]}, the best level of all nodes; {_words(where)} has better"
    ]


def _one_kind(nodes: Sequence[Node], refused: dict[str, str]) -> list[Node]:
    """A node of each machine, if all machines are of one kind; none otherwise. Adds to `refused`."""
    kinds = Counter(node.hash for node in nodes)
    if len(kinds) > 1:
        for node in nodes:
            about = node.answer["describe"]
            refused[node.address] = f"{about['cpu']}, {about['cores']} cores, {about['system']} ({node.hash[:8]})"
        return []
    return list({node.machine: node for node in reversed(nodes)}.values())[::-1]


def _shared_memory_note(node: Node) -> str:
    size = node.answer.get("shared_memory")
    if size is None or size >= _SMALL_SHARED_MEMORY:
        return ""
    return (
        f"node {node.address}: /dev/shm has {size / 1e6:.0f} MB, so that Ray keeps its objects on the disk, which is "
        "slower; start its container with --shm-size=1g"
    )


def _words(names: Sequence[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)

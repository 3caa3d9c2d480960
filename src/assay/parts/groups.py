"""Parameter groups: which arrays of weights each of several optimizers of one library trains.

`optimizer = { groups = [{ where = "matrices", name = "torch.optim:Muon", lr = 0.02 }, { where = "rest", ... }] }`.
An array belongs to the first group whose `where` it matches.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, NamedTuple, cast

from pydantic import create_model

from assay.errors import CodeError, unknown
from assay.parts.foreign import ForeignOptimizer, made_class, remember
from assay.parts.optimizers import Optimizer

JOINT = " + "
"""Between the names of the groups' optimizers, in the name of all."""


class WeightArray(NamedTuple):
    """An array of weights: its kind, such as "weight" or "bias", its dimensions, and whether its layer is the last."""

    kind: str
    dimensions: int
    is_output: bool


WHERE: dict[str, tuple[str, Callable[[WeightArray], bool]]] = {
    "hidden matrices": (
        "weights of two dimensions, but for those of the output layer",
        lambda a: a.kind == "weight" and a.dimensions == 2 and not a.is_output,
    ),
    "matrices": ("weights of two dimensions", lambda a: a.kind == "weight" and a.dimensions == 2),
    "hidden weights": (
        "matrices and kernels, but for those of the output layer",
        lambda a: a.kind == "weight" and not a.is_output,
    ),
    "output weights": ("the matrix of the output layer", lambda a: a.kind == "weight" and a.is_output),
    "weights": ("matrices and kernels", lambda a: a.kind == "weight"),
    "biases": ("biases, also those of batch normalisation", lambda a: a.kind == "bias"),
    "scales": ("scales of batch normalisation", lambda a: a.kind == "scale"),
    "rest": ("what no earlier group takes", lambda a: True),
}
"""What `where` may be -> what it means, and whether an array is meant."""

OF_THE_LAST_LAYER = ("hidden matrices", "hidden weights", "output weights")
"""Those of them that ask which layer is the last."""


class GroupedOptimizer(ForeignOptimizer):
    """Several optimizers of one library, each with its arrays of weights. `learning_rate` is that of the first."""

    members: ClassVar[tuple[type[ForeignOptimizer], ...]] = ()
    where: tuple[str, ...] = ()
    parts: tuple[ForeignOptimizer, ...] = ()

    def settings(self) -> dict[str, Any]:
        """The groups as plain data; their names of optimizers are in them."""
        each = zip(self.where, self.parts, strict=True)
        return {"groups": [{"where": where, "name": part.entry, **part.settings()} for where, part in each]}

    def arguments(self) -> dict[str, Any]:
        return {"groups": json.dumps(self.settings(), sort_keys=True)}


class GroupMember(NamedTuple):
    """One of the optimizers of a training, the names of the arrays that it trains, and the ratio of its rate."""

    own: ForeignOptimizer
    names: tuple[str, ...]
    ratio: float


def members_of(
    own: ForeignOptimizer, shapes: Mapping[str, tuple[int, ...]], *, of_module: bool = False
) -> list[GroupMember]:
    """The optimizers of a training and their arrays, for the shapes of one trial's weights by name.

    `of_module`: the arrays are those of a user's module, under its own names.

    Raises: CodeError if an array belongs to no group, or a group has none.
    """
    if not isinstance(own, GroupedOptimizer):
        return [GroupMember(own, tuple(shapes), 1.0)]
    arrays = _of_module(shapes) if of_module else _of_layers(shapes)
    names: list[list[str]] = [[] for _ in own.parts]
    for name, shape in shapes.items():
        index = next((i for i, where in enumerate(own.where) if WHERE[where][1](arrays[name])), None)
        if index is None:
            raise CodeError(f"optimizer.groups: no group takes {name!r} {shape}; add a last group with where = 'rest'")
        names[index].append(name)
    for where, chosen in zip(own.where, names, strict=True):
        if not chosen:
            raise CodeError(f"optimizer.groups: where = {where!r} takes nothing of this model; leave the group out")
    first = own.learning_rate
    return [
        GroupMember(part, tuple(chosen), 1.0 if part.learning_rate == first else part.learning_rate / first)
        for part, chosen in zip(own.parts, names, strict=True)
    ]


def _of_layers(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, WeightArray]:
    """The arrays of layers, named "0.weight": those with the highest number are of the output layer."""
    last = max(int(name.partition(".")[0]) for name in shapes)
    each = {name: name.partition(".") for name in shapes}
    return {name: WeightArray(each[name][2], len(shapes[name]), int(each[name][0]) == last) for name in shapes}


def _of_module(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, WeightArray]:
    """The arrays of a user's module. Those of two or more dimensions are weights, others that are called bias biases,
    and the rest scales; the output layer is the last module that has weights."""
    weights = [name for name, shape in shapes.items() if len(shape) >= 2]
    last = weights[-1].rpartition(".")[0] if weights else None
    arrays: dict[str, WeightArray] = {}
    for name, shape in shapes.items():
        owner, _, own = name.rpartition(".")
        kind = "weight" if len(shape) >= 2 else "bias" if "bias" in own else "scale"
        arrays[name] = WeightArray(kind, len(shape), owner == last)
    return arrays


def groups_problems(
    optimizer: Optimizer, shapes: Mapping[str, tuple[int, ...]], *, of_module: bool = False
) -> list[str]:
    """Why the groups of an optimizer, if it has any, do not fit one trial's weights, by name with their shapes."""
    try:
        if isinstance(optimizer, GroupedOptimizer):
            members_of(optimizer, shapes, of_module=of_module)
    except CodeError as error:
        return [str(error)]
    return []


def grouped(groups: object, optimizer_of: Callable[[Mapping[str, Any]], ForeignOptimizer]) -> GroupedOptimizer:
    """The optimizer of a list of groups, each a table with `where` and an optimizer.

    `optimizer_of` makes one from its table. Raises: CodeError, with all problems at once.
    """
    if not isinstance(groups, list | tuple) or len(cast("tuple[Any, ...]", groups)) < 2:
        raise CodeError(
            "groups: expected a list of two or more tables, such as { where = 'rest', name = 'torch.optim:AdamW' }"
        )
    problems, wheres, parts = list[str](), list[str](), list[ForeignOptimizer]()
    for i, group in enumerate(cast("tuple[Any, ...]", groups)):
        table = dict(group) if isinstance(group, Mapping) else {"where": group}  # pyright: ignore
        where = table.pop("where", None)
        if where not in WHERE:
            problems.append(f"groups.{i}: " + unknown("where", where, WHERE))
        elif where in wheres:
            problems.append(f"groups.{i}: where = {where!r} is that of an earlier group too")
        try:
            parts.append(optimizer_of(table))
        except CodeError as error:
            problems += [f"groups.{i}: {line}" for line in str(error).splitlines()]
        wheres.append(str(where))
    engines = sorted({part.engine for part in parts})
    if len(engines) > 1:
        problems.append(f"groups: their optimizers train on engines {' and '.join(engines)}; expected one library")
    if problems:
        raise CodeError("; ".join(problems))
    made: Any = _class_of(tuple(type(part) for part in parts))
    return made(learning_rate=parts[0].learning_rate, where=tuple(wheres), parts=tuple(parts))


def _class_of(members: tuple[type[ForeignOptimizer], ...]) -> type[ForeignOptimizer]:
    """The class of groups of these optimizers, whose code is that of all of them."""
    path = joint([member.path for member in members])
    if made := made_class(path):
        return made
    created: Any = create_model("Groups", __base__=GroupedOptimizer)
    code = JOINT.join(sorted({member.code for member in members}))
    created.path, created.engine, created.members = path, members[0].engine, members
    created.code = code if len(code) <= 32 else hashlib.sha256(code.encode()).hexdigest()[:32]
    return remember(path, created)


def joint(names: list[str]) -> str:
    """The name of several optimizers in groups."""
    return JOINT.join(names)

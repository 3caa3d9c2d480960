"""Other libraries' words for the keys and names of a recipe: aliases where the meaning is equal, else hints.

An alias is rewritten before patches are merged and before a recipe is hashed, so `lr = 0.1` and
`optimizer.learning_rate = 0.1` are one trial with one label. A word of nearly the same meaning is an error that says
what to write. "sgd" is rewritten last, because a later patch may set its momentum.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from assay.data.datasets import DATASETS
from assay.parts.activations import ACTIVATIONS, OUTPUTS
from assay.parts.batches import BATCHES
from assay.parts.initials import INITIALS
from assay.parts.losses import LOSSES
from assay.parts.models import MODELS
from assay.parts.optimizers import OPTIMIZERS
from assay.parts.part import Part
from assay.parts.schedules import SCHEDULES
from assay.parts.stack import LAYERS
from assay.parts.user_optimizers import rate_is_lr
from assay.recipe.hints import BATCH_HINT, hint, is_batch_hint, is_default

Table = dict[str, Any]

SHORT_FORMS = {
    "data": "name",
    "model": "name",
    "optimizer": "name",
    "schedule": "name",
    "batches": "kind",
    "log": "every",
}
"""The key that a string stands for, in place of a table."""

TOP: dict[str, str] = {
    **dict.fromkeys(("lr", "learning_rate", "learning_rate_init"), "optimizer.learning_rate"),
    **dict.fromkeys(("epochs", "num_epochs", "n_epochs", "max_epochs", "num_train_epochs"), "budget.epochs"),
    **dict.fromkeys(("iterations", "max_steps"), "budget.iterations"),
    "batch_size": "batches.size",
    **dict.fromkeys(("hidden", "hidden_layers", "hidden_layer_sizes", "hidden_units"), "model.hidden"),
    "activation": "model.activation",
    "dropout": "model.dropout",
    "dataset": "data",
    **dict.fromkeys(("criterion", "loss_fn", "loss_function"), "loss"),
    **dict.fromkeys(("random_state", "random_seed"), "seed"),
}
"""Keys at the top of a recipe -> the key of the same meaning."""

INNER: dict[str, dict[str, str]] = {
    "optimizer": {
        **dict.fromkeys(("lr", "learning_rate_init"), "learning_rate"),
        "eps": "epsilon",
        "beta_1": "beta1",
        "beta_2": "beta2",
        "rho": "decay",
        "alpha": "decay",
    },
    "model": {
        **dict.fromkeys(("hidden_layers", "hidden_layer_sizes", "hidden_units"), "hidden"),
        "dropout_rate": "dropout",
    },
    "batches": {"batch_size": "size"},
    "budget": dict.fromkeys(("num_epochs", "n_epochs", "max_epochs"), "epochs") | {"max_steps": "iterations"},
}
"""The same inside a table. torch.optim places epsilon, rho and alpha as `assay.parts.optimizers` does."""

_ALIAS_OF_ONE = {("optimizer", "alpha"): "rmsprop"}
"""Aliases that only one component has: torch's alpha is RMSprop's alone, and scikit-learn's is a penalty."""

DOCUMENTED: dict[str, str] = {"optimizer.decay": "rho"}
"""Keys that documentation and errors call by an alias. Keras's `decay` lowers the learning rate, so `decay`, the stored
name of the averaging constant, would be misread."""

NAMES: dict[str, tuple[Iterable[str], dict[str, str]]] = {
    "model.name": (MODELS, {}),
    "model.activation": (ACTIVATIONS, {"logistic": "sigmoid", "swish": "silu"}),
    "model.output": (OUTPUTS, {}),
    "model.initial": (INITIALS, {"xavieruniform": "glorot_uniform"}),
    "optimizer.name": (OPTIMIZERS, {"gd": "descent", "gradientdescent": "descent", "sgd": "sgd"}),
    "schedule.name": (SCHEDULES, {}),
    "batches.kind": (BATCHES, {"batch": "full", "fullbatch": "full", "stochastic": "single"}),
    "loss": (LOSSES, {"mseloss": "mse", "meansquarederror": "mse", "nllloss": "nll"}),
    "data.name": (DATASETS, {}),
}
"""Keys whose values are names -> these names, and other words of equal meaning (as `_folded` writes them)."""

LAYER_NAMES: dict[str, tuple[Iterable[str], dict[str, str]]] = {
    "kind": (
        LAYERS,
        {"linear": "dense", "maxpool2d": "max_pool", "avgpool2d": "average_pool", "avgpool": "average_pool"},
    ),
    "activation": NAMES["model.activation"],
    "function": NAMES["model.activation"],
}
"""The same for the keys of a layer."""

LAYER_KEYS = {
    "conv2d": {"filters": "channels", "out_channels": "channels", "kernel_size": "kernel", "strides": "stride"},
    "max_pool": {"kernel_size": "size", "pool_size": "size", "strides": "stride"},
    "average_pool": {"kernel_size": "size", "pool_size": "size", "strides": "stride"},
    "dense": {"out_features": "units"},
    "dropout": {"p": "rate"},
}
"""Other words for the keys of a layer, by its kind."""

_SGD = "sgd"
_FOREIGN = ("optimizer", "schedule", "model")
"""Tables whose keys are another library's, or a user's, where their name is a place `module:Name`."""
_WITH_BETAS = ("", "adam", "adamw", "nadam", "radam", "lion", "muon", "schedule-free-adamw")


def canonical(table: Mapping[str, Any], *, base: Mapping[str, Any] | None = None) -> Table:
    """Plain data of a recipe, or a patch of it, with every alias rewritten but "sgd".

    An alias next to its name stays, and `resolved` reports it. The settings of a user optimizer are its own.

    Args:
        table: The recipe or patch.
        base: What the patch will be merged into; it decides whose keys those of an unnamed component are.

    >>> canonical({"lr": 0.1, "epochs": 3, "optimizer": "Adam"})
    {'optimizer': {'name': 'adam', 'learning_rate': 0.1}, 'budget': {'epochs': 3}}
    """
    result: Table = {str(key): value for key, value in table.items() if key not in TOP}
    for key, value in table.items():
        if key in TOP and not _moved(result, TOP[key], value):
            result[str(key)] = value
    for key, value in result.items():
        if key in SHORT_FORMS and isinstance(value, str):
            result[key] = _name(f"{key}.{SHORT_FORMS[key]}", value)
        elif isinstance(value, Mapping):
            result[key] = _inner(key, value, (base or {}).get(key))  # pyright: ignore[reportUnknownArgumentType]
        elif key in NAMES:
            result[key] = _name(key, value)
    return result


def canonical_key(key: str, *, base: Mapping[str, Any] | None = None) -> str:
    """A dotted key with its alias rewritten.

    >>> canonical_key("optimizer.lr"), canonical_key("epochs"), canonical_key("seed")
    ('optimizer.learning_rate', 'budget.epochs', 'seed')
    """
    return _setting(key, None, base)[0]


def canonical_value(key: str, value: Any, *, base: Mapping[str, Any] | None = None) -> Any:
    """The value of a dotted key with its alias rewritten.

    >>> canonical_value("batches.kind", "stochastic"), canonical_value("lr", 0.1)
    ('single', 0.1)
    """
    return _setting(key, value, base)[1]


def _setting(key: str, value: Any, base: Mapping[str, Any] | None) -> tuple[str, Any]:
    leaf, path = object(), list[str]()
    at: Any = canonical(_nested(key, leaf), base=base)
    while at is not leaf:
        (step, at), *_ = at.items()
        path.append(step)
    at = canonical(_nested(key, value), base=base)
    for step in path:
        at = at[step]
    return ".".join(path), at


def _nested(key: str, value: Any) -> Any:
    for part in reversed(key.split(".")):
        value = {part.strip(): value}
    return value


def resolved(table: Mapping[str, Any]) -> tuple[Table, list[str]]:
    """A recipe's plain data without aliases, and a sentence for each word that has to be replaced by hand."""
    result, problems = without_doubles(table)
    if _names_sgd(result.get("optimizer")):
        result["optimizer"] = resolved_sgd(result["optimizer"], problems)
    if is_batch_hint(_name_in(result.get("batches"), "kind")):
        problems.append(f"batches: {BATCH_HINT}")
        del result["batches"]
    return _without_hints(result, problems), problems


def without_doubles(table: Mapping[str, Any]) -> tuple[Table, list[str]]:
    """A recipe or patch without the aliases that stand next to their names, and a sentence for each of them."""
    result, problems = canonical(table), list[str]()
    for key in [key for key in result if key in TOP]:
        problems.append(f"{key}: is another name of {TOP[key]}, which is given too; leave one of them out")
        del result[key]
    for key, inner in INNER.items():
        section = result.get(key)
        if isinstance(section, Mapping):
            result[key] = _without_doubles(key, section, inner, problems)  # pyright: ignore[reportUnknownArgumentType]
    return result, problems


def resolved_sgd(optimizer: str | Mapping[str, Any], problems: list[str]) -> Table:
    """The optimizer that torch's SGD is with these settings; adds its errors to `problems`.

    >>> resolved_sgd({"name": "sgd", "momentum": 0.9, "nesterov": True}, [])
    {'name': 'nesterov', 'momentum': 0.9}
    """
    settings: Table = {} if isinstance(optimizer, str) else dict(optimizer)
    settings.pop("name", None)
    nesterov = settings.pop("nesterov", False)
    if not isinstance(nesterov, bool):
        problems.append(f"optimizer.nesterov: got {nesterov!r}; expected true or false")
    if _is_zero(settings.get("dampening")):
        del settings["dampening"]
    if "momentum" in settings and not _is_zero(settings["momentum"]) and settings["momentum"] is not None:
        return {"name": "nesterov" if nesterov is True else "momentum", **settings}
    settings.pop("momentum", None)
    if nesterov is True:
        problems.append("optimizer.nesterov: needs a momentum, such as momentum = 0.9")
    return {"name": "descent", **settings}


def without_sgd(table: Mapping[str, Any]) -> Table:
    """A recipe or patch in which "sgd" is the optimizer that its settings make of it, if they are complete."""
    result, problems = dict(table), list[str]()
    if _names_sgd(result.get("optimizer")):
        optimizer = resolved_sgd(result["optimizer"], problems)
        if not problems:
            result["optimizer"] = optimizer if len(optimizer) > 1 else optimizer["name"]
    return result


def is_sgd(name: object) -> bool:
    """Whether a name is "sgd", in any case."""
    return isinstance(name, str) and _folded(name) == _SGD


def sgd_settings(table: Mapping[str, Any]) -> bool:
    """Whether a patch of an optimizer that it does not name sets what decides which optimizer "sgd" is."""
    optimizer = table.get("optimizer")
    return (
        isinstance(optimizer, Mapping)
        and "name" not in optimizer
        and ("momentum" in optimizer or "nesterov" in optimizer)
    )


def documented_keys(section: str, keys: Iterable[str]) -> list[str]:
    """The keys of a table as documentation calls them.

    >>> documented_keys("optimizer", ["learning_rate", "decay"])
    ['learning_rate', 'rho']
    """
    return [DOCUMENTED.get(f"{section}.{key}", key) for key in keys]


# --- steps -----------------------------------------------------------------------------------------------------------


def _moved(result: Table, path: str, value: Any) -> bool:
    """Sets a dotted key in `result`; False if it is set already, or its table is not one."""
    section, _, key = path.partition(".")
    if not key:
        if section in result:
            return False
        result[section] = value
        return True
    old = result.get(section)
    if isinstance(old, Part):
        old = old.model_dump(mode="json", exclude_none=True)
    if isinstance(old, str) and section in SHORT_FORMS:
        old = {SHORT_FORMS[section]: old}
    if old is not None and (not isinstance(old, Mapping) or key in old):
        return False
    result[section] = {**(old or {}), key: value}  # pyright: ignore[reportUnknownArgumentType]
    return True


def _inner(section: str, table: Mapping[Any, Any], base: Any) -> Table:
    """A table of a recipe with its aliases rewritten."""
    result: Table = {str(key): value for key, value in table.items()}
    tag = SHORT_FORMS.get(section, "")
    if tag in result:
        result[tag] = _name(f"{section}.{tag}", result[tag])
    name = _name_in(result, tag) or _name_in(base, tag)
    if section == "optimizer" and ":" in name:
        renamed = "lr" in result and "learning_rate" not in result and rate_is_lr(name)
        return {"learning_rate" if renamed and key == "lr" else key: v for key, v in result.items()}
    if section == "model" and ":" in name:  # the arguments of a user's module are its own
        return result
    aliases = INNER.get(section, {})
    for alias in [alias for alias in aliases if alias in result]:
        key = aliases[alias]
        if key not in result and _has(section, name, key) and _is_alias_of(section, alias, name):
            result = {key if old == alias else old: value for old, value in result.items()}
    if section == "optimizer" and name in _WITH_BETAS:
        result = _without_betas(result)
    for key in result:
        if key != tag and section == "model":
            result[key] = _name(f"{section}.{key}", result[key])
    if section == "model" and isinstance(layers := result.get("layers"), list | tuple):
        result["layers"] = [_layer(layer) for layer in layers]  # pyright: ignore[reportUnknownVariableType]
    return result


def _without_betas(settings: Table) -> Table:
    """torch's `betas = [beta1, beta2]` as its two keys."""
    betas: Any = settings.get("betas")
    if not isinstance(betas, list | tuple) or len(betas) != 2 or "beta1" in settings or "beta2" in settings:  # pyright: ignore
        return settings
    return {key: value for key, value in settings.items() if key != "betas"} | {"beta1": betas[0], "beta2": betas[1]}


def _layer(layer: Any) -> Any:
    """An entry of `model.layers` with its aliases rewritten."""
    if isinstance(layer, str):
        return _folded_to(layer, *LAYER_NAMES["kind"])
    if not isinstance(layer, Mapping):
        return layer
    result: Table = {str(key): value for key, value in layer.items()}  # pyright: ignore
    for key, (known, others) in LAYER_NAMES.items():
        if key in result:
            result[key] = _folded_to(result[key], known, others)
    aliases = LAYER_KEYS.get(str(result.get("kind")), {})
    return {
        aliases[key] if key in aliases and aliases[key] not in result else key: value for key, value in result.items()
    }


def _has(section: str, name: str, key: str) -> bool:
    """Whether a component has a key; True where the component is not known yet."""
    entries: Mapping[str, type[Part]] = {"optimizer": OPTIMIZERS, "model": MODELS, "batches": BATCHES}.get(section, {})  # pyright: ignore
    return name not in entries or key in entries[name].model_fields


def _is_alias_of(section: str, alias: str, name: str) -> bool:
    """Whether a word is an alias for that component; True where the component is not known yet."""
    return not name or _ALIAS_OF_ONE.get((section, alias), name) == name


def _name_in(value: Any, tag: str) -> str:
    """The name of a component in a recipe's value; "" if it has none."""
    if isinstance(value, Part):
        return value.entry
    if isinstance(value, Mapping):
        value = value.get(tag)  # pyright: ignore[reportUnknownVariableType, reportUnknownMemberType]
    return value if isinstance(value, str) else ""


def _name(key: str, value: Any) -> Any:
    """A name as its table writes it. A data set's name may also be that of a file, which then counts."""
    if key not in NAMES or not isinstance(value, str) or value in NAMES[key][0]:
        return value
    if key == "data.name" and (value.startswith("openml:") or _exists(value)):
        return value
    return _folded_to(value, *NAMES[key])


def _exists(name: str) -> bool:
    try:
        return Path(name).exists()
    except (OSError, ValueError):  # a name too long, or with a null character
        return False


def _folded_to(value: Any, known: Iterable[str], others: Mapping[str, str]) -> Any:
    """A name as `known` writes it, without regard to case, hyphens and underscores; `others` are words for one."""
    names = list(known)
    if not isinstance(value, str) or value in names:
        return value
    folded = _folded(value)
    matches = [name for name in names if _folded(name) == folded] if folded else []
    return matches[0] if matches else others.get(folded, value)


def _folded(name: str) -> str:
    return "".join(c for c in name.casefold() if c.isalnum())


def _names_sgd(optimizer: Any) -> bool:
    return is_sgd(_name_in(optimizer, "name"))


def _is_zero(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value == 0


# --- errors ----------------------------------------------------------------------------------------------------------


def _without_doubles(
    section: str, table: Mapping[str, Any], aliases: Mapping[str, str], problems: list[str]
) -> Mapping[str, Any]:
    """A table without the aliases that stand next to their names, each of which is a problem."""
    if section == "optimizer" and ":" in _name_in(table, "name"):
        if not {"lr", "learning_rate"} <= set(table) or not rate_is_lr(_name_in(table, "name")):
            return table
        aliases = {"lr": "learning_rate"}
    if section == "model" and ":" in _name_in(table, "name"):
        return table
    result = dict(table)
    for alias, key in aliases.items():
        if alias in result and key in result:
            problems.append(f"{section}.{alias}: is another name of {section}.{key}, which is given too; leave one out")
            del result[alias]
    if section == "optimizer" and "betas" in result and ("beta1" in result or "beta2" in result):
        problems.append("optimizer.betas: is another name of beta1 and beta2, which are given too; leave one out")
        del result["betas"]
    return result


def _without_hints(table: Table, problems: list[str]) -> Table:
    """A recipe's plain data without the words that have a hint, each of which is a problem."""
    result: Table = {}
    for key, value in table.items():
        if sentence := hint("", key, value):
            problems.append(f"{key}: {sentence}")
        elif isinstance(value, Mapping) and not (key in _FOREIGN and ":" in _name_in(value, "name")):
            name = _name_in(value, SHORT_FORMS.get(key, "name"))  # pyright: ignore[reportUnknownArgumentType]
            inner: Table = {}
            for k, v in value.items():  # pyright: ignore[reportUnknownVariableType]
                if is_default(key, str(k), v, component=name):  # pyright: ignore[reportUnknownArgumentType]
                    continue
                if sentence := hint(key, str(k), v, component=name):  # pyright: ignore[reportUnknownArgumentType]
                    problems.append(f"{key}.{k}: {sentence}")
                else:
                    inner[str(k)] = v  # pyright: ignore[reportUnknownArgumentType]
            result[key] = inner
        else:
            result[key] = value
    return result

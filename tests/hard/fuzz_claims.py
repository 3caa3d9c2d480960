"""Fuzzer of claims: TOML files whose tables, values and bytes were changed, judged on made-up studies."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

from . import fuzzing

_A, _B = {"configuration": "a"}, {"configuration": "b"}
_RULES: tuple[dict[str, Any], ...] = (
    {"rule": "threshold", "side": _A, "at_least": "90 %", "over": "mean", "significant": True},
    {"rule": "less", "left": _B, "right": {"configuration": "a", "at": {"epoch": 5}}, "by": "0.1 points"},
    {"rule": "order", "sides": [_A, _B], "significant": True},
    {"rule": "ratio", "quantity": "train_loss", "left": _A, "right": {"values": [0.5, 0.25]}, "at_most": 1.1},
    {"rule": "equal", "left": _A, "right": 0.9, "tolerance": 0.01},
    {"rule": "spread", "side": _A, "than": _B, "times_at_least": 2.0},
    {"rule": "beats", "left": _A, "right": [_B], "family": "baseline"},
    {"rule": "differs", "left": _A, "right": {"configuration": "*", "pick": "worst"}},
    {"rule": "no-worse", "left": _A, "right": _B, "margin": "0.3 points"},
    {"rule": "reaches", "side": _A, "target": 0.5, "within": 50, "by": "iteration"},
    {"rule": "flat-then-falls", "quantity": "test_accuracy", "side": _A, "start": 1, "flat_until": 10, "fallen_by": 50},
    {"rule": "published-point", "side": _A, "published": 0.9, "word": "about"},
)
_PARTS = (
    *("a", "b", "*", "end", "best", "longest", "worst", "accuracy", "test_loss", "seconds", "recall:1", "{x}", "each"),
    *("except", "all", "any", "rule", "side", "left", "right", "study", "made-up", "where", "experiment", "values"),
)


def case(draw: random.Random, place: Path) -> str:
    """One file of claims, read and judged."""
    from assay.claims.claim import read_claims
    from assay.claims.judge import judge
    from tests.claims.frames import made_up

    claims = [_claim(draw, number) for number in range(draw.randrange(1, 4))]
    raw: dict[str, Any] = {"claims": json.loads(json.dumps(claims))}
    for _ in range(draw.randrange(4)):
        _change(draw, raw)
    content = "".join(f"{json.dumps(str(key))} = {_toml(value)}\n" for key, value in raw.items()).encode(
        "utf-8", "surrogatepass"
    )
    if draw.random() < 0.3:
        content = fuzzing.changed(draw, content)
    path = place / "claims.toml"
    path.write_bytes(content)
    read = read_claims(path)
    study = made_up({"a": [0.9, 0.92, None], "b": [0.8, 0.85, 0.81]}, outcomes={"a": ["completed", "stopped", "lost"]})
    for row in study.rows:
        row |= {"train_loss": 0.5, "seconds": 1.0}
    judgements = judge(read, {study.name: study})
    json.dumps([judgement.plain() for judgement in judgements])
    return "taken"


def _claim(draw: random.Random, number: int) -> dict[str, Any]:
    """A claim with one rule, or with several that are combined."""
    claim: dict[str, Any] = {"id": f"claim-{number}", "text": "A sentence"}
    kind = draw.choice(("rule", "rule", "all", "any", "each"))
    if kind in ("all", "any"):
        return claim | {kind: draw.sample(_RULES, draw.randrange(1, 4))}
    if kind == "each":
        each = {"each": {"x": ["a", "b"]}, "except": [{"x": "b"}], "rule": "threshold", "at_least": 0.5}
        return claim | each | {"side": {"configuration": "{x}"}}
    return claim | draw.choice(_RULES)


def _change(draw: random.Random, value: Any) -> None:
    """Changes, adds or removes one entry somewhere in a table or a list."""
    if isinstance(value, list):
        if value and draw.random() < 0.9:
            place = draw.randrange(len(value))
            _change(draw, value[place]) if isinstance(value[place], dict | list) else value.__setitem__(place, 7)
        else:
            value.append(fuzzing.value(draw))
        return
    key = draw.choice(list(value)) if value and draw.random() < 0.8 else draw.choice((*_PARTS, fuzzing.word(draw)))
    if isinstance(value.get(key), dict | list) and draw.random() < 0.8:
        _change(draw, value[key])
    elif draw.random() < 0.15 and key in value:
        del value[key]
    else:
        value[key] = draw.choice(_PARTS) if draw.random() < 0.5 else fuzzing.value(draw)


def _toml(value: object) -> str:
    """A value as TOML in one line, unchecked."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(str(k))} = {_toml(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    if isinstance(value, bool):
        return str(value).lower()
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str) else str(value)


def warm() -> None:
    """Imports what the cases need."""
    import assay.claims.judge  # noqa: F401


def run(seed: int, cases: int) -> dict[str, int]:
    """Makes so many cases."""
    return fuzzing.run("claims", case, seed, cases, warm=warm)

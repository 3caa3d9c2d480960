"""The JSON schema of claims: made from the table of rules, and in agreement with the reader."""

from __future__ import annotations

import ast
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from assay.articles import article_names, find_article
from assay.claims.claim import parse_claims
from assay.claims.rules import RULES
from assay.claims.schema import claims_schema
from assay.errors import AssayError

CLAIMS = Draft202012Validator(claims_schema())
HERE = Path(__file__).parent
SIDE = {"configuration": "adam"}


def refusals(table: dict[str, Any]) -> list[str]:
    """What the schema says against a file of claims."""
    return [error.message for error in CLAIMS.iter_errors(table)]


def claim(**keys: Any) -> dict[str, Any]:
    return {"claims": [{"id": "one", "text": "A claim", **keys}]}


def test_it_is_a_schema_with_every_rule_and_key() -> None:
    Draft202012Validator.check_schema(claims_schema())
    options = claims_schema()["$defs"]["condition"]["anyOf"]
    ruled = {option["properties"]["rule"]["const"]: option for option in options if "rule" in option["properties"]}
    assert set(ruled) == set(RULES)
    for name, rule in RULES.items():
        assert {*rule.sides, *rule.keys} <= set(ruled[name]["properties"])
        assert all(ruled[name]["properties"][key]["description"] for key in rule.keys)


def test_the_claims_of_the_page_and_of_every_article_are_valid() -> None:
    page = (HERE.parents[1] / "docs" / "claims.md").read_text()
    tables = [tomllib.loads(block) for block in re.findall(r"```toml\n(.*?)```", page, re.DOTALL)]
    tables = [table for table in tables if "claims" in table]
    articles = [tomllib.loads((find_article(name).folder / "article.toml").read_text()) for name in article_names()]
    tables += [{"claims": table["claims"]} for table in articles if table.get("claims")]
    assert len(tables) > 8
    assert [refusals(table) for table in tables] == [[] for _ in tables]


REFUSED = [
    {},
    {"claims": []},
    {"claim": []},
    claim(),
    claim(rule="treshold", side=SIDE, at_least=0.9),
    claim(rule="threshold", at_least=0.9),
    claim(rule="threshold", side=SIDE, atleast=0.9),
    claim(rule="threshold", side=SIDE, at_least=[0.9]),
    claim(rule="threshold", side=SIDE, at_least=0.9, significant="yes"),
    claim(rule="threshold", side=SIDE, at_least=0.9, over="mode"),
    claim(rule="threshold", side={}, at_least=0.9),
    claim(rule="threshold", side=["adam"], at_least=0.9),
    claim(rule="threshold", side={"configuration": []}, at_least=0.9),
    claim(rule="threshold", side={"values": []}, at_least=0.9),
    claim(rule="threshold", side={"values": [0.9], "configuration": "adam"}, at_least=0.9),
    claim(rule="threshold", side={**SIDE, "pick": "first"}, at_least=0.9),
    claim(rule="threshold", side={**SIDE, "at": {"epoch": 1, "iteration": 3}}, at_least=0.9),
    claim(rule="threshold", side={**SIDE, "at": {"epochs": 1}}, at_least=0.9),
    claim(rule="no-worse", left=SIDE, right=SIDE),
    claim(rule="no-worse", left=SIDE, right=SIDE, margin=-0.1),
    claim(rule="reaches", side=SIDE, target=0.9, within=0),
    claim(rule="less", left=[SIDE], right=SIDE),
    claim(all=[]),
    claim(all=[{"rule": "less", "left": SIDE}]),
    claim(all=[{"rule": "less", "left": SIDE, "right": SIDE}], rule="less", left=SIDE, right=SIDE),
    claim(rule="less", left=SIDE, right=SIDE, each={}),
    {"claims": [{"id": "a b", "text": "A claim", "rule": "less", "left": SIDE, "right": SIDE}]},
    {"claims": [{"id": "one", "rule": "less", "left": SIDE, "right": SIDE}]},
]


@pytest.mark.parametrize("table", REFUSED, ids=str)
def test_what_the_schema_refuses_the_reader_refuses(table: dict[str, Any]) -> None:
    assert refusals(table)
    with pytest.raises(AssayError):
        parse_claims(table, source="test")


@pytest.mark.parametrize(
    "table",
    [
        claim(rule="less", left="90 %", right={**SIDE, "at": {"epoch": 1}}, by="1 point"),
        claim(rule="beats", left=[SIDE, {"optimizer": ["adam", "adamw"], "pick": "best"}], right=SIDE),
        claim(rule="reaches", side=SIDE, target="90 %", within="{w}", by="examples", each={"w": [10, 20]}),
        claim(any=[{"all": [{"rule": "threshold", "side": SIDE, "above": 0.1}]}], quantity="recall:7"),
        claim(rule="threshold", side={**SIDE, "at": "{p}"}, above=0.1, each=[{"p": 1}, {"p": "best"}]),
        {**claim(rule="threshold", side={"values": [0.9, "91 %"]}, above=0.1), "study": "a", "at": 500},
    ],
    ids=str,
)
def test_what_the_reader_accepts_the_schema_accepts(table: dict[str, Any]) -> None:
    parse_claims(table, source="test")
    assert refusals(table) == []


@pytest.mark.parametrize("name", ["test_first_rules.py", "test_sides.py"])
def test_the_schema_accepts_the_claims_of_these_tests_that_the_reader_accepts(name: str) -> None:
    accepted = 0
    for node in ast.walk(ast.parse((HERE / name).read_text())):
        try:
            rule = ast.literal_eval(node) if isinstance(node, ast.Dict) else {}
        except ValueError:
            continue
        if not isinstance(rule, dict) or not any(key in rule for key in ("rule", "all", "any")):
            continue
        table = claim(**{str(key): value for key, value in rule.items() if key not in ("id", "text")})
        try:
            parse_claims(table, source="test")
        except AssayError:
            continue
        accepted += 1
        assert refusals(table) == [], table
    assert accepted

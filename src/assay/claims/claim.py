"""A claim: a sentence, and the rule that it is judged by. `parse_claims` reads them from plain data."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from assay.claims.rules import RULES, Asked, Rule
from assay.claims.side import INHERITED, Side, parse_side
from assay.errors import RecipeError, has_no, unknown
from assay.recipe.bounds import problems_of
from assay.recipe.toml import read_toml
from assay.system.limits import CLAIM_RULES, CLAIMS

_DEEP = 8  # levels of all and any
_MOST_PROBLEMS = 20  # numbers and depths that are named
_COMBINED = ("all", "any")
_OF_CLAIM = ("id", "text")
_OF_EACH = ("each", "except")


_NO_VALUES = Asked({})
_PLACEHOLDER = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")
_GENERAL = {"left": "the left side", "right": "the right side", "than": "the other side", "side": "the side"}
_GENERAL["sides"] = "the sides"


@dataclass(frozen=True)
class Condition:
    """A rule with its values, or several conditions of which all or any must hold.

    Attributes:
        combine: "rule", "all" or "any".
        rule: The name of the rule.
        asked: The values of its keys.
        parts: The conditions that are combined.
        place: Where it is in the file.
    """

    combine: str
    rule: str = ""
    asked: Asked = _NO_VALUES
    parts: tuple[Condition, ...] = ()
    place: str = ""

    def leaves(self) -> Iterator[Condition]:
        """The conditions with a rule, in order."""
        if self.combine == "rule":
            yield self
        for part in self.parts:
            yield from part.leaves()

    def sides(self) -> Iterator[tuple[str, Side]]:
        """Every side with its place in the file."""
        for leaf in self.leaves():
            for key in RULES[leaf.rule].sides:
                value = leaf.asked.values.get(key)
                if isinstance(value, Side):
                    yield f"{leaf.place}.{key}", value
                elif value is not None:
                    yield from ((f"{leaf.place}.{key}[{i}]", side) for i, side in enumerate(value))

    def _side_text(self, key: str) -> str:
        """The side or sides of a key in words; a name that is no key stays."""
        value = self.asked.values.get(key)
        if value is None or key not in RULES[self.rule].sides:
            return f"{{{key}}}"
        return " and ".join(side.text() for side in (value if isinstance(value, tuple) else (value,)))

    def words(self) -> str:
        """The condition in words."""
        if self.combine == "rule":
            return _PLACEHOLDER.sub(lambda found: self._side_text(found[1]), RULES[self.rule].words(self.asked))
        alike = {RULES[part.rule].words(part.asked) if part.combine == "rule" else part.words() for part in self.parts}
        if len(alike) == 1 and len(self.parts) > 1:
            general = _PLACEHOLDER.sub(lambda found: _GENERAL.get(found[1], found[0]), alike.pop())
            return f"{self.combine} of {len(self.parts)}: {general}"
        texts = list(dict.fromkeys(part.words() for part in self.parts))
        if len(texts) == 1:
            return texts[0]
        return (" and " if self.combine == "all" else " or ").join(f"({text})" for text in texts)


@dataclass(frozen=True)
class Claim:
    """A sentence with a rule.

    Attributes:
        id: Its name in the file.
        text: The sentence.
        condition: What must hold.
        table: The claim as it stands in the file.
        source: The file.
    """

    id: str
    text: str
    condition: Condition
    table: Mapping[str, Any]
    source: str = "claims"

    @property
    def rule(self) -> str:
        """The name of its rule; "all" or "any" for several."""
        return self.condition.rule or self.condition.combine

    def studies(self) -> list[str]:
        """The studies that it names."""
        return list(dict.fromkeys(side.study for _, side in self.condition.sides() if side.study))


def read_claims(path: Path) -> tuple[Claim, ...]:
    """The claims of a TOML file with `[[claims]]` tables.

    Raises:
        FileError: The file cannot be read, or is too large.
        RecipeError: Something in it is wrong; all of it at once.
    """
    return parse_claims(read_toml(path), source=str(path))


def parse_claims(raw: Mapping[str, Any], *, source: str) -> tuple[Claim, ...]:
    """The claims of a table `{"claims": [...]}`, as TOML has them.

    Args:
        raw: The table. `study`, `quantity` and `at` next to `claims` are those of every side without its own.
        source: Where the data came from, for messages.

    Raises:
        RecipeError: Something is wrong; all of it at once.

    Examples:
        >>> rule = {"rule": "threshold", "side": {"configuration": "adam"}, "at_least": "97.5 %"}
        >>> (claim,) = parse_claims({"claims": [{"id": "good", "text": "Adam is good"} | rule]}, source="claims")
        >>> claim.condition.words()
        'test accuracy of adam, median over seeds, is at least 97.50 %'
    """
    if problems := list(itertools.islice(problems_of(raw), _MOST_PROBLEMS)):
        raise RecipeError(problems, source=source)
    top = ("claims", *INHERITED)
    problems += [has_no("the file", "key", key, top) for key in raw if key not in top]
    tables = raw.get("claims")
    if not isinstance(tables, list) or not tables:
        problems.append(f"claims: got {tables!r}; expected [[claims]] tables, each with id, text and a rule")
        raise RecipeError(problems, source=source)
    count = len(tables)
    if count > CLAIMS.most:
        raise RecipeError([f"claims: got {count:,}; expected {CLAIMS} at most"], source=source)
    inherited = {key: raw[key] for key in INHERITED if key in raw}
    reader = _Reader(problems, inherited)
    claims = [reader.claim(table, f"claims[{i}]", source) for i, table in enumerate(tables)]
    ids: dict[str, int] = {}
    for claim in filter(None, claims):
        ids[claim.id] = ids.get(claim.id, 0) + 1
    problems += [
        f"claims: {count} have the id {name!r}; expected different ones" for name, count in ids.items() if count > 1
    ]
    if problems:
        raise RecipeError(problems, source=source)
    return tuple(claim for claim in claims if claim)


class _Reader:
    """Reads claims, and collects what is wrong in `problems`."""

    def __init__(self, problems: list[str], inherited: Mapping[str, Any]) -> None:
        self.problems, self._inherited, self._rules = problems, inherited, 0

    def claim(self, raw: Any, place: str, source: str) -> Claim | None:
        """A claim; None if it has none."""
        if not isinstance(raw, Mapping):
            self.problems.append(f"{place}: got {raw!r}; expected a table with id, text and a rule")
            return None
        table: dict[str, Any] = {str(key): value for key, value in raw.items()}
        texts: list[str] = []
        for key in _OF_CLAIM:
            value = table.get(key)
            if not isinstance(value, str) or not value.strip():
                wanted = "a name without spaces, such as 'adam-beats-sgd'" if key == "id" else "a sentence"
                got = "is missing" if value is None else f"got {value!r}"
                self.problems.append(f"{place}.{key}: {got}; expected {wanted}")
            texts.append(str(value))
        if isinstance(table.get("id"), str) and not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}", texts[0]):
            self.problems.append(f"{place}.id: got {texts[0]!r}; expected letters, digits, - _ and . only")
        rest = {key: value for key, value in table.items() if key not in _OF_CLAIM}
        named = f"{place} ({texts[0]})" if isinstance(table.get("id"), str) else place
        conditions = self.conditions(rest, named, self._inherited, depth=0)
        if not conditions:
            return None
        whole = conditions[0] if len(conditions) == 1 else Condition("all", parts=tuple(conditions), place=named)
        return Claim(texts[0], texts[1], whole, table, source)

    def conditions(
        self, table: Mapping[str, Any], place: str, inherited: Mapping[str, Any], *, depth: int
    ) -> list[Condition]:
        """The conditions of a table: one, or with `each` one for every combination of its values."""
        if depth > _DEEP:
            self.problems.append(f"{place}: all and any are nested more than {_DEEP} deep")
            return []
        rest = {key: value for key, value in table.items() if key not in _OF_EACH}
        made: list[Condition] = []
        for values in self._instances(table, place):
            filled = _filled(rest, values) if values else rest
            unfilled = sorted(_placeholders(filled)) if values else []
            if unfilled:
                self.problems += [f"{place}: {has_no('each', 'name', name, values)}" for name in unfilled]
                return []
            before = len(self.problems)
            condition = self._condition(filled, place, inherited, depth=depth)
            if condition:
                made.append(condition)
            if len(self.problems) > before or self._rules > CLAIM_RULES.most:
                break  # the other instances have the same problems
        return made

    def _instances(self, table: Mapping[str, Any], place: str) -> list[dict[str, Any]]:
        """The combinations of the values of `each`, without those of `except`; one empty one without `each`."""
        each, left_out = table.get("each"), table.get("except", [])
        if each is None:
            if "except" in table:
                self.problems.append(f"{place}.except: leaves out combinations of each, and there is no each")
            return [{}]
        instances = _combinations(each)
        if not instances:
            self.problems.append(
                f"{place}.each: got {each!r}; expected a table of lists such as {{ model = ['2LR', '3LS'] }}, or a "
                "list of tables with equal keys"
            )
            return []
        if len(instances) > CLAIM_RULES.most:
            self.problems.append(f"{place}.each: makes more than {CLAIM_RULES}")
            return []
        tables = left_out if isinstance(left_out, list) else [left_out]
        for i, entry in enumerate(tables):
            if not isinstance(entry, Mapping) or not entry:
                self.problems.append(
                    f"{place}.except[{i}]: got {entry!r}; expected a table such as {{ model = '2LR' }}"
                )
                continue
            kept = [one for one in instances if any(key not in one or one[key] != entry[key] for key in entry)]
            if len(kept) == len(instances):
                self.problems.append(f"{place}.except[{i}]: {dict(entry)} is no combination of each")
            instances = kept
        if not instances:
            self.problems.append(f"{place}.except: leaves out everything")
        return instances

    def _condition(
        self, table: Mapping[str, Any], place: str, inherited: Mapping[str, Any], *, depth: int
    ) -> Condition | None:
        kinds = [key for key in ("rule", *_COMBINED) if key in table]
        if len(kinds) != 1:
            got = f"has {' and '.join(kinds)}" if kinds else "has no rule"
            self.problems.append(f"{place}: {got}; expected rule = '...' (one of {', '.join(RULES)}), or all or any")
            return None
        own = {key: table[key] for key in INHERITED if key in table}
        if kinds[0] == "rule":
            return self._ruled(table, place, {**inherited, **own})
        others = [key for key in table if key not in (kinds[0], *INHERITED)]
        self.problems += [f"{place}: {has_no(kinds[0], 'key', key, (*INHERITED, *_OF_EACH))}" for key in others]
        parts = table[kinds[0]]
        if not isinstance(parts, list) or not parts:
            self.problems.append(f"{place}.{kinds[0]}: got {parts!r}; expected a list of tables, each with a rule")
            return None
        made: list[Condition] = []
        for i, part in enumerate(parts):
            at = f"{place}.{kinds[0]}[{i}]"
            if isinstance(part, Mapping):
                made += self.conditions(part, at, {**inherited, **own}, depth=depth + 1)
            else:
                self.problems.append(f"{at}: got {part!r}; expected a table with a rule")
        return Condition(kinds[0], parts=tuple(made), place=place)

    def _ruled(self, table: Mapping[str, Any], place: str, inherited: Mapping[str, Any]) -> Condition | None:
        """A condition with a rule."""
        name = table["rule"]
        if not isinstance(name, str) or name not in RULES:
            self.problems.append(f"{place}.rule: {unknown('rule', name, RULES)}")
            return None
        self._rules += 1
        if self._rules == CLAIM_RULES.most + 1:
            self.problems.append(f"{place}: there are more than {CLAIM_RULES} in the file")
        if self._rules > CLAIM_RULES.most:
            return None
        rule, before = RULES[name], len(self.problems)
        allowed = (*rule.sides, *rule.keys)
        for key in table:
            if key not in ("rule", *INHERITED, *allowed):
                self.problems.append(f"{place}: {has_no(f'rule {name!r}', 'key', key, allowed)}")
        stated = [table[key]["quantity"] for key in rule.sides if "quantity" in _mapping(table.get(key))]
        of_numbers = {"quantity": stated[0], **inherited} if stated else inherited
        values: dict[str, Any] = {
            key: self._side(rule, table, key, place, inherited if _mapping(table.get(key)) else of_numbers)
            for key in rule.sides
        }
        if len(self.problems) > before:
            return None
        quantity = next(_each_side(values)).quantity
        if mixed := {side.quantity.unit for side in _each_side(values)} - {quantity.unit}:
            self.problems.append(f"{place}: the sides have different units, {quantity.unit!r} and {sorted(mixed)}")
        for key, kind in rule.keys.items():
            if key not in table:
                if kind.required:
                    self.problems.append(f"{place}.{key}: is missing; {kind.about}")
                values[key] = kind.default
                continue
            try:
                values[key] = kind.read(table[key], quantity)
            except ValueError as error:
                self.problems.append(f"{place}.{key}: {error}")
        if len(self.problems) == before:
            self.problems += [f"{place}: {problem}" for problem in rule.check(values)]
        return Condition("rule", name, Asked(values), place=place) if len(self.problems) == before else None

    def _side(self, rule: Rule, table: Mapping[str, Any], key: str, place: str, inherited: Mapping[str, Any]) -> Any:
        """A side of a rule, or several; None where it may be left out."""
        if key not in table:
            if key not in rule.optional:
                self.problems.append(
                    f"{place}.{key}: is missing; expected a side such as {{ configuration = 'LABEL' }}"
                )
            return None
        value = table[key]
        if key not in rule.several:
            return parse_side(value, inherited, place=f"{place}.{key}", problems=self.problems)
        entries = value if isinstance(value, list) else [value]
        if not entries:
            self.problems.append(f"{place}.{key}: got an empty list; expected sides")
        return tuple(
            parse_side(entry, inherited, place=f"{place}.{key}[{i}]", problems=self.problems)
            for i, entry in enumerate(entries)
        )


def _mapping(value: Any) -> Mapping[str, Any]:
    """A side's table; empty for a number or a list."""
    return value if isinstance(value, Mapping) else {}


def _each_side(values: Mapping[str, Any]) -> Iterator[Side]:
    for value in values.values():
        if isinstance(value, Side):
            yield value
        elif isinstance(value, tuple):
            yield from value


def _combinations(each: Any) -> list[dict[str, Any]]:
    """The instances of `each`: all combinations of a table of lists, or the tables of a list; none if it is wrong."""
    if isinstance(each, Mapping) and each and all(isinstance(v, list) and v for v in each.values()):
        names = [str(name) for name in each]
        products = itertools.islice(itertools.product(*each.values()), CLAIM_RULES.most + 1)
        return [dict(zip(names, values, strict=True)) for values in products]
    if isinstance(each, list) and each and all(isinstance(one, Mapping) for one in each):
        keys = {frozenset(one) for one in each}
        return [dict(one) for one in each] if len(keys) == 1 else []
    return []


def _filled(value: Any, values: Mapping[str, Any]) -> Any:
    """Plain data with {name} replaced by the values; a text that is one {name} alone becomes the value itself."""
    if isinstance(value, str):
        whole = _PLACEHOLDER.fullmatch(value)
        if whole and whole[1] in values:
            return values[whole[1]]
        return _PLACEHOLDER.sub(lambda found: str(values[found[1]]) if found[1] in values else found[0], value)
    if isinstance(value, Mapping):
        return {key: _filled(inner, values) for key, inner in value.items()}
    if isinstance(value, list):
        return [_filled(inner, values) for inner in value]
    return value


def _placeholders(value: Any) -> set[str]:
    if isinstance(value, str):
        return set(_PLACEHOLDER.findall(value))
    inner = value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else ()
    return set().union(*map(_placeholders, inner))


__all__ = ["Claim", "Condition", "parse_claims", "read_claims"]

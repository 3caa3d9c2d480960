"""Matches regular expressions against lines in a process of its own, which can be ended where matching takes too long.

It reads {"patterns": [...], "lines": [...]} from its input, and writes one entry per line: the groups of the first
pattern that matches, or null. It is run as a file, without the rest of Assay.
"""

import json
import re
import sys

REST = re.compile(
    r"(?:[.,'_\u2019]?\d|[eE][-+]?\d|[ \u00a0\u202f]\d{3}[.,]\d)[\d.,]{0,30}|\s?(?:[x*\u00d7]|\*\*)\s?10\S{0,9}"
)
"""What goes on with a number."""


def main() -> None:
    """Matches what the input asks for."""
    asked = json.load(sys.stdin)
    patterns = [re.compile(text) for text in asked["patterns"]]
    matches = []
    for line in asked["lines"]:
        match = next((found for pattern in patterns if (found := pattern.search(line))), None)
        matches.append(match and {name: whole(match, name) for name in match.groupdict() if match[name] is not None})
    json.dump(matches, sys.stdout)


def whole(match: re.Match[str], name: str) -> str:
    """The text of a group at the end of a match, with the rest of a number that the expression cut off.

    Of "loss 2,94" the group of `loss (?P<loss>[0-9.]+)` is "2", which is another number.
    """
    end = match.end(name)
    if end != match.end() or not match[name][-1:].isdigit():
        return match[name]
    rest = REST.match(match.string, end)
    return match[name] + rest[0] if rest else match[name]


if __name__ == "__main__":
    main()

"""Matches regular expressions against lines in a process of its own, which can be ended where matching takes too long.

It reads {"patterns": [...], "lines": [...]} from its input, and writes one entry per line: the groups of the first
pattern that matches, or null. It is run as a file, without the rest of Assay.
"""

import json
import re
import sys


def main() -> None:
    """Matches what the input asks for."""
    asked = json.load(sys.stdin)
    patterns = [re.compile(text) for text in asked["patterns"]]
    matches = []
    for line in asked["lines"]:
        match = next((found for pattern in patterns if (found := pattern.search(line))), None)
        matches.append(match and {name: text for name, text in match.groupdict().items() if text is not None})
    json.dump(matches, sys.stdout)


if __name__ == "__main__":
    main()

"""Lines of any script that name a step and their numbers: `epoch 3: loss 0.41, val acc 97.2%, 12.1 s`.

Also the lines of PyTorch's examples and tutorials, xgboost, LightGBM and scikit-learn. A line without a step belongs to
the step before it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from assay.errors import AssayError
from assay.logs.columns import SPLITS, USUAL, is_bare, meaning, normalised
from assay.logs.lines import lines_of, number_of, plain_numbers, whole_number, without_prefix
from assay.logs.log import QUANTITIES, Options, Reading
from assay.logs.numerals import BEGIN, numeral, without_groups
from assay.logs.tables import Line, read_rows
from assay.report.text import counted
from assay.system.limits import LOG_LINE_CHARACTERS

MOST_CHARACTERS = LOG_LINE_CHARACTERS.most
"""The length limit of a line; a longer one is ignored."""
_DASHES = "\u2010\u2011\u2012\u2013\u2014\u2015\uff0d"
_AROUND = " :=#-*>.'\"{}<~\u2264\u2265\u2248" + _DASHES  # what may stand between a name and its number
_SEPARATED = re.compile(r"[,;|\t()\[\]]|\s[-*]+\s|\s{3,}")
_TQDM = re.compile(
    r"(\d{1,3})%\|[^|]{0,400}\|\s*(\d{1,12})/(\d{1,12})\s*\[([^\]<]{0,20})<[^,\]]{0,20}(?:,[^,\]]{0,40})?"
)
_ROUND = re.compile(r"\s*\[(\d{1,12})\]\s*(?=[A-Za-z])")  # of xgboost and LightGBM
_STUCK = re.compile(r"\b(epoch|iter|step)[_-]?(?=\d)", re.IGNORECASE)  # epoch1
_PAIR = re.compile(
    r"\s*\[(\d{1,9}),\s{1,9}(\d{1,9})\]\s*(?=[A-Za-z])"
)  # [epoch, mini-batch] of PyTorch's CIFAR tutorial
_SKLEARN = re.compile(r"\s*Iteration \d+, loss = ")
_SENTENCES = (  # of libraries, with the usual name of what they say
    (re.compile(r"^\s*Validation score: "), "validation accuracy: "),  # scikit-learn
    (re.compile(r"^\s*Accuracy of the network on the \d{0,9} ?test images: "), "test accuracy: "),  # PyTorch's tutorial
)
_BEFORE = frozenset(
    {"global", "at", "end", "of", "start", "starting", "finished", "completed", "done", "running", "after"}
)
_STEPS = {name: target for target in ("iteration", "epoch") for name in USUAL[target]} | {"ep": "epoch"}


class _Item(NamedTuple):
    name: str  # as written
    number: str
    unit: str
    stuck: bool  # whether the unit follows without a space
    total: str  # of 3/10
    before: str  # the character before the number
    start: int


@dataclass
class _Parsed:
    """The numbers of a line."""

    epoch: str = ""
    iteration: str = ""
    batches: int | None = None
    within: tuple[int, int] | None = None
    cells: dict[str, str] = field(default_factory=dict[str, str])
    split: str = ""
    twice: str = ""
    bar: bool = False


@dataclass
class _Step:
    """The step that the lines of a log are at: the last one that a line names."""

    epoch: str = ""
    iteration: str = ""
    inherited: int = 0  # lines without a step of their own

    def move(self, parsed: _Parsed) -> None:
        """Takes the step that a line names; one that names an iteration alone leaves the epoch as it is unknown."""
        if parsed.epoch or parsed.iteration:
            self.epoch = parsed.epoch or ("" if parsed.iteration else self.epoch)
            self.iteration = parsed.iteration

    def cells(self, parsed: _Parsed) -> dict[str, str]:
        """The step of a line with values: its own, else the one before, with the epoch of an iteration within it."""
        step = {"epoch": parsed.epoch, "iteration": parsed.iteration}
        if not parsed.epoch and not parsed.iteration:
            step = {"epoch": self.epoch, "iteration": "" if self.epoch else self.iteration}
            self.inherited += 1
        elif not parsed.epoch and self.epoch and parsed.batches:
            step["epoch"] = self.epoch
        return {name: value for name, value in step.items() if value}


def looks_text(content: bytes) -> int:
    """The number of lines with a measured quantity that have a step or follow one."""
    count, stepped = 0, False
    for text in lines_of(content):
        parsed = _parsed(text, frozenset(), "")
        if parsed is None:
            continue
        stepped |= bool(parsed.epoch or parsed.iteration)
        count += stepped and _is_measured(parsed)
    return count


def _is_measured(parsed: _Parsed) -> bool:
    return any((known := meaning(name)) is not None and known[0] in QUANTITIES for name in parsed.cells)


def read_text(content: bytes, options: Options) -> Reading:
    """Reads the lines. Raises: AssayError."""
    texts = lines_of(content)
    reading = Reading(lines=len(texts))
    specified = frozenset(options.columns.values())
    step, split = _Step(), ""
    lines: list[Line] = []
    long = 0
    for number, text in enumerate(texts, 1):
        if len(text) > MOST_CHARACTERS:
            long += 1
            reading.ignored += 1
            continue
        parsed = _parsed(text, specified, split)
        if parsed is None:
            split = _heading_split(text) or split
            reading.ignored += 1
            continue
        step.move(parsed)
        split = parsed.split
        if not (_is_measured(parsed) or specified & set(parsed.cells)):
            reading.headings += bool(parsed.epoch or parsed.iteration)
            reading.ignored += not (parsed.epoch or parsed.iteration)
            continue
        if parsed.twice:
            reading.reject(number, f"has {parsed.twice!r} twice", text)
            continue
        cells = step.cells(parsed) | parsed.cells
        line = Line(number, text, cells, batches=parsed.batches, within=parsed.within)
        if parsed.bar and lines and lines[-1].cells.get("epoch") == cells.get("epoch") and lines[-1].boundary:
            lines[-1] = line._replace(boundary=True)  # a later state of the same bar
            reading.ignored += 1
        else:
            lines.append(line._replace(boundary=parsed.bar))
    lines = _times_of_training([line._replace(boundary=False) for line in lines])
    if step.inherited:
        reading.notes.append(f"{counted(step.inherited, 'line')} without a step: counted to the step before")
    if long:
        reading.notes.append(f"{counted(long, 'line')} of more than {MOST_CHARACTERS:,} characters: ignored")
    options = _of_framework(reading, texts, options)
    names = list(dict.fromkeys(name for line in lines for name in line.cells))
    if not lines:
        raise AssayError("no line has a step and a measured quantity; read its lines with --pattern")
    read_rows(reading, names, lines, options, comma=False, source="a log")
    return reading


def _times_of_training(lines: list[Line]) -> list[Line]:
    """The lines, with the times of validation lines under another name where training has lines with times."""
    names = {name for line in lines for name in line.cells}
    targets = {name: known[0] for name in names if (known := meaning(name))}
    times = {name for name, target in targets.items() if target == "seconds"}

    def trains(line: Line) -> bool:
        return any(targets.get(name, "").startswith("train_") for name in line.cells)

    if not times or not any(trains(line) and times & set(line.cells) for line in lines):
        return lines
    return [
        line
        if trains(line)
        else line._replace(cells={f"validation {n}" if n in times else n: cell for n, cell in line.cells.items()})
        for line in lines
    ]


def _of_framework(reading: Reading, texts: list[str], options: Options) -> Options:
    """The options for the framework that wrote the lines: scikit-learn's networks call an epoch an iteration."""
    if not any(_SKLEARN.match(text) for text in texts[:1000]):
        return options
    reading.framework = "scikit-learn"
    if any(text.startswith("Validation score: ") for text in texts):
        reading.notes.append("Validation score is read as the accuracy of a classifier; a regressor's is R\u00b2")
    if not options.steps:
        reading.notes.append("what scikit-learn's networks call an iteration is an epoch (--steps iteration overrides)")
        return replace(options, steps="epoch")
    return options


def _heading_split(text: str) -> str:
    """The set that a line without numbers announces: "Test Error:"."""
    words = normalised(text[:40]).split("_") if text.rstrip().endswith((":", "...")) else []
    splits = {SPLITS[word] for word in words if word in SPLITS}
    return splits.pop() if len(splits) == 1 and len(words) <= 3 else ""


def _parsed(written: str, specified: frozenset[str], split: str) -> _Parsed | None:
    """The numbers of a line by name; None where it has none. `split` is announced by the line before."""
    if len(written) > MOST_CHARACTERS or not any(map(str.isdigit, written)):
        return None
    text = plain_numbers(without_prefix(written))
    for sentence, name in _SENTENCES:
        text = sentence.sub(name, text)
    parsed = _Parsed()
    if bar := _TQDM.search(text):
        if bar[2] != bar[3]:
            return None  # not the end of the epoch
        text = f"{text[: bar.start()]} , {text[bar.end() :]}"
        parsed.bar = True
    if match := _ROUND.match(text):
        parsed.iteration, text = match[1], text[match.end() :]
    elif match := _PAIR.match(text):
        parsed.epoch, parsed.iteration, text = match[1], match[2], text[match.end() :]
    text = _STUCK.sub(r"\1 ", text)
    items = _items(text)
    head = text[: items[0].start] if items else ""
    if items and re.search(r"[_/]", items[0].name):
        head = head[: head.rfind(items[0].name)]  # val_loss says itself what it is of, and nothing on what follows
    words = [word for word in normalised(head).split("_") if word in SPLITS]
    line_split = SPLITS[words[0]] if len({SPLITS[word] for word in words}) == 1 else ""
    current = line_split or split
    for item in items:
        if not _take_step(parsed, item):
            current = _take_value(parsed, item, specified, current)
    parsed.split = "" if parsed.cells else line_split
    return parsed if items or parsed.iteration else None


def _items(text: str) -> list[_Item]:
    """The numbers of a text, each with the words before it."""
    items: list[_Item] = []
    end = 0
    while match := BEGIN.search(text, end):
        between = text[end : match.start()]
        if between.strip() == "/" and items and not items[-1].total:
            total = numeral(text, match, time=False)
            number = without_groups(items[-1].number)
            items[-1] = items[-1]._replace(number=number, total=without_groups(total.text))
            end = total.end
            continue
        parts = _SEPARATED.split(between.rstrip(" :=#[("))
        before = between.rstrip()[-2:]
        name = parts[-1].strip(_AROUND)
        if name and is_bare(name) and (places := [part for part in parts[:-1] if normalised(part) in SPLITS]):
            name = f"{places[-1].strip(_AROUND)} {name}"  # [train] loss
        known = meaning(name) if name else None
        number = numeral(text, match, time=known is not None and known[0] == "seconds")
        end = number.end
        items.append(_Item(name, number.text, number.unit, number.stuck, "", before, match.start()))
    return items


def _take_step(parsed: _Parsed, item: _Item) -> bool:
    """Whether a number is a step, or how far the epoch is; adds it to `parsed`."""
    words = normalised(item.name.rpartition(":")[2]).split("_")
    name = words[-1] if words else ""
    if name in _STEPS and all(word in SPLITS or word in _STEPS or word in _BEFORE for word in words):
        target = _STEPS[name]
        number = item.number
        if target == "iteration" and (item.unit or (parsed.epoch and not number.isdecimal() and number_of(number))):
            return True  # the seconds of an iteration
        if getattr(parsed, target) == "":
            setattr(parsed, target, number)
            if target == "iteration" and item.total.isdecimal() and parsed.epoch:
                parsed.batches = whole_number(item.total)
        return True
    if item.name or not item.total.isdecimal() or not item.number.isdecimal() or not whole_number(item.total):
        if not item.name and item.unit not in ("", "%"):
            parsed.cells.setdefault("time", item.number + item.unit)  # 12.3s without a name
        return not item.name
    if item.before == "][" and parsed.epoch:
        parsed.iteration, parsed.batches = item.number, whole_number(item.total)
    elif item.before.endswith("[") and whole_number(item.number) <= whole_number(item.total):
        parsed.within = whole_number(item.number), whole_number(item.total)
    return True


def _take_value(parsed: _Parsed, item: _Item, specified: frozenset[str], split: str) -> str:
    """Adds a named number to `parsed`; returns the set that the names after it are of, if they do not say."""
    name = item.name
    words = re.split(r"[\s:.]+", name.casefold())
    if words[0] in SPLITS and len(words) > 1:
        split = SPLITS[words[0]]
    elif split and is_bare(name) and meaning(name) and name not in specified:
        known = meaning(name)
        if known and known[0] in QUANTITIES:
            name = f"{split} {name}"
    number = item.number
    if item.total:
        number = f"{number}/{item.total}"
    unit = item.unit
    if unit and unit != "%":
        target = meaning(name)
        if target is None and name not in specified:
            return split
        unit = unit if target is None or target[0] == "seconds" or item.stuck else ""
    if name in parsed.cells:
        parsed.twice = parsed.twice or name
    parsed.cells[name] = number + unit
    return split

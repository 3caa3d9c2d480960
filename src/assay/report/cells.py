"""How the columns of a frame are written for people, alike in the terminal, Markdown, LaTeX and HTML."""

from __future__ import annotations

from typing import Any

from assay.analysis.quantities import MEASURES, QUANTITIES
from assay.report.text import clean, percent

Frame = Any  # a pandas frame
_DIFFERENCES = ("difference", "low", "high", "low_uncorrected", "high_uncorrected")
_DEVIATIONS = ("sd", "validation_sd")  # of fractions, in percentage points
_PERCENT = ("difference", "low", "high", "success", "success_low", "success_high")
_NAMES = {"r2": "R2", "rmse": "RMSE"}
_EXACT = ("seed", "repeat")
_UNITS = {"points": "points", "seconds": "s"}
_HEADERS = {"p_holm": "p (Holm)", "decided": "significant", "p_t": "p (t)", "median": "median time"}


def displayed(frame: Frame) -> Frame:
    """The frame as words: accuracies in percent, differences in their unit, which the header names.

    `frame.attrs["measure"]` is what the differences of a table of verdicts are in, and `frame.attrs["replicate"]` what
    its pairs are.

    >>> import pandas
    >>> displayed(pandas.DataFrame({"configuration": ["a"], "accuracy": [0.975], "n": [3]})).values.tolist()
    [['a', '97.50 %', '3']]
    """
    measure = MEASURES.get(str(frame.attrs.get("measure", "")))
    headers = _HEADERS | {"more_seeds": f"more {frame.attrs.get('replicate', 'seed')}s"}
    columns: dict[str, list[str]] = {}
    for column in map(str, frame.columns):
        header = headers.get(column, " ".join(_NAMES.get(word, word) for word in column.split("_")))
        values: list[Any] = frame[column].tolist()
        if measure is not None and column in _DIFFERENCES:
            unit = _UNITS.get(measure.unit, measure.unit)
            columns[f"{header} [{unit}]" if unit else header] = [
                _difference(v, is_fraction=measure.is_fraction) for v in values
            ]
        elif column in (*_DEVIATIONS, "low", "high") and "r2" in frame.columns:  # of R2, which is no fraction
            columns[header] = [_difference(value, is_fraction=False) for value in values]
        elif column in _DEVIATIONS:
            columns[f"{header} [points]"] = [_difference(value, is_fraction=True) for value in values]
        else:
            columns[header] = [cell(column, value) for value in values]
    return type(frame)(columns)


def cell(column: str, value: Any) -> str:
    """A value of a column in words.

    >>> cell("test_accuracy", 0.5), cell("seconds", 0.123456), cell("n", 1200), cell("decided", True), cell("p", None)
    ('50.00 %', '0.1235', '1,200', 'yes', '-')
    """
    if value is None or str(value) in ("nan", "<NA>"):
        return "-"
    if isinstance(value, bool) or type(value).__name__ == "bool_":
        return "yes" if value else "no"
    if not isinstance(value, int | float):
        return clean(value)
    if is_percent(column):
        return percent(float(value))
    if float(value).is_integer() and abs(value) < 1e15:
        return f"{value:.0f}" if column in _EXACT else f"{value:,.0f}"
    return f"{value:.2g}" if column.startswith("p_") or column == "p" else f"{value:.4g}"


def is_percent(column: str) -> bool:
    """Whether a column holds fractions that are written in percent."""
    quantity = MEASURES.get(column) or QUANTITIES.get(column)
    return column in _PERCENT or column.endswith("accuracy") or (quantity is not None and quantity.is_fraction)


def _difference(value: Any, *, is_fraction: bool) -> str:
    if value is None or value != value:
        return "-"
    return f"{100 * value:z.2f}" if is_fraction else f"{value:z.3g}"


def is_number(text: str) -> bool:
    """Whether a cell is a number, perhaps with a unit, which tables align on the right."""
    first = text.lstrip("-").replace(",", "")
    return text == "-" or first[:1].isdigit()


_LATEX = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
}


def latex(frame: Frame, *, caption: str = "") -> str:
    """The frame, which holds words, as a LaTeX table with the rules of the package booktabs; no cell is a command.

    >>> import pandas
    >>> print(latex(pandas.DataFrame({"name": ["a_b"], "accuracy": ["97.50 %"]})))
    \\begin{tabular}{lr}
    \\toprule
    name & accuracy \\\\
    \\midrule
    a\\_b & 97.50 \\% \\\\
    \\bottomrule
    \\end{tabular}
    """
    rows: list[list[str]] = [[str(value) for value in row] for row in frame.itertuples(index=False)]
    columns = list(map(str, frame.columns))
    sides = "".join("r" if all(is_number(row[i]) for row in rows) else "l" for i in range(len(columns)))
    lines = [r"\begin{tabular}{" + sides + "}", r"\toprule", _latex_row(columns), r"\midrule"]
    lines += [*map(_latex_row, rows), r"\bottomrule", r"\end{tabular}"]
    return "\n".join([f"% {clean(caption)}", *lines] if caption else lines)


def _latex_row(cells: list[str]) -> str:
    """A row. Braces keep the command above from reading a "[" or "*" at its beginning as its argument."""
    row = " & ".join("".join(_LATEX.get(c, c) for c in clean(cell)) for cell in cells) + r" \\"
    return "{}" + row if row.startswith(("[", "*")) else row


__all__ = ["cell", "displayed", "is_number", "is_percent", "latex"]

"""A bench in words, rows and frames: what the terminal, the charts and the page show of its plain data."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from assay.report.text import counted, percent

if TYPE_CHECKING:
    import pandas

Plain = dict[str, Any]
Column = tuple[str, Callable[[Plain], str]]
TableData = tuple[str, list[str], list[list[str]]]
"""Title, header and rows."""


def seconds(value: float | None) -> str:
    """Seconds with three digits, in milliseconds or microseconds where they are few.

    >>> seconds(12.345), seconds(0.0123), seconds(4.56e-5), seconds(None)
    ('12.3 s', '12.3 ms', '45.6 us', '-')
    """
    if value is None:
        return "-"
    if value >= 1.0:
        return f"{value:.3g} s" if value < 1000 else f"{value:,.0f} s"
    return f"{value * 1e3:.3g} ms" if value >= 1e-3 else f"{value * 1e6:.3g} us"


def _median(name: str) -> Callable[[Plain], str]:
    return lambda row: seconds((row["summary"][name] or {}).get("median"))


def _range(name: str) -> Callable[[Plain], str]:
    def text(row: Plain) -> str:
        summary = row["summary"][name]
        return f"{seconds(summary['min'])} .. {seconds(summary['max'])}, n = {summary['n']}" if summary else "-"

    return text


def _number(name: str, form: str) -> Callable[[Plain], str]:
    return lambda row: "-" if row["summary"][name] is None else format(row["summary"][name], form)


def _parity(row: Plain) -> str:
    certificate = row["certificate"]
    if certificate is None:
        return "-"
    worst = [value for value in (certificate["losses"], certificate["weights"]) if value is not None]
    difference = f"max. difference {max(worst):.0e}" if len(worst) == 2 else "not finite"
    if certificate.get("parted"):
        difference = f"except {percent(certificate['parted'])} of the weights"
    if checks := certificate.get("checks"):
        largest = max((_deviation(check) for check in checks), default=0.0)
        own = "not finite" if largest == float("inf") else f"{largest:.2g} of the rounding bound"
        difference = f"{difference} in float64, {own}" if certificate["iterations"] else own
    return f"{'equivalent' if certificate['holds'] else 'NOT EQUIVALENT'}, {difference}"


def _deviation(check: Plain) -> float:
    """The deviation of a check as a fraction of its bound; infinite where it is not finite."""
    return float("inf") if check["deviation"] is None else float(check["deviation"])


def _accuracy(row: Plain) -> str:
    accuracy = row["summary"]["accuracy"]
    return percent(accuracy["median"]) if accuracy else "-"


def _is_regression(plain: Plain) -> bool:
    """Whether its rows have R2 and RMSE; benches of earlier versions have neither."""
    return any(row["summary"].get("rmse") for row in plain["rows"])


def _score(name: str) -> Callable[[Plain], str]:
    return lambda row: format(score["median"], ".4g") if (score := row["summary"].get(name)) else "-"


def _memory(row: Plain) -> str:
    sizes = [row.get("peak_memory_bytes"), row.get("peak_device_memory_bytes")]
    return " + ".join(f"{size / 2**20:,.0f}" for size in sizes if size is not None) or "-"


def _ratio(row: Plain) -> str:
    ratio = row["summary"]["ratio"]
    return f"{ratio['median']:.2f} ({ratio['min']:.2f} .. {ratio['max']:.2f})" if ratio else "-"


def _whole(plain: Plain) -> list[Column]:
    return [
        ("parity", _parity),
        ("start-up", _median("start_up")),
        ("data", _median("data")),
        ("compile", _median("compile")),
        ("first epoch", _median("first_epoch")),
        ("later epoch", _median("later_epoch")),
        (f"total of {plain['epochs']} epochs", _median("total")),
        *([("R2", _score("r2")), ("RMSE", _score("rmse"))] if _is_regression(plain) else [("accuracy", _accuracy)]),
    ]


_LATER: list[Column] = [
    ("training", _median("train")),
    ("min .. max", _range("train")),
    ("validation", _median("validate")),
    ("examples/s", _number("examples_per_second", ",.0f")),
    ("GFLOP/s", _number("gflops", ",.3g")),
    ("x roofline", _number("times_limit", ".1f")),
    ("peak MiB", _memory),
    ("x baseline", _ratio),
]


def _measured(plain: Plain) -> list[Plain]:
    return [row for row in plain["rows"] if row["epochs"]]


def _rows(plain: Plain, columns: Sequence[Column]) -> list[list[str]]:
    return [[row["label"], *(text_of(row) for _, text_of in columns)] for row in _measured(plain)]


def tables(plain: Plain) -> list[TableData]:
    """From the start of a process to the last epoch; the later epochs alone; and what has no time, and why."""
    result: list[TableData] = []
    for title, columns in (("from the start of the process", _whole(plain)), ("later epochs", _LATER)):
        rows, header = _rows(plain, columns), ["row", *(name for name, _ in columns)]
        if rows:
            result.append((f"{plain['name']}: {title}", header, rows))
    ended = [[row["label"], row["state"], row["reason"]] for row in plain["rows"] if row["reason"]]
    if ended:
        result.append(("not completed", ["row", "state", "reason"], ended))
    return result


def lines(plain: Plain) -> list[str]:
    """The same as plain lines, one per row, for output that is not a terminal."""
    columns = dict([*_whole(plain), *_LATER])
    lines = [
        f"{row['label']}: "
        + "; ".join([row["state"], *(f"{name} {text_of(row)}" for name, text_of in columns.items())])
        for row in _measured(plain)
    ]
    lines += [f"{row['label']}: {row['state']}: {row['reason']}" for row in plain["rows"] if row["reason"]]
    return lines


def sentences(plain: Plain) -> list[str]:
    """The findings of the bench, and what is needed to read them."""
    data, machine = plain["data"], plain["machine"]
    epochs, repeats = plain["epochs"], plain["repeats"]
    examples = f"{data['name']}, {data['examples']:,} examples, {data['iterations_per_epoch']:,} iterations per epoch"
    times = f"{repeats} times" if repeats > 1 else "once"
    sentences = [f"{epochs} epochs, {times} from a new process; {examples}. Baseline: {plain['baseline']['why']}."]
    timed = [row for row in plain["rows"] if row["summary"]["ratio"]]
    if timed:
        best = max(timed, key=lambda row: row["summary"]["ratio"]["median"])
        ratio = best["summary"]["ratio"]
        sentences.append(
            f"Fastest in later epochs: {best['label']}, {seconds(best['summary']['train']['median'])} of training per "
            f"epoch, {ratio['median']:.2f} times as fast as the baseline ({ratio['min']:.2f} to {ratio['max']:.2f} in "
            f"{ratio['n']} rounds)."
        )
    whole = [row for row in plain["rows"] if row["summary"]["total"] and row["summary"]["ratio"]]
    if whole:
        first = min(whole, key=lambda row: row["summary"]["total"]["median"])
        total = seconds(first["summary"]["total"]["median"])
        sentences.append(
            f"Shortest total time of {epochs} epochs, from the start of the process: {first['label']}, {total}."
        )
    sentences += [f"Certificate of {row['label']}: {_certified(row)}." for row in plain["rows"] if row["certificate"]]
    sentences.append(f"Machine: {machine['cpu']}, {counted(machine['cores'], 'core')}. {_calibrated(plain)}")
    return sentences + [f"Note: {note}." for note in plain["notes"]]


def _certified(row: Plain) -> str:
    certificate = row["certificate"]
    checks = certificate.get("checks") or []
    losses, weights = (
        f"{v:.1e}" if v is not None else "not finite" for v in (certificate["losses"], certificate["weights"])
    )
    notes = "".join(f"; {note}" for note in certificate["notes"])
    outliers = f", {percent(certificate['parted'])} of the weights beyond" if certificate.get("parted") else ""
    allowed = f" except for {100 * certificate['may_part']:.0f} % of the weights" if certificate.get("may_part") else ""
    inside = " in float64" if checks else ""
    algorithm = (
        f"max. difference from {certificate['reference']} after {certificate['iterations']} iterations{inside}: "
        f"losses {losses}, weights {weights}, tolerance {certificate['tolerance']:.0e}{allowed}{outliers}"
    )
    parts = [algorithm] if certificate["iterations"] or not checks else []
    if checks:
        sizes = ", ".join(
            f"{check['what']} " + ("not finite" if check["deviation"] is None else f"{check['deviation']:.2g}")
            for check in checks
        )
        parts.append(
            f"at {row['precision']}, as fractions of the rounding bound of {certificate['arithmetic']}: {sizes}"
        )
    return "; ".join(parts) + notes


def _calibrated(plain: Plain) -> str:
    before, after = plain["calibration"]["before"], plain["calibration"]["after"]
    if not before:
        return "It was not calibrated."
    later = after["sgemm"] if after else {}
    rates = [
        f"{threads} thread{'s' * (threads != '1')} {rate:.0f}" + (f", later {later[threads]:.0f}" if later else "")
        for threads, rate in before["sgemm"].items()
    ]
    sentences = [f"sgemm [GFLOP/s]: {'; '.join(rates)}. Memory: {before['memory']:.0f} GB/s."]
    for key, each in (plain["calibration"].get("devices") or {}).items():
        speeds = f"products {each['product']:,.0f} GFLOP/s, memory {each['memory']:,.0f} GB/s"
        sentences.append(f"{each['name']} ({key}): {speeds}.")
    return " ".join(sentences)


_PARITY = ("losses", "weights", "parted", "tolerance", "iterations")


def summary_frame(plain: Plain) -> pandas.DataFrame:
    """One row per combination, its figures as numbers: seconds are medians unless the name says otherwise."""
    import pandas

    records: list[dict[str, Any]] = []
    scores = ("r2", "rmse") if _is_regression(plain) else ("accuracy",)
    for row in plain["rows"]:
        summary, certificate = row["summary"], row["certificate"] or {}
        record = {name: row[name] for name in ("label", "engine", "device", "threads", "precision", "state", "reason")}
        record |= {f"parity_{name}": certificate.get(name) for name in _PARITY}
        for name in ("start_up", "data", "compile", "first_epoch", "later_epoch", "train", "validate", "total"):
            record[f"{name}_seconds"] = (summary[name] or {}).get("median")
        record |= {f"train_{end}": (summary["train"] or {}).get(end) for end in ("min", "max", "n")}
        record |= {name: summary[name] for name in ("examples_per_second", "gflops", "limit", "times_limit")}
        record |= {f"ratio_{end}": (summary["ratio"] or {}).get(end) for end in ("median", "min", "max")}
        record |= {name: row[name] for name in ("peak_memory_bytes", "peak_device_memory_bytes")}
        records.append(record | {f"final_{name}": (summary.get(name) or {}).get("median") for name in scores})
    return pandas.DataFrame.from_records(records)


EPOCHS = (
    "row", "repeat", "epoch", "begin", "train", "validate", "seconds", "elapsed", "accuracy", "r2", "rmse", "loss",
    "limit", "failed"
)  # fmt: skip


def epochs_frame(plain: Plain) -> pandas.DataFrame:
    """One row per epoch of each combination: `seconds` of all of it, `elapsed` from the start of the process."""
    import pandas

    records: list[dict[str, Any]] = []
    for row in plain["rows"]:
        starts = {s["repeat"]: s["start_up"] + s["data"] + s["compile"] for s in row["starts"]}
        elapsed = dict(starts)
        for epoch in row["epochs"]:
            whole, repeat = epoch["batches"] + epoch["train"] + epoch["validate"], epoch["repeat"]
            elapsed[repeat] = elapsed.get(repeat, 0.0) + whole
            record = {name: epoch[name] for name in ("repeat", "begin", "train", "validate", "accuracy", "loss")}
            record |= {name: epoch.get(name) for name in ("r2", "rmse")}
            record |= {"row": row["label"], "epoch": epoch["number"], "seconds": whole, "elapsed": elapsed[repeat]}
            records.append(record | {"limit": row["summary"]["limit"], "failed": row["state"] != "measured"})
    left = ("accuracy",) if _is_regression(plain) else ("r2", "rmse")
    return pandas.DataFrame.from_records(records, columns=[name for name in EPOCHS if name not in left])

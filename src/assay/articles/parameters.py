"""The article on parameter choice: one change at a time around a baseline, and its six findings with verdicts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from statistics import median
from typing import Any

from assay.analysis.frames import FINISHED
from assay.analysis.sensitivity import effects
from assay.analysis.verdicts import Verdict, compare
from assay.articles.measured import Measured, percent
from assay.articles.page import Finding, Page, Picture, Table
from assay.articles.published import article, sources
from assay.articles.spec import ReproductionSpec
from assay.report.charts.factors import effects as draw_effects
from assay.results.results import Results

BASE = "baseline"
_GAIN = 0.003  # an accuracy: a gain that is clear


def parameters_page(asked: ReproductionSpec, results: Mapping[str, Results]) -> Page:
    """The changes beside the baseline, the cost of batch sizes, and the findings."""
    measured = Measured([results["parameters"]])
    sentences: Mapping[str, str] = article("parameters")["findings"]
    found = [Finding(sentences[key], f.rule, f.holds, f.evidence) for key, f in _findings(measured).items()]
    setting: Mapping[str, str] = article("parameters")["setting"]
    lead = [
        f"The article's recipe: {setting['recipe']}; one run of each change. Data set {asked.data}, timing packed.",
        f"{len(measured.trials):,} of {measured.asked:,} trials are measured; {measured.diverged:,} diverged.",
    ]
    title = "Parameter choice on MNIST: one change at a time"
    parts = [*_pictures(results["parameters"]), _changes(measured), _seconds(measured)]
    return Page(title, lead, parts, found, sources("parameters"), asked.banner)


def _pictures(result: Results) -> list[Picture]:
    """What each change does to the accuracy and to the seconds, with the verdicts' intervals."""
    trials: Any = result.frame()
    found: list[Picture] = []
    if BASE not in trials[trials["outcome"].isin(FINISHED)]["configuration"].tolist():
        return found
    kept = trials[~trials["configuration"].isin(_FAR)]
    for measure, title in _DRAWN.items():
        changes = effects(trials if measure == "seconds" else kept, result.axes, BASE, measure=measure)
        changes = changes.rename(columns={"difference": "effect"})
        found.append(Picture(measure, draw_effects(changes, measure=measure, title=title), title, _PAIRED))
    return found


_FAR = ("rate 10",)  # so far below the others that they would shrink to a line
_DRAWN = {
    "accuracy": "What each change does to the test accuracy",
    "seconds": "What each change does to the training time",
}
_PAIRED = (
    "Mean difference from the baseline over paired seeds, with its 95 % interval; blue where it leaves out 0. A rate "
    "of 10 lies far below the others in accuracy and is left out there. Seconds are packed: a training on each core."
)


def _changes(measured: Measured) -> Table:
    labels = list(dict.fromkeys(str(row["configuration"]) for row in measured.trials))
    rows: list[list[str]] = []
    for label in labels:
        accuracy, seconds = measured.column(label, "accuracy"), measured.column(label, "seconds")
        values = list(accuracy.values())
        versus = _against(measured, label) if label != BASE else None
        rows.append(
            [
                label,
                percent(median(values)),
                f"{percent(min(values))} .. {percent(max(values))}",
                str(len(values)),
                versus.sentence() if versus else "-",
                f"{median(seconds.values()):.1f}",
            ]
        )
    head = ("change", "median accuracy [%]", "min .. max", "seeds", "against the baseline", "training [s]")
    return Table(head, rows, "What each change does", "Paired seeds: the same seeds and batches for each change.")


def _seconds(measured: Measured) -> Table:
    rows: list[list[str]] = []
    for entry in article("parameters")["seconds"]:
        size = int(entry["batch_size"])
        seconds = measured.column(BASE if size == 64 else f"batch {size}", "seconds")
        rows.append([str(size), f"{entry['seconds']:g}", f"{median(seconds.values()):.1f}" if seconds else "-"])
    note = "Published on a GPU, with the loading of data in the clock; measured on one core, training alone."
    return Table(("batch size", "published [s]", "measured [s]"), rows, "Seconds of 14 epochs", note)


def _against(measured: Measured, label: str, other: str = BASE, *, column: str = "accuracy") -> Verdict | None:
    """The verdict on two configurations at their common seeds; None where there are none."""
    a, b = measured.column(label, column), measured.column(other, column)
    common = sorted(a.keys() & b.keys())
    if not common:
        return None
    return compare([a[seed] for seed in common], [b[seed] for seed in common], names=(label, other))


def _told(*verdicts: Verdict | None) -> str:
    return "; ".join(v.sentence() if v else "not measured" for v in verdicts)


def _beats(*verdicts: Verdict | None) -> bool | None:
    """Whether the first of each pair is the better one: no if one is worse, None if one is not decided."""
    if any(v is not None and v.winner == v.names[1] for v in verdicts):
        return False
    return True if all(v is not None and v.winner == v.names[0] for v in verdicts) else None


def _no_gain(*verdicts: Verdict | None) -> bool | None:
    """Whether no first one gains more than a clear amount over its second one."""
    if any(v is not None and v.low > _GAIN for v in verdicts):
        return False
    return True if all(v is not None and v.high <= _GAIN for v in verdicts) else None


def _layers(measured: Measured) -> Finding:
    pair = [_against(measured, f"layers {n}") for n in (3, 5)]
    rule = "the interval of the gain of 3 and of 5 layers stays at or under 0.3 points"
    return Finding("", rule, _no_gain(*pair), _told(*pair))


def _activation(measured: Measured) -> Finding:
    pair = [_against(measured, BASE, f"activation {name}") for name in ("sigmoid", "tanh")]
    return Finding("", "the baseline (relu) beats both", _beats(*pair), _told(*pair))


def _loss(measured: Measured) -> Finding:
    same = _against(measured, "loss cross entropy")
    worst = _against(measured, BASE, "loss mse")
    rule = "nll and cross entropy within 0.1 points on average, and the baseline (nll) beats mse"
    equal = None if same is None else abs(same.difference) <= 0.001
    verdicts = (equal, _beats(worst))
    holds = False if False in verdicts else None if None in verdicts else True
    return Finding("", rule, holds, _told(same, worst))


def _batch(measured: Measured) -> Finding:
    pair = [_against(measured, BASE, "batch 16"), _against(measured, "batch 256", "batch 16")]
    seconds = {size: measured.column(label, "seconds") for size, label in ((16, "batch 16"), (64, BASE))}
    slowest = None
    if all(seconds.values()):
        slowest = median(seconds[16].values()) > median(seconds[64].values())
    better = _beats(*pair)
    holds = False if False in (better, slowest) else None if None in (better, slowest) else True
    told = _told(*pair) + ("" if slowest is None else f"; batches of 16 are {'' if slowest else 'not '}slower")
    return Finding("", "64 and 256 beat 16, and 16 takes longer than 64", holds, told)


def _epochs(measured: Measured) -> Finding:
    more = _against(measured, "epochs 25")
    curves = [measured.curves[str(row["trial"])] for row in measured.of(BASE) if str(row["trial"]) in measured.curves]
    falls = [curve.at("train_loss", curve.end) < curve.at("train_loss", curve.end * 5 / 14) for curve in curves]
    rule = "the training loss falls from epoch 5 to 14 on every seed, and the gain of 25 epochs stays under 0.3 points"
    gained = _no_gain(more)
    holds = False if not all(falls) else gained if falls else None
    told = f"the loss falls on {sum(falls)} of {len(falls)} seeds; {_told(more)}"
    return Finding("", rule, holds, told)


def _rate(measured: Measured) -> Finding:
    pairs = [_against(measured, BASE, "rate 0.1"), _against(measured, BASE, "rate 10")]
    worst = _against(measured, "rate 0.1", "rate 10")
    rule = "1.0 beats 0.1 and 10, and 0.1 beats 10; a rate that diverges on every seed is not measured"
    return Finding("", rule, _beats(*pairs, worst), _told(*pairs, worst))


def _findings(measured: Measured) -> dict[str, Finding]:
    checks: dict[str, Callable[[Measured], Finding]] = {
        "layers": _layers,
        "activation": _activation,
        "loss": _loss,
        "batch": _batch,
        "epochs": _epochs,
        "rate": _rate,
    }
    return {name: check(measured) for name, check in checks.items()}


__all__ = ["parameters_page"]

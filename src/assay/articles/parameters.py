"""The article on parameter choice: one change of a baseline at a time, and its six findings with verdicts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from statistics import median
from typing import Any

from assay.analysis.families import against, pairs_among
from assay.analysis.frames import FINISHED
from assay.analysis.sensitivity import effects
from assay.analysis.verdict import Verdict
from assay.articles.measurements import Measurements, percent_cell
from assay.articles.page import Figure, Finding, Page, Table
from assay.articles.published import article, sources
from assay.articles.spec import ReproductionSpec
from assay.report.charts.factors import effects as draw_effects
from assay.results.results import Results

BASE = "baseline"
_GAIN = 0.003  # an accuracy from which a gain is clear


def parameters_page(spec: ReproductionSpec, results: Mapping[str, Results]) -> Page:
    """The changes compared with the baseline, the cost of batch sizes, and the findings."""
    measured = Measurements([results["parameters"]])
    sentences: Mapping[str, str] = article("parameters")["findings"]
    findings = [replace(finding, sentence=sentences[key]) for key, finding in _findings(measured).items()]
    setting: Mapping[str, str] = article("parameters")["setting"]
    lead = [
        f"The article's recipe: {setting['recipe']}; one run of each change. Data set {spec.data}, timing packed.",
        f"{len(measured.trials):,} of {measured.planned:,} trials are measured; {measured.diverged:,} diverged.",
    ]
    title = "Parameter choice on MNIST: one change at a time"
    parts = [*_pictures(results["parameters"]), _changes(measured), _seconds(measured)]
    return Page(title, lead, parts, findings, sources("parameters"), spec.banner)


def _pictures(result: Results) -> list[Figure]:
    """The effect of each change on accuracy and seconds, with confidence intervals."""
    trials: Any = result.frame()
    pictures: list[Figure] = []
    if BASE not in trials[trials["outcome"].isin(FINISHED)]["configuration"].tolist():
        return pictures
    for measure, title in _DRAWN.items():
        changes = effects(trials, result.axes, BASE, measure=measure).rename(columns={"difference": "effect"})
        if measure != "seconds":  # the correction is for all changes, also for those that are not drawn
            far = (changes["axis"] + " " + changes["value"]).isin(_FAR)
            changes = changes.loc[~far]
        pictures.append(Figure(measure, draw_effects(changes, measure=measure, title=title), title, _PAIRED))
    return pictures


_FAR = ("rate 10",)  # so far below that the others would shrink to a line
_DRAWN = {
    "accuracy": "What each change does to the test accuracy",
    "seconds": "What each change does to the training time",
}
_PAIRED = (
    "Mean difference from the baseline over paired seeds, with the simultaneous 95 % intervals of all changes; blue if "
    "it is significant after Holm's correction for them. A rate of 10 lies far below the others in accuracy and is not "
    "drawn there. Seconds are packed: one training per core."
)


def _changes(measured: Measurements) -> Table:
    labels = list(dict.fromkeys(str(row["configuration"]) for row in measured.trials))
    rows: list[list[str]] = []
    for label in labels:
        accuracy, seconds = measured.column(label, "accuracy"), measured.column(label, "seconds")
        values = list(accuracy.values())
        verdict = _verdict(measured, label) if label != BASE else None
        rows.append(
            [
                label,
                percent_cell(median(values)),
                f"{percent_cell(min(values))} .. {percent_cell(max(values))}",
                str(len(values)),
                verdict.sentence() if verdict else "-",
                f"{median(seconds.values()):.1f}",
            ]
        )
    head = ("change", "median accuracy [%]", "min .. max", "seeds", "against the baseline", "training [s]")
    note = (
        "Paired seeds: the same seeds and batches for each change. The verdicts are corrected for all comparisons with "
        "the baseline (Holm), and their intervals are simultaneous."
    )
    return Table(head, rows, "What each change does", note)


def _seconds(measured: Measurements) -> Table:
    rows: list[list[str]] = []
    for entry in article("parameters")["seconds"]:
        size = int(entry["batch_size"])
        seconds = measured.column(BASE if size == 64 else f"batch {size}", "seconds")
        rows.append([str(size), f"{entry['seconds']:g}", f"{median(seconds.values()):.1f}" if seconds else "-"])
    note = "Published on a GPU, data loading included; measured on one core, training alone."
    return Table(("batch size", "published [s]", "measured [s]"), rows, "Seconds of 14 epochs", note)


def _verdict(measured: Measurements, label: str, other: str = BASE) -> Verdict | None:
    """The verdict on two configurations over their common seeds; None if there are none.

    A change and the baseline are one of all comparisons with the baseline; two changes are one of all pairs.
    """
    seeds = measured.counted("accuracy")
    if label not in seeds.names or other not in seeds.names:
        return None
    if BASE in (label, other):
        family = against(seeds, BASE)
        verdict = next(v for v in family.verdicts() if set(v.names) == {label, other})
    else:
        (verdict,) = pairs_among(seeds, [label, other]).verdicts()
    if not verdict.n:
        return None
    return verdict if verdict.names == (label, other) else verdict.reversed()


def _sentences(*verdicts: Verdict | None) -> str:
    return "; ".join(v.sentence() if v else "not measured" for v in verdicts)


def _beats(*verdicts: Verdict | None) -> bool | None:
    """Whether the first of each pair is better: no if one is worse, None if one is undecided."""
    if any(v is not None and v.winner == v.names[1] for v in verdicts):
        return False
    return True if all(v is not None and v.winner == v.names[0] for v in verdicts) else None


def _no_gain(*verdicts: Verdict | None) -> bool | None:
    """Whether no first configuration has a clear gain over its second one."""
    if any(v is not None and v.low > _GAIN for v in verdicts):
        return False
    return True if all(v is not None and v.high <= _GAIN for v in verdicts) else None


def _layers(measured: Measurements) -> Finding:
    pair = [_verdict(measured, f"layers {n}") for n in (3, 5)]
    rule = "the interval of the gain of 3 and of 5 layers stays at or under 0.3 points"
    return Finding("", rule, _no_gain(*pair), _sentences(*pair))


def _activation(measured: Measurements) -> Finding:
    pair = [_verdict(measured, BASE, f"activation {name}") for name in ("sigmoid", "tanh")]
    return Finding("", "the baseline (relu) beats both", _beats(*pair), _sentences(*pair))


def _loss(measured: Measurements) -> Finding:
    cross_entropy = _verdict(measured, "loss cross entropy")
    mse = _verdict(measured, BASE, "loss mse")
    rule = "nll and cross entropy within 0.1 points on average, and the baseline (nll) beats mse"
    equal = None if cross_entropy is None else abs(cross_entropy.difference) <= 0.001
    return Finding("", rule, _all(equal, _beats(mse)), _sentences(cross_entropy, mse))


def _all(*holds: bool | None) -> bool | None:
    """Whether all hold: no if one does not, None if one cannot be told."""
    return False if False in holds else None if None in holds else True


def _batch(measured: Measurements) -> Finding:
    pair = [_verdict(measured, BASE, "batch 16"), _verdict(measured, "batch 256", "batch 16")]
    seconds = {size: measured.column(label, "seconds") for size, label in ((16, "batch 16"), (64, BASE))}
    slowest = None
    if all(seconds.values()):
        slowest = median(seconds[16].values()) > median(seconds[64].values())
    evidence = _sentences(*pair) + ("" if slowest is None else f"; batches of 16 are {'' if slowest else 'not '}slower")
    return Finding("", "64 and 256 beat 16, and 16 takes longer than 64", _all(_beats(*pair), slowest), evidence)


def _epochs(measured: Measurements) -> Finding:
    more = _verdict(measured, "epochs 25")
    curves = [measured.curves[str(row["trial"])] for row in measured.of(BASE) if str(row["trial"]) in measured.curves]
    falls = [curve.at("train_loss", curve.end) < curve.at("train_loss", curve.end * 5 / 14) for curve in curves]
    rule = "the training loss falls from epoch 5 to 14 on every seed, and the gain of 25 epochs stays under 0.3 points"
    holds = False if not all(falls) else _no_gain(more) if falls else None
    return Finding("", rule, holds, f"the loss falls on {sum(falls)} of {len(falls)} seeds; {_sentences(more)}")


def _rate(measured: Measurements) -> Finding:
    pairs = [_verdict(measured, BASE, "rate 0.1"), _verdict(measured, BASE, "rate 10")]
    worse_pair = _verdict(measured, "rate 0.1", "rate 10")
    rule = "1.0 beats 0.1 and 10, and 0.1 beats 10; a rate that diverges on every seed is not measured"
    return Finding("", rule, _beats(*pairs, worse_pair), _sentences(*pairs, worse_pair))


def _findings(measured: Measurements) -> dict[str, Finding]:
    checks: dict[str, Callable[[Measurements], Finding]] = {
        "layers": _layers,
        "activation": _activation,
        "loss": _loss,
        "batch": _batch,
        "epochs": _epochs,
        "rate": _rate,
    }
    return {name: check(measured) for name, check in checks.items()}


__all__ = ["parameters_page"]

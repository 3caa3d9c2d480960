"""The tables of the article on the widened LeNet-5: its logs, accuracies over seeds, subnormal numbers, iterations."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import median, stdev
from typing import Any

from assay.articles.lenet_costs import NORMAL, fading
from assay.articles.lenet_results import ONE, TOGETHER, TWO, LenetResults, accuracies_of
from assay.articles.measurements import percent_cell
from assay.articles.page import Table
from assay.articles.published import article
from assay.engines import missing

_MARKS = (10, 30)  # epochs that the table of long trainings shows on the way


def softmax_floor(classes: int) -> float:
    """The least cross-entropy that softmax of probabilities can have: log(e + C - 1) - 1.

    A softmax gives numbers between 0 and 1 whose sum is 1. Used as logits, the best ones are 1 for the label and 0 for
    the others; the second softmax makes e / (e + C - 1) of them, and the loss is minus its logarithm.

    >>> round(softmax_floor(10), 4)
    1.4612
    """
    return math.log(math.e + classes - 1) - 1


def logs_table() -> Table:
    """Figures in the article's logs, and the arithmetic that explains them."""
    facts = article("lenet5")
    logs: Mapping[str, float] = facts["logs"]
    setting: Mapping[str, Any] = facts["setting"]
    batch, tested, floor = int(setting["batch_size"]), int(setting["validation_batch_size"]), softmax_floor(10)
    clamped_loss = -math.log(2.0**-23)  # of an image whose label has probability 0
    rows = [
        (
            "PyTorch, validation loss at the end",
            f"{logs['pytorch_validation_loss']:.4f}",
            f"({floor:.4f}) / {tested} = {floor / tested:.4f}",
            f"the floor of two softmaxes; the mean of each batch of {tested} is divided by {tested} again",
        ),
        (
            "PyTorch, training loss at the end",
            f"{logs['pytorch_training_loss']:.4f}",
            f"({floor:.4f}) / {batch} = {floor / batch:.4f}",
            f"the same, with batches of {batch}",
        ),
        (
            "Flux on CUDA 11 and the CPU, training loss in the last epochs",
            f"{logs['flux_last_loss']:.4f}",
            f"-log(2^-23) / {batch} = {clamped_loss / batch:.4f}",
            "one image of 60,000 whose label has probability 0: Flux adds 2^-23 to it, and its gradient vanishes; the "
            "log has the sum over the batches, because the listing counts 28 samples",
        ),
        (
            "MATLAB, loss of the first batch",
            f"{logs['matlab_first_loss']:.2f}",
            f"log(10) = {math.log(10):.2f} for a network that knows nothing",
            "pixels are of 0 to 255 and only centred, so the first outputs are large and overconfident",
        ),
        (
            "MATLAB, learning rate in epoch 100",
            f"{logs['last_learning_rate']:.4f}",
            "0.0010 with no decay, 0.000001 with a tenth every 30 epochs",
            "the decay that the text names was not in force; it is switched off in all three listings",
        ),
    ]
    return Table(("in the logs", "printed", "arithmetic", "so"), rows, "What the logs say, by arithmetic")


def floor_table(results: LenetResults) -> Table:
    """The test loss of two softmaxes over the epochs, and its distance from the floor."""
    floor = softmax_floor(10)
    curves = [results.measured.curves[str(row["trial"])] for row in results.measured.of(TWO)]
    rows: list[list[str]] = []
    for epoch in range(1, results.epochs + 1):
        if epoch > 5 and epoch % 10 and epoch != results.epochs:
            continue
        losses = [curve.values("test_loss")[epoch] for curve in curves if len(curve.iterations) > epoch]
        if losses:
            middle = median(losses)
            cells = [f"{middle:.4f}", f"{min(losses):.4f} .. {max(losses):.4f}", f"{middle - floor:.4f}"]
            rows.append([str(epoch), *cells, str(len(losses))])
    note = (
        "A softmax gives numbers between 0 and 1 that add up to 1. Used as logits, the best ones are 1 for the "
        "label and 0 for the nine others; the second softmax gives the label e / (e + 9). So the loss cannot be "
        f"below -log(e / (e + 9)) = log(e + 9) - 1 = {floor:.4f}, however confident the network is."
    )
    head = ("after epoch", "test loss, median", "min .. max", "above the floor", "seeds")
    return Table(head, rows, "Two softmaxes: the loss and its floor", note)


def early_table(results: LenetResults) -> Table:
    """Accuracies after each of the first epochs: the article's runs by framework, and our seeds."""
    runs: dict[str, list[list[float]]] = {}
    for run in article("lenet5")["runs"]:
        name = f"published, {run['framework'].partition(' ')[0]}"
        runs.setdefault(name, []).append(run["accuracy_after"])
    epochs = max(len(values) for group in runs.values() for values in group)
    for label in (ONE, TWO):
        runs[f"measured, {label}"] = accuracies_of(results.measured, label)
    rows: list[list[str]] = []
    for name, group in runs.items():
        each = [[values[n] for values in group if len(values) > n] for n in range(epochs)]
        rows.append([name, *map(_range, each), str(len(group))])
    head = ("runs", *(f"epoch {n + 1} [%]" for n in range(epochs)), "runs or seeds")
    note = (
        "Least and greatest test accuracy. PyTorch has two softmaxes, Flux and MATLAB one. The gradient "
        "passes through the first softmax, which is flat where it is confident, right or wrong: a class that the "
        "network stops predicting early is slow to come back, and whether there is one depends on the seed. "
        "Each class of ten that is never predicted costs 10 points of accuracy and 0.1 of loss: the article's "
        "69.33 % has a loss of 1.76, which is 0.30 above the floor, and so three such classes."
    )
    return Table(head, rows, "The first epochs", note)


def long_table(results: LenetResults) -> Table:
    """Accuracies up to the article's last epoch: its runs by framework, and our seeds."""
    epochs = int(article("lenet5")["setting"]["epochs"])
    marks = [*(mark for mark in _MARKS if mark < epochs), epochs]
    rows: list[list[str]] = []
    ends: dict[str, list[float]] = {}
    for run in article("lenet5")["runs"]:
        ends.setdefault(run["framework"].partition(" ")[0], []).append(float(run["accuracy"]))
    for name, values in ends.items():
        rows.append([f"published, {name}", *["-"] * (len(marks) - 1), _range(values), str(len(values))])
    ours = accuracies_of(results.long, ONE)
    cells = [_range([values[mark - 1] for values in ours if len(values) >= mark]) for mark in marks]
    rows.append([f"measured, {ONE}", *cells, str(len(ours)) if ours else "-"])
    head = ("runs", *(f"epoch {mark} [%]" for mark in marks), "runs or seeds")
    finals = [values[epochs - 1] for values in ours if len(values) >= epochs]
    published = _range([accuracy for values in ends.values() for accuracy in values])
    note = f"Least and greatest test accuracy. The published runs end at {published} %; "
    note += f"{len(finals)} of ours at {_range(finals)} %." if finals else "ours have not run that far yet."
    return Table(head, rows, f"As far as the article: {epochs} epochs", note)


def seeds_table(results: LenetResults) -> Table:
    """The accuracies of each configuration over the seeds, and the verdicts against the first."""
    rows: list[list[str]] = []
    for label in (ONE, TWO, TOGETHER):
        values = list(results.measured.column(label, "accuracy").values())
        if not values:
            rows.append([label, *["-"] * 5, "0", "not measured"])
            continue
        spread = f"{100 * stdev(values):.2f}" if len(values) > 1 else "-"
        against = "-" if label == ONE else results.verdict(label, ONE).sentence()
        never = ", ".join(map(str, results.classes_never_predicted(label)))
        seconds = [second / results.epochs for second in results.measured.column(label, "seconds").values()]
        took = f"{min(seconds):.3g} .. {max(seconds):.3g}"
        rows.append(
            [label, percent_cell(median(values)), _range(values), spread, never, took, str(len(values)), against]
        )
    head = (
        "training",
        "median accuracy [%]",
        "min .. max",
        "standard deviation [points]",
        "classes never answered, by seed",
        "an epoch [s], one core",
        "seeds",
        "against one softmax",
    )
    note = (
        f"After {results.epochs} epochs; equal seeds have equal weights and batches. The first two standardise each "
        "image by itself, as the PyTorch listing does over its axes 1, 2, 3 (counted from 0: channel, height, "
        "width) and the Flux listing over its axes 1, 2, 3 (counted from 1: height, width, channel), which is the "
        "same. The third takes one mean and one deviation of all training pixels. MATLAB's way, pixels of 0 to "
        "255 minus their mean, cannot be expressed in a recipe."
    )
    return Table(head, rows, "One softmax, two, and another standardisation", note)


def denormals_table(results: LenetResults, epochs: Mapping[str, Sequence[float]]) -> Table:
    """The cost of denormal numbers, and the seconds of our epochs over the run.

    Args:
        results: What was measured.
        epochs: The seconds of the epochs of each timed run, by its name.
    """
    rows = [
        [name, *(f"{1000 * value:.3g}" for value in (d.normal, d.denormal, d.flushed)), f"{d.slower:.2g}"]
        for name, d in results.denormals.items()
    ]
    if "normal" in results.iteration_seconds:
        normal, denormal = results.iteration_seconds["normal"], results.iteration_seconds["denormal"]
        name = f"whole iteration of the engine torch, with all moments so, {results.images} images"
        rows.append([name, f"{1000 * normal:.3g}", "-", f"{1000 * denormal:.3g}", f"{denormal / normal:.2g}"])
    faded, kept = fading()
    note = (
        "Least of interleaved runs on one thread. A weight without gradient, such as those of a dead unit, keeps a "
        f"first moment that shrinks by 0.9 per iteration: from {NORMAL:g} it is denormal "
        f"(below 1.18e-38) after {faded} iterations and then stays at {kept:.2g} forever, because 0.9 of it is "
        "rounded back to it. The engine torch flushes denormal numbers to zero while it trains. "
    )
    courses = [f"{name}: {_sampled(seconds)}" for name, seconds in epochs.items() if len(seconds) > 1]
    note += f"Seconds of our epochs, training alone, from first to last: {'; '.join(courses)}." if courses else ""
    head = ("work", "normal [ms]", "denormal [ms]", "denormal, taken for 0 [ms]", "times as long")
    return Table(head, rows, "Denormal numbers", note if rows else missing("torch"))


def iterations_table(results: LenetResults) -> Table:
    """One iteration in each engine and in bfloat16, compared with torch in float32."""
    every = results.iteration_seconds.items()
    shown = {name: seconds for name, seconds in every if name not in ("normal", "denormal")}
    torch_seconds = shown.get("torch", math.nan)
    rows = [
        [
            f"engine {name}",
            f"{1000 * seconds:.3g}",
            "-" if math.isnan(torch_seconds) else f"{seconds / torch_seconds:.2f}",
        ]
        for name, seconds in shown.items()
    ]
    note = (
        f"{results.images} images, least of interleaved runs on one thread. bfloat16 halves the bytes; on a processor "
        "without instructions for it (AVX512-BF16, AMX) the products need conversions and are slower."
    )
    head = ("one iteration", "[ms]", "times torch's")
    return Table(head, rows, "Single iterations: the reference engine, and bfloat16", note)


def _range(accuracies: Sequence[float]) -> str:
    return f"{percent_cell(min(accuracies))} .. {percent_cell(max(accuracies))}" if accuracies else "-"


def _sampled(seconds: Sequence[float]) -> str:
    """The first, a few in the middle and the last of the epochs' seconds."""
    few = seconds if len(seconds) <= 6 else [seconds[round(i * (len(seconds) - 1) / 5)] for i in range(6)]
    return ", ".join(f"{value:.3g}" for value in few)


__all__ = [
    "denormals_table",
    "early_table",
    "floor_table",
    "iterations_table",
    "logs_table",
    "long_table",
    "seeds_table",
    "softmax_floor",
]

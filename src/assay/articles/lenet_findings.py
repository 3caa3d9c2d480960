"""The caveats of the article on LeNet-5, shown by measurement: two softmaxes, inputs, seeds, denormal numbers."""

from __future__ import annotations

import importlib.util
import itertools
import math
from collections.abc import Mapping, Sequence
from functools import cached_property
from statistics import median, stdev
from typing import Any

from assay.analysis.verdicts import Verdict
from assay.articles.lenet_costs import (
    IMAGES,
    NORMAL,
    SMALL,
    Denormals,
    Iteration,
    adam_on_denormals,
    convolution_on_denormals,
    fading,
    least_seconds,
)
from assay.articles.measurements import Measurements, percent_cell
from assay.articles.page import Finding, Table
from assay.articles.published import article
from assay.data.datasets import load
from assay.engines import installed, missing
from assay.recipe.model import Recipe
from assay.recipe.toml import read_toml
from assay.results.results import Results
from assay.studies.study import bundled

ONE, TWO, TOGETHER = "one softmax", "two softmaxes", "standardised together"
_QUICK_IMAGES = 10
_NEAR = 0.05  # of a loss: near its floor
_ON_THE_WAY = (10, 30)  # epochs
_FEW = 3  # epochs, as the study asks; before them a loss has not come down yet


def softmax_floor(classes: int) -> float:
    """The least cross-entropy that softmax of probabilities can have: log(e + C - 1) - 1.

    A softmax gives numbers of 0 to 1 whose sum is 1. Taken for logits, the best ones are 1 for the label and 0 for the
    others; softmax makes e / (e + C - 1) of them, and the loss is minus its logarithm.

    >>> round(softmax_floor(10), 4)
    1.4612
    """
    return math.log(math.e + classes - 1) - 1


def logs_table() -> Table:
    """Figures in the article's logs, and the arithmetic that gives them."""
    facts = article("lenet5")
    logs: Mapping[str, float] = facts["logs"]
    setting: Mapping[str, Any] = facts["setting"]
    batch, tested, floor = int(setting["batch_size"]), int(setting["validation_batch_size"]), softmax_floor(10)
    gone = -math.log(2.0**-23)
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
            f"-log(2^-23) / {batch} = {gone / batch:.4f}",
            "one image of 60,000 whose label has probability 0: Flux adds 2^-23 to it, and its gradient is gone; the "
            "log has the sum over the batches, for the listing counts 28 samples",
        ),
        (
            "MATLAB, loss of the first batch",
            f"{logs['matlab_first_loss']:.2f}",
            f"log(10) = {math.log(10):.2f} for a network that knows nothing",
            "pixels are of 0 to 255, and only centred, so the first outputs are large and sure of themselves",
        ),
        (
            "MATLAB, learning rate in epoch 100",
            f"{logs['last_learning_rate']:.4f}",
            "0.0010 with no decay, 0.000001 with a tenth every 30 epochs",
            "the decay that the text names was not in force; it is switched off in all three listings",
        ),
    ]
    return Table(("in the logs", "printed", "arithmetic", "so"), rows, "What the logs say by arithmetic")


class Shown:
    """What the seeds and the small experiments show; `whole`: one softmax for as many epochs as the article's."""

    def __init__(self, results: Results, whole: Results, quick: bool) -> None:
        self.results, self.quick = results, quick
        self.measured, self.whole = Measurements([results]), Measurements([whole])
        self.images = _QUICK_IMAGES if quick else IMAGES
        recipe = Recipe.parse(read_toml(bundled("lenet5-timing"))["baseline"])
        self.network = recipe.model.network(load("digits-28").shape, 10)

    # --- over seeds ---

    @cached_property
    def epochs(self) -> int:
        """The epochs of the longest curve."""
        return _epochs(self.measured)

    def about(self) -> str:
        """What is measured over seeds."""
        seeds = len(self.measured.of(ONE))
        return (
            f"Over seeds: {len(self.measured.trials)} of {self.measured.planned} trials are measured, {seeds} seeds of "
            f"one softmax, {self.epochs} epochs."
        )

    def _verdict(self, a: str, b: str) -> Verdict:
        return self.results.verdict(a, b)

    def floor_table(self) -> Table:
        """The test loss of two softmaxes along the epochs, and how far above its floor it is."""
        floor = softmax_floor(10)
        curves = [self.measured.curves[str(row["trial"])] for row in self.measured.of(TWO)]
        rows: list[list[str]] = []
        for epoch in range(1, self.epochs + 1):
            if epoch > 5 and epoch % 10 and epoch != self.epochs:
                continue
            losses = [curve.values("test_loss")[epoch] for curve in curves if len(curve.iterations) > epoch]
            if losses:
                middle = median(losses)
                cells = [f"{middle:.4f}", f"{min(losses):.4f} .. {max(losses):.4f}", f"{middle - floor:.4f}"]
                rows.append([str(epoch), *cells, str(len(losses))])
        note = (
            "A softmax gives numbers between 0 and 1 that add up to 1. Taken for logits, the best ones are 1 for the "
            "label and 0 for the nine others, of which softmax makes e / (e + 9) for the label; the loss cannot be "
            f"below -log(e / (e + 9)) = log(e + 9) - 1 = {floor:.4f}, however sure the network is."
        )
        head = ("after epoch", "test loss, median", "min .. max", "above the floor", "seeds")
        return Table(head, rows, "Two softmaxes: the loss and its floor", note)

    def early_table(self) -> Table:
        """Accuracies after each of the first epochs: the article's runs of a framework, and our seeds."""
        runs: dict[str, list[list[float]]] = {}
        for run in article("lenet5")["runs"]:
            name = f"published, {run['framework'].partition(' ')[0]}"
            runs.setdefault(name, []).append(run["accuracy_after"])
        shown = max(len(values) for group in runs.values() for values in group)
        for label in (ONE, TWO):
            runs[f"measured, {label}"] = self._accuracies(label)
        rows: list[list[str]] = []
        for name, group in runs.items():
            each = [[values[n] for values in group if len(values) > n] for n in range(shown)]
            rows.append([name, *(_between(some) for some in each), str(len(group))])
        head = ("runs", *(f"epoch {n + 1} [%]" for n in range(shown)), "runs or seeds")
        note = (
            "Least and greatest test accuracy. PyTorch has two softmaxes, Flux and MATLAB one. The gradient "
            "passes through the first softmax, which is flat where it is sure of itself, right or wrong: a class that "
            "the network has given up early is slow to come back, and whether there is one is a matter of the seed. "
            "Each class of ten that is never the answer costs 10 points of accuracy and 0.1 of loss: the article's "
            "69.33 % has a loss of 1.76, which is 0.30 above the floor, and so three such classes."
        )
        return Table(head, rows, "The first epochs", note)

    def _accuracies(self, label: str) -> list[list[float]]:
        return _accuracies(self.measured, label)

    def whole_table(self) -> Table:
        """The accuracies on the way to the article's last epoch and there: its runs by framework, and our seeds."""
        epochs = int(article("lenet5")["setting"]["epochs"])
        marks = [*(mark for mark in _ON_THE_WAY if mark < epochs), epochs]
        rows: list[list[str]] = []
        ends: dict[str, list[float]] = {}
        for run in article("lenet5")["runs"]:
            ends.setdefault(run["framework"].partition(" ")[0], []).append(float(run["accuracy"]))
        for name, values in ends.items():
            rows.append([f"published, {name}", *["-"] * (len(marks) - 1), _between(values), str(len(values))])
        ours = _accuracies(self.whole, ONE)
        cells = [_between([values[mark - 1] for values in ours if len(values) >= mark]) for mark in marks]
        rows.append([f"measured, {ONE}", *cells, str(len(ours)) if ours else "-"])
        head = ("runs", *(f"epoch {mark} [%]" for mark in marks), "runs or seeds")
        ended = [values[epochs - 1] for values in ours if len(values) >= epochs]
        published = _between([accuracy for values in ends.values() for accuracy in values])
        note = f"Least and greatest test accuracy. The published runs end at {published} %; "
        note += f"{len(ended)} of ours at {_between(ended)} %." if ended else "ours have not come so far."
        return Table(head, rows, f"As far as the article: {epochs} epochs", note)

    def seeds_table(self) -> Table:
        """The accuracies of each configuration over the seeds, and what the pairs say against the first."""
        rows: list[list[str]] = []
        for label in (ONE, TWO, TOGETHER):
            values = list(self.measured.column(label, "accuracy").values())
            if not values:
                rows.append([label, *["-"] * 5, "0", "not measured"])
                continue
            spread = f"{100 * stdev(values):.2f}" if len(values) > 1 else "-"
            against = "-" if label == ONE else self._verdict(label, ONE).sentence()
            never = ", ".join(map(str, self._never_answered(label)))
            seconds = [second / self.epochs for second in self.measured.column(label, "seconds").values()]
            took = f"{min(seconds):.3g} .. {max(seconds):.3g}"
            rows.append(
                [label, percent_cell(median(values)), _between(values), spread, never, took, str(len(values)), against]
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
            f"After {self.epochs} epochs; equal seeds have equal weights and batches. The first two standardise each "
            "image by itself, as the PyTorch listing does over its axes 1, 2, 3 (counted from 0: channel, height, "
            "width) and the Flux listing over its axes 1, 2, 3 (counted from 1: height, width, channel): the same "
            "thing. The third takes one mean and one deviation of all training pixels. MATLAB's way, pixels of 0 to "
            "255 less their mean, cannot be said in a recipe."
        )
        return Table(head, rows, "One softmax, two, and another standardisation", note)

    def _never_answered(self, label: str) -> list[int]:
        """How many classes are the answer to no test image, for each seed."""
        counts = self.results.confusions()
        found = [counts[str(row["trial"])] for row in self.measured.of(label) if str(row["trial"]) in counts]
        return [sum(not any(column) for column in zip(*count, strict=True)) for count in found]

    # --- numbers too small ---

    @cached_property
    def denormals(self) -> Mapping[str, Denormals]:
        """What work costs on numbers too small to be normal, by its name; nothing without torch."""
        if importlib.util.find_spec("torch") is None:
            return {}
        return {
            f"Adam's update of {self.network.parameters:,} weights": adam_on_denormals(self.network.parameters),
            f"backward pass of the second convolution, {self.images} images": convolution_on_denormals(self.images),
        }

    @cached_property
    def iteration(self) -> Mapping[str, float]:
        """Seconds of one iteration on one thread: the engines, bfloat16, and torch with every moment denormal."""
        works: dict[str, Any] = {}
        if installed("torch"):
            works["torch"] = Iteration("torch", images=self.images)
            works["torch, bfloat16"] = Iteration("torch", images=self.images, precision="bfloat16")
            works["normal"] = Iteration("torch", images=self.images, moments=NORMAL)
            works["denormal"] = Iteration("torch", images=self.images, moments=SMALL)
        works["numpy"] = Iteration("numpy", images=self.images)
        return least_seconds(works, repeats=1 if self.quick else 3)

    def denormals_table(self, epochs: Mapping[str, Sequence[float]]) -> Table:
        """The cost of denormal numbers, and the seconds of our epochs along the run."""
        rows = [
            [name, *(f"{1000 * value:.3g}" for value in (d.normal, d.denormal, d.flushed)), f"{d.slower:.2g}"]
            for name, d in self.denormals.items()
        ]
        if "normal" in self.iteration:
            normal, small = self.iteration["normal"], self.iteration["denormal"]
            name = f"whole iteration of the engine torch, all moments so, {self.images} images"
            rows.append([name, f"{1000 * normal:.3g}", "-", f"{1000 * small:.3g}", f"{small / normal:.2g}"])
        denormal, kept = fading()
        note = (
            "Least of interleaved runs on one thread. A weight that gets no gradient any more, such as those of a "
            f"dead unit, keeps a first moment that shrinks by 0.9 an iteration: from {NORMAL:g} it is denormal "
            f"(below 1.18e-38) after {denormal} iterations and then stays at {kept:.2g} for ever, for 0.9 of it is "
            "rounded back to it. The engine torch has such numbers taken for 0 while it works. "
        )
        said = [f"{name}: {_along(seconds)}" for name, seconds in epochs.items() if len(seconds) > 1]
        note += f"Seconds of our epochs, training alone, from first to last: {'; '.join(said)}." if said else ""
        head = ("work", "normal [ms]", "denormal [ms]", "denormal, taken for 0 [ms]", "times as long")
        return Table(head, rows, "Numbers too small to be normal", note if rows else missing("torch"))

    def iterations_table(self) -> Table:
        """One iteration in each engine and in bfloat16, beside torch in float32."""
        found = {name: seconds for name, seconds in self.iteration.items() if name not in ("normal", "denormal")}
        base = found.get("torch", math.nan)
        rows = [
            [f"engine {name}", f"{1000 * seconds:.3g}", "-" if base != base else f"{seconds / base:.2f}"]
            for name, seconds in found.items()
        ]
        note = (
            f"{self.images} images, least of interleaved runs on one thread. bfloat16 halves the bytes; on a processor "
            "without instructions for it (AVX512-BF16, AMX) the products are made of conversions and are slower."
        )
        head = ("one iteration", "[ms]", "times torch's")
        return Table(head, rows, "Single iterations: the reference engine, and bfloat16", note)

    # --- findings ---

    def checks(self) -> dict[str, Finding]:
        """The article's findings, each by a stated rule; compilation is checked where the times are."""
        return {
            "floor": self._floor(),
            "early": self._early(),
            "softmax": self._softmax(),
            "inputs": self._inputs(),
            "seeds": self._seeds(),
            "denormals": self._denormals(),
        }

    def _floor(self) -> Finding:
        logs: Mapping[str, float] = article("lenet5")["logs"]
        setting: Mapping[str, Any] = article("lenet5")["setting"]
        floor, half = softmax_floor(10), 5e-5
        pairs = [
            (logs["pytorch_validation_loss"], floor / int(setting["validation_batch_size"])),
            (logs["pytorch_training_loss"], floor / int(setting["batch_size"])),
        ]
        printed = all(abs(shown - least) <= 2 * half for shown, least in pairs)
        losses = [float(row["test_loss"]) for row in self.measured.of(TWO)]
        rule = (
            f"no measured loss is below the floor, each ends within {_NEAR:g} of it, judged from {_FEW} epochs on, and "
            "the printed losses are the floor's to their last digit, give or take one"
        )
        if not losses:
            return Finding("", rule, None, "not measured")
        told = f"losses of {min(losses):.4f} to {max(losses):.4f} after {self.epochs} epochs; floor {floor:.4f}"
        if min(losses) < floor - 1e-6 or not printed:
            return Finding("", rule, False, told)
        return Finding("", rule, max(losses) <= floor + _NEAR if self.epochs >= _FEW else None, told)

    def _early(self) -> Finding:
        rule = "after the first epoch the range over our seeds is at least five times that of one softmax"
        first = {label: [values[0] for values in self._accuracies(label)] for label in (ONE, TWO)}
        if min(len(values) for values in first.values()) < 2:
            return Finding("", rule, None, "a range needs two seeds of each")
        one, two = (max(values) - min(values) for values in first.values())
        spread = [
            f"{label}: {percent_cell(min(v))} to {percent_cell(max(v))} %, {len(v)} seeds" for label, v in first.items()
        ]
        return Finding("", rule, two >= 5 * one, "; ".join(spread))

    def _softmax(self) -> Finding:
        says = self._verdict(ONE, TWO)
        rule = f"over paired seeds one softmax beats two; here after {self.epochs} epochs, in the article after 100"
        return Finding("", rule, None if says.winner is None else says.winner == ONE, says.sentence())

    def _inputs(self) -> Finding:
        says = self._verdict(ONE, TOGETHER)
        rule = "over paired seeds, each image by itself and all together differ"
        return Finding("", rule, True if says.decided else None, says.sentence())

    def _seeds(self) -> Finding:
        groups: dict[str, dict[str, float]] = {}
        for run in article("lenet5")["runs"]:
            groups.setdefault(run["device"], {})[run["framework"]] = float(run["accuracy"])
        pairs = [
            (abs(a - b), f"{one} and {other}, {device}")
            for device, group in groups.items()
            for (one, a), (other, b) in itertools.combinations(group.items(), 2)
        ]
        least, which = min(pairs)
        ours = max(self.measured, self.whole, key=lambda some: (_epochs(some), len(some.of(ONE))))
        values = list(ours.column(ONE, "accuracy").values())
        rule = (
            "the least published difference on one device is larger than the range of our seeds of one recipe; "
            "judged where those ran the article's 100 epochs"
        )
        told = f"{which}: {100 * least:.2f} points"
        if len(values) < 2:
            return Finding("", rule, None, f"{told}; our spread is not measured")
        span = max(values) - min(values)
        told += f"; {len(values)} seeds of one recipe after {_epochs(ours)} epochs: {100 * span:.2f} points"
        return Finding("", rule, least > span if _epochs(ours) >= 100 else None, told)

    def _denormals(self) -> Finding:
        logs: Mapping[str, float] = article("lenet5")["logs"]
        more = logs["pytorch_late_epoch_s"] - logs["pytorch_early_epoch_s"]
        rule = (
            "on denormal numbers Adam's update, or the convolution's backward pass, costs so much more that 100 "
            "iterations of it make up half of the article's additional seconds an epoch"
        )
        if not self.denormals:
            return Finding("", rule, None, "torch is not installed")
        adam, convolution = self.denormals.values()
        updates = 100 * (adam.denormal - adam.normal)
        passes = 100 * (convolution.denormal - convolution.normal) * 600 / self.images
        told = (
            f"the article's epochs grew by {more:.0f} s; on this processor Adam's update takes {adam.slower:.1f} times "
            f"as long on denormal numbers, {updates:.1f} s an epoch if every weight had died, and the convolution's "
            f"backward pass {convolution.slower:.1f} times as long"
        )
        return Finding("", rule, max(updates, passes) >= more / 2, told)


def _epochs(measured: Measurements) -> int:
    """The epochs of the longest curve."""
    return max((len(curve.iterations) - 1 for curve in measured.curves.values()), default=0)


def _accuracies(measured: Measurements, label: str) -> list[list[float]]:
    """The test accuracies after each epoch, for each seed."""
    curves = [measured.curves[str(row["trial"])] for row in measured.of(label)]
    return [curve.values("test_accuracy")[1:] for curve in curves]


def _between(accuracies: Sequence[float]) -> str:
    return f"{percent_cell(min(accuracies))} .. {percent_cell(max(accuracies))}" if accuracies else "-"


def _along(seconds: Sequence[float]) -> str:
    """The first, a few in the middle and the last of the epochs' seconds."""
    few = seconds if len(seconds) <= 6 else [seconds[round(i * (len(seconds) - 1) / 5)] for i in range(6)]
    return ", ".join(f"{value:.3g}" for value in few)


__all__ = ["ONE", "TOGETHER", "TWO", "Shown", "logs_table", "softmax_floor"]

"""The settings of a study: its design, and how its trials are run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from assay.engines import ENGINES, not_an_engine
from assay.engines.program import Command
from assay.errors import RecipeError
from assay.parts.part import Count, Part, Positive, Unit, WholeNumber, one_of
from assay.recipe.messages import sentences
from assay.recipe.settings import Folds
from assay.studies.designs import DESIGNS
from assay.studies.search.seeds import SeedSettings
from assay.studies.search.settings import Halving, SearchSettings

TIMINGS = ("isolated", "packed")

Bytes = Annotated[int, Field(ge=2**20)]


def _engine(value: object) -> object:
    """Parses an engine: a string is its name, a table is an external program."""
    if isinstance(value, Mapping):
        return Command(**value)  # pyright: ignore[reportUnknownArgumentType]
    if isinstance(value, str) and value not in (*ENGINES, "auto"):
        raise PydanticCustomError("unknown_name", "{sentence}", {"sentence": not_an_engine(value)})
    return value


class Settings(Part):
    """The keys of a study file apart from its baseline and axes: the design, and how trials are run.

    Attributes:
        name: The name under which the study is stored.
        about: A sentence about the question that the study answers; the report begins with it.
        design: "grid", "one-at-a-time", "random", "list" or "search".
        repeats: Number of paired seeds of each configuration, from the baseline's seed on; with `folds` a multiple of
            these, and by default their number.
        folds: Number of parts of a cross-validation: each repeat is tested on the next part, and every further `folds`
            repeats cut the examples anew. Such repeats are compared by the corrected resampled t test.
        split_seeds: Whether each repeat draws a test set of its own from all examples, with its number as `data.split`.
            With `folds` it changes nothing.
        draws: Number of combinations that the design "random" draws.
        seed: The seed of these draws.
        timing: "isolated" (one trial at a time, with all cores) or "packed" (one trial per core).
        engine: An engine's name, "auto", or an external program as `{ command = [...] }`.
        device: "cpu", a GPU such as "cuda", or "auto" (not in a search) for the one that measured faster.
        threads: Number of CPU threads of each trial; None leaves the choice to the engine.
        time_limit: Maximum number of seconds of each trial; None for no limit.
        memory_limit: Maximum number of bytes of each worker; None for no limit.
        keep: What the store keeps of each trial in addition to its result: "checkpoint" (weights and optimizer state,
            to resume from), "nothing", or "winners" (checkpoints until the study has ended, then those of all seeds of
            the best configuration alone).
        save_best: Also keep the weights at the lowest validation loss. The accuracy stays that of the end.
        search: With design "search": the method, the budget and the objective, as a table.
    """

    name: str = Field(default="study", min_length=1, max_length=200)
    about: str = ""
    design: one_of("design", DESIGNS) = "grid"  # pyright: ignore[reportInvalidTypeForm]
    repeats: Annotated[Count, Unit("seeds")] = 1
    folds: Annotated[Folds | None, Field(examples=[5])] = None
    split_seeds: bool = False
    draws: Annotated[Count, Unit("combinations")] = 20
    seed: WholeNumber = 1
    timing: one_of("timing", dict.fromkeys(TIMINGS)) = "isolated"  # pyright: ignore[reportInvalidTypeForm]
    engine: Annotated[str | Command, BeforeValidator(_engine)] = "auto"
    device: str = "cpu"
    threads: Annotated[Count | None, Unit("threads"), Field(examples=[1])] = None
    time_limit: Annotated[Positive | None, Unit("s"), Field(examples=[600])] = None
    memory_limit: Annotated[Bytes | None, Unit("bytes"), Field(examples=[2**31])] = None
    keep: Literal["checkpoint", "winners", "nothing"] = "checkpoint"
    save_best: bool = False
    search: SearchSettings | None = None

    @model_validator(mode="before")
    @classmethod
    def _one_repeat_for_each_fold(cls, table: Any) -> Any:
        if not isinstance(table, Mapping):
            return table
        given: Mapping[str, Any] = table  # pyright: ignore[reportUnknownVariableType]
        folds = given.get("folds")
        is_count = isinstance(folds, int) and not isinstance(folds, bool)
        return {**given, "repeats": folds} if is_count and given.get("repeats") is None else given

    @model_validator(mode="after")
    def _whole_cross_validations(self) -> Settings:
        if self.folds is not None and self.repeats % self.folds:
            least = max(1, self.repeats // self.folds) * self.folds
            raise ValueError(
                f"repeats: got {self.repeats}; expected a multiple of folds = {self.folds}, such as {least} or "
                f"{least + self.folds}, so that every example is tested equally often"
            )
        return self

    @property
    def draws_anew(self) -> bool:
        """Whether each repeat has another test set, drawn from all examples."""
        return self.folds is not None or self.split_seeds

    @model_validator(mode="after")
    def _keeps_what_it_saves(self) -> Settings:
        if self.save_best and self.keep == "nothing":
            raise ValueError("save_best: keeps weights, and keep = 'nothing' does not; use keep = 'checkpoint'")
        return self

    @classmethod
    def checked(cls, **values: Any) -> Settings:
        """Settings by their names; None stands for the default. Raises: RecipeError, with every error at once."""
        try:
            return cls(**{key: value for key, value in values.items() if value is not None})
        except ValidationError as error:
            raise RecipeError(sentences(error.errors(), keys_at), source="settings") from None


def keys_at(location: Sequence[int | str]) -> tuple[str, list[str]]:
    """The owner of a key, as error messages name it, and the keys that it has."""
    if location[:1] == ("engine",):
        return "a command", list(Command.model_fields)
    if location[:2] == ("search", "halving"):
        return "halving", list(Halving.model_fields)
    if location[:2] == ("search", "seeds"):
        return "seeds", list(SeedSettings.model_fields)
    if location[:1] == ("search",):
        return "a search", list(SearchSettings.model_fields)
    return "a study", [*Settings.model_fields, "baseline", "axes", "trials"]

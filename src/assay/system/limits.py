"""The limits of every reader and of every count, in one table: what is above is refused before memory is taken."""

from __future__ import annotations

from typing import NamedTuple


class Limit(NamedTuple):
    """A limit.

    Attributes:
        most: the largest value that is taken.
        unit: of the value: "bytes", or what is counted.
        reader: what it limits.
    """

    most: int
    unit: str
    reader: str

    def __str__(self) -> str:
        """The limit with its unit.

        >>> str(LOG_BYTES), str(TOML_DEPTH)
        ('256 MiB', '16 levels')
        """
        if self.unit != "bytes":
            return f"{self.most:,} {self.unit}"
        for size, unit in ((2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB")):
            if self.most >= size and self.most % size == 0:
                return f"{self.most // size:,} {unit}"
        return f"{self.most:,} bytes"


WHOLE_NUMBER = Limit(2**63 - 1, "", "a whole number in a study, a recipe, `--set` or a log")
TOML_BYTES = Limit(2**20, "bytes", "a study, a recipe or claims in TOML")
TOML_DEPTH = Limit(16, "levels", "tables within tables, and parts of a dotted key")
CONFIGURATIONS = Limit(100_000, "configurations", "a study")
TRIALS = Limit(100_000, "trials", "a study: its configurations times its repeats")
CLAIMS = Limit(1_000, "claims", "a file of claims")
CLAIM_RULES = Limit(10_000, "rules", "a file of claims, `each` counted once for every instance")
CLAIM_COLUMNS = Limit(20, "columns", "what a side of a claim selects by")
CLAIM_CHARACTERS = Limit(1_000, "characters", "a text in a side of a claim")
LOG_POINTS = Limit(100_000, "log points", "a curve")
CURVE_POINTS = Limit(4_000_000, "points", "a stored curve")
ITERATIONS = Limit(10**12, "iterations", "a budget")

ARRAY_BYTES = Limit(2**32, "bytes", "an array of a data set (IDX, `.npz`)")
ARRAY_RATIO = Limit(100, "times its compressed bytes", "a compressed array of more than 64 MiB, and a bundle")
ARRAY_FREE_BYTES = Limit(2**26, "bytes", "a compressed array of any ratio")
DEFLATE_RATIO = Limit(1032, "times its compressed bytes", "what deflate can hold, so that a larger claim is false")
IDX_DIMENSIONS = Limit(4, "dimensions", "an IDX file")
NPZ_DIMENSIONS = Limit(8, "dimensions", "an array in an `.npz` file")
NPZ_HEADER_BYTES = Limit(2**16, "bytes", "the header of an array in an `.npz` file")
CLASSES = Limit(10_000, "classes", "a data set")
FOLDER_ENTRIES = Limit(10_000, "entries", "a folder of data that is looked at")
TABLE_BYTES = Limit(2**29, "bytes", "a table of data (CSV, Parquet), unpacked")
TABLE_CELLS = Limit(64_000_000, "cells", "a table of data")
TABLE_COLUMNS = Limit(100_000, "columns", "a table of data")
TABLE_CATEGORIES = Limit(100, "categories", "a column of texts in a table of data")
PICTURE_FILES = Limit(200_000, "pictures", "a folder of pictures, or a Parquet file of them")
DOWNLOAD_BYTES = Limit(200 * 2**20, "bytes", "a file that `assay data fetch` downloads")

PICTURE_PIXELS = Limit(64_000_000, "pixels", "a picture")
PICTURE_SIDE = Limit(65_535, "pixels", "a side of a picture")
PICTURE_BYTES = Limit(2**29, "bytes", "the file of a picture")

WEIGHTS_BYTES = Limit(2**31, "bytes", "a file of weights (safetensors), and an artifact of an export")
WEIGHTS_HEADER_BYTES = Limit(40 * 2**20, "bytes", "the header of a file of weights")

LOG_BYTES = Limit(256 * 2**20, "bytes", "a training log, an event file of TensorBoard, or the event files of a folder")
LOG_TEXT_BYTES = Limit(64 * 2**20, "bytes", "a training log that is text")
LOG_LINES = Limit(500_000, "lines", "a training log that is text")
LOG_CELLS = Limit(4_000_000, "cells", "a training log that is a table, or JSON")
LOG_COLUMNS = Limit(10_000, "columns", "a training log that is a table, or JSON")
LOG_LINE_CHARACTERS = Limit(5_000, "characters", "a line for `text` or `--pattern`; longer ones are ignored")
LOG_OBJECT_CHARACTERS = Limit(100_000, "characters", "a line with an object in JSON; longer ones are ignored")
LOG_PATTERN_CHARACTERS = Limit(2_000, "characters", "a `--pattern`")
LOG_PATTERN_SECONDS = Limit(10, "seconds", "matching a `--pattern`")

STORE_CELL_BYTES = Limit(2**27, "bytes", "a cell of a store in SQLite")
ARTIFACT_BYTES = Limit(2**31, "bytes", "a file of weights next to a store")
REPAIR_BYTES = Limit(2**12, "bytes", "the note of a repair that was interrupted")

EXPORT_TABLE_BYTES = Limit(2**28, "bytes", "trials.parquet of an export")
PARQUET_FOOTER_BYTES = Limit(2**23, "bytes", "the footer of a Parquet file")
EXPORT_JSON_BYTES = Limit(64 * 2**20, "bytes", "a JSON file of an export")
EXPORT_CONTENT_BYTES = Limit(2**29, "bytes", "the cells of trials.parquet together")
EXPORT_ROWS = Limit(500_000, "rows", "trials.parquet of an export")

BUNDLE_BYTES = Limit(2**29, "bytes", "a bundle (zip)")
BUNDLE_CONTENT_BYTES = Limit(2**29, "bytes", "the files of a bundle together, unpacked")
BUNDLE_FILES = Limit(65_000, "files", "a bundle")
BUNDLE_DIRECTORY_BYTES = Limit(2**24, "bytes", "the directory of a bundle")
BUNDLE_NAME_CHARACTERS = Limit(200, "characters", "the name of a file in a bundle")
BUNDLE_TRIALS = Limit(50_000, "trials", "a bundle")
BUNDLE_STUDIES = Limit(1_000, "studies", "a bundle")
BUNDLE_MEMBERS = Limit(100_000, "members of studies", "a bundle")
BUNDLE_POINTS = Limit(1_000_000, "log points", "a bundle")
BUNDLE_TEXT_BYTES = Limit(2**26, "bytes", "a JSON file of a bundle, and the data within a page of it")

LIMITS: dict[str, Limit] = {name: value for name, value in list(globals().items()) if isinstance(value, Limit)}
"""Every limit by its name."""


def table() -> str:
    """The table of limits as Markdown, as the documentation shows it."""
    rows = [f"| {limit.reader} | {str(limit).strip()} |" for limit in LIMITS.values()]
    return "\n".join(["| what | at most |", "|---|---|", *rows]) + "\n"

"""Networks as published next to what a search chose for each: accuracy, cost, effort, and the verdict."""

from __future__ import annotations

from assay.analysis.effort import comparable, effort
from assay.analysis.frames import FINISHED
from assay.articles.context import Context
from assay.articles.kinds import PagePart
from assay.articles.measurements import trial_rows
from assay.articles.page import Figure, Table
from assay.articles.selection import grouped, winners
from assay.articles.tables.time_to_target import FORMATS, spread
from assay.results.results import Results


class TunedNetworks(PagePart):
    """Two rows per network: as published, and as the search chose it.

    Attributes:
        study: The study that compares them.
        search: The study whose results chose.
        by: Its axis of networks.
        published: The label of a network as published; `{}` stands for the network.
    """

    study: str
    search: str
    by: str
    published: str

    def draw(self, context: Context) -> list[Table | Figure]:
        """The table; nothing before the study is planned."""
        if self.study not in context.results:
            return []
        result = context.result(self.study)
        groups = grouped([row for row in trial_rows(result) if row["outcome"] in FINISHED], "configuration")
        seconds, flops = (_ranks(result, cost) for cost in ("seconds", "flops"))
        rows: list[list[str]] = []
        for network, winner in winners(trial_rows(context.result(self.search)), self.by).items():
            published = self.published.replace("{}", network)
            for name in (published, winner):
                if name not in groups:
                    continue
                compared = name == winner and published in groups
                verdict = result.verdict(winner, published).sentence() if compared else "-"
                columns = ("accuracy", "seconds", "flops")
                cells = [spread([float(row[key]) for row in groups[name]], FORMATS[key]) for key in columns]
                rows.append([name, *cells, seconds.get(name, "-"), flops.get(name, "-"), verdict])
        head = ("configuration", "accuracy [%]", "seconds", "operations [1e9]", "effort, rank by seconds")
        head += ("effort, rank by operations", "against the article's own")
        return [Table(head, rows, self.title, self.note)]


def _ranks(result: Results, cost: str) -> dict[str, str]:
    """The effort of each configuration, with its rank."""
    frame = result.frame()
    ranked = effort(comparable(frame)[0] if cost == "seconds" else frame, cost=cost).to_dict("records")
    scale = 1.0 if cost == "seconds" else 1e9
    return {str(r["configuration"]): f"{float(r['effort']) / scale:.3g} ({r['rank']})" for r in ranked}


__all__ = ["TunedNetworks"]

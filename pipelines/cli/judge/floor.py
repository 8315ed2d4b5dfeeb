"""`foretell floor`: the noise floor of every segment of a data set, or of a file of one's own."""

from pathlib import Path
from typing import Annotated

import pandas as pd
import typer

from foretell.assets.families import get_family
from foretell.pipelines.cli.console import say
from foretell.pipelines.cli.options import check_family, flat
from foretell.pipelines.cli.output import PlainOutput
from foretell.pipelines.settings import Settings
from foretell.predictors.errors import InvalidInputError
from foretell.predictors.families import FAMILIES


@flat
def floor(
    output: PlainOutput,
    family: Annotated[
        str | None, typer.Argument(metavar="[FAMILY]", help=f"One of {', '.join(FAMILIES)}; a file tells its own.")
    ] = None,
    file: Annotated[
        Path | None, typer.Argument(help="Eval log (as for `compare`) or traces (as for `ingest`), with repeats.")
    ] = None,
    dataset: Annotated[
        str | None, typer.Option(help="Instead of a file: starter, ladder, lake (your own traces), or a public set.")
    ] = None,
) -> None:
    """Estimate the noise floor of a data set or of a file of your own, from its repeated runs."""
    from foretell.assets.judging.floors import floor_table
    from foretell.pipelines.cli.judge.tables import floors_page

    if file is None and family is not None and family not in FAMILIES and Path(family).suffix:
        file, family = Path(family), None
    if file is not None and dataset is None:
        table, of, unit = floors_of_file(Settings(), family, file)
    elif file is None and family is not None and dataset is not None:
        settings, chosen = Settings(), get_family(family)
        with settings.open_engine():
            table = floor_table(chosen, chosen.examples(dataset, settings.sources), dataset=dataset)
        of, unit = f"{family} on {dataset}", chosen.unit
    else:
        raise InvalidInputError("name a FAMILY and a --dataset, or a FILE of your own: its content tells the family")
    output.show(table, floors_page(table, title=f"{of}: noise floor; {unit}"))


def floors_of_file(settings: Settings, family: str | None, file: Path) -> tuple[pd.DataFrame, str, str]:
    """The noise floor of every segment of a file of runs, what it is of, and its unit."""
    from foretell.assets.judging.floors import METRICS, floor_table
    from foretell.assets.readers.scores.eval_logs import is_eval_log, read_eval_logs

    check_family(family)
    if family in (None, "success") and is_eval_log(file):
        from foretell.predictors.metrics import partial_evaluation
        from foretell.predictors.metrics.segments import told_of

        scores, notes = read_eval_logs([file])
        for line in notes:
            say(line)
        query = scores.get("cluster", scores["item"]).fillna(scores["item"])
        runs = scores.assign(cell_id=scores["system"] + "/" + scores["item"], query_id=query, value=scores["score"])
        segments = [name for name in ("system", "task") if len(scores[name].unique()) > 1]
        told = told_of(runs, segments)
        floors = partial_evaluation(runs, metrics=METRICS, scale="identity", segments=segments, told=told).telling()
        table = floors.table(predictor="none", family=family or "success", dataset=file.name, split="all")
        return table, file.name, "score (crps and mse of a score of 0 or 1: Brier)"
    if family not in (None, "thinking_tokens"):
        raise InvalidInputError(f"{file} is no eval log, and runs of {family} are read from a --dataset only")

    from foretell.api import read_traces
    from foretell.assets.families.thinking_tokens.examples import examples_from_traces

    read = read_traces(file)
    for reason, n in read.quarantine["reason"].value_counts().head(5).items():
        say(f"{file}: {n} records left out: {reason}")
    if read.traces.empty:
        raise InvalidInputError(f"{file}: no scores of items and no request that can be read; see docs/formats.md")
    chosen = get_family("thinking_tokens")
    with settings.open_engine():
        return floor_table(chosen, examples_from_traces(read.traces), dataset=file.name), file.name, chosen.unit

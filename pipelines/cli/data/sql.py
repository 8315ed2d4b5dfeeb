"""`foretell sql`: questions to the tables of the lake."""

from typing import TYPE_CHECKING, Annotated

import typer

from foretell.assets.pages import Page, Section
from foretell.pipelines.cli.console import count_keys, counted
from foretell.pipelines.cli.options import flat
from foretell.pipelines.cli.output import PlainOutput
from foretell.pipelines.settings import Settings
from foretell.predictors.errors import InvalidInputError

if TYPE_CHECKING:
    import pandas as pd


@flat
def sql(
    query: Annotated[str, typer.Argument(help="For example: select model, count(*) from request_traces group by 1")],
    output: PlainOutput,
) -> None:
    """Query the tables of the lake with DuckDB's SQL."""
    answer = query_lake(Settings(), query)
    section = Section(counted(len(answer), "row"), table=answer, n_keys=count_keys(answer))
    output.show(answer, Page(query, [section]))


def query_lake(settings: Settings, query: str) -> "pd.DataFrame":
    """The answer to one SQL query over the tables of the lake."""
    import duckdb

    from foretell.assets.lake.export import connect_lake, lake_tables

    with connect_lake(settings.home / "lake") as connection:
        try:
            answer: pd.DataFrame = connection.execute(query).df()
        except duckdb.Error as error:
            tables = ", ".join(lake_tables(settings.home / "lake"))
            first = str(error).splitlines()[0]
            raise InvalidInputError(f"{first}; the tables are {tables}") from error
    return answer

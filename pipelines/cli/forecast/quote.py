"""`foretell quote`: the bill of a batch before it is sent, on each of several models."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from foretell.pipelines.cli.console import counted, say, say_problems
from foretell.pipelines.cli.forecast.champion import load_quoting
from foretell.pipelines.cli.forecast.route import chance_of_success
from foretell.pipelines.cli.options import Predictor, flat, or_stdin
from foretell.pipelines.cli.output import Output
from foretell.pipelines.cli.progress import UnderWay
from foretell.pipelines.settings import Settings
from foretell.predictors.errors import InvalidInputError

if TYPE_CHECKING:
    from foretell.predictors.thinking_tokens.bill.quote import QuoteTerms


@dataclass(frozen=True)
class QuoteOptions:
    """The options of `foretell quote`: terms of the quote (see `QuoteTerms`), and what else is known of the work."""

    models: Annotated[
        list[str],
        typer.Option("--model", help="A model to quote; several times to compare. By default promptfoo's providers."),
    ] = field(default_factory=list)
    reasoning_efforts: Annotated[
        list[str],
        typer.Option(
            "--reasoning-effort", "--effort", help="What if: this effort instead of the requests' own; several times."
        ),
    ] = field(default_factory=list)
    max_tokens: Annotated[
        list[int], typer.Option(help="What if: this limit instead of the requests' own; several times.")
    ] = field(default_factory=list)
    budget: Annotated[float | None, typer.Option(help="USD: how probable is it that the total exceeds it?")] = None
    confidence: Annotated[
        float, typer.Option(help="How sure to be before one is called the cheapest, and of its total.")
    ] = 0.9
    tier: Annotated[str | None, typer.Option(help="Service tier to price at, such as batch or flex.")] = None
    cached: Annotated[float, typer.Option(help="Share of the input tokens that a prompt cache serves.")] = 0.0
    predictor: Predictor = None
    runs: Annotated[
        list[Path],
        typer.Option(
            help="Finished runs of this work, on any model, to learn from; of a pilot: the bill by its design."
        ),
    ] = field(default_factory=list)
    check: Annotated[
        str | None, typer.Option(help="With a pilot: exact:COLUMN, regex:PATTERN or column:NAME says what passes.")
    ] = None
    requests: Annotated[bool, typer.Option(help="With --json or --out: a row per request instead of totals.")] = False

    def terms(self, file: Path) -> "QuoteTerms":
        """The same in the words of the library; without models those that `file` itself names."""
        from foretell.assets.lake.requests import models_named
        from foretell.predictors.thinking_tokens.bill.quote import QuoteTerms

        models = self.models or models_named(file)
        if not models:
            raise InvalidInputError("name the models to quote: `--model gpt-5-mini`, several times to compare")
        return QuoteTerms(
            models, self.reasoning_efforts, self.max_tokens, budget_usd=self.budget, confidence=self.confidence,
            service_tier=self.tier, cached_share=self.cached,
        )  # fmt: skip


@flat
def quote(
    file: Annotated[
        Path,
        typer.Argument(
            help="Requests: chat JSONL, batch input, csv, parquet, an Inspect log, promptfooconfig.yaml, or a folder; "
            "- is standard input.",
            callback=or_stdin,
        ),
    ],
    options: QuoteOptions,
    output: Output,
) -> None:
    """The bill of a batch before it is sent: tokens and dollars with intervals, on each model."""
    if options.requests and output.on_screen:
        raise InvalidInputError("`--requests` needs `--json` or a table for `--out`: the screen shows totals")
    run_quote(Settings(), file, options, output)


def run_quote(settings: Settings, file: Path, options: QuoteOptions, output: Output) -> None:
    """Show what is not known, which model is cheapest and what each takes."""
    from foretell.assets.lake.kept_quotes import keep_quote
    from foretell.assets.lake.requests import read_requests
    from foretell.pipelines.cli.forecast.quote_page import quote_page
    from foretell.pipelines.cli.forecast.quote_pilot import bill_after, with_pilot
    from foretell.pipelines.pilots.plan import read_pilot
    from foretell.predictors.thinking_tokens.bill import quote as bill

    terms, runs = options.terms(file), options.runs
    requests, problems = read_requests(file)
    with UnderWay("load the forecaster"):
        predictor = load_quoting(settings, terms.models, options.predictor)
    pilot = read_pilot(runs, settings.price_file) if runs else None
    for fault in () if pilot is None else pilot[1]:
        say(fault)
    if runs and pilot is None:
        from foretell.assets.lake.own_runs import learn_from_runs, read_runs, with_runs_of_queries

        own, faults = read_runs(runs, price_file=settings.price_file)
        problems += faults
        predictor, requests = learn_from_runs(predictor, own), with_runs_of_queries(requests, own)
    if options.check is not None and pilot is None:
        raise InvalidInputError("`--check` needs the runs of a pilot: make one with `foretell pilot`")
    with UnderWay(f"quote {counted(len(requests), 'request')}"):
        quoted = bill.quote(
            predictor, requests.drop(columns="model", errors="ignore"), terms, price_file=settings.price_file
        )
    problems += [f"{file}: request {row.request}: {row.reason}" for row in quoted.left_out.itertuples()]
    quoted.totals["n_left_out"] = len(problems)
    if (chances := chance_of_success(settings, requests, list(dict.fromkeys(quoted.totals["model"])))) is not None:
        quoted.totals["chance_of_success"] = quoted.totals["model"].map(chances)
        right = quoted.totals["chance_of_success"] * quoted.totals["n_requests"]
        quoted.totals["usd_per_right_answer"] = quoted.totals["usd_mean"] / right
    say_problems(problems)
    piloted = None if pilot is None else bill_after(quoted, terms, pilot[0], options.check, file)
    totals = quoted.totals if piloted is None else with_pilot(quoted.totals, piloted)
    if settings.home.is_dir():  # a quote in passing makes no home
        keep_quote(settings.home, file.name, totals, requests)
    table = quoted.requests if options.requests else totals
    if options.requests and "custom_id" in requests:
        table = table.merge(requests["custom_id"], left_on="request", right_index=True, how="left")
    output.show(table, quote_page(quoted, requests, terms, problems, predictor, file, piloted))

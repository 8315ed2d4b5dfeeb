"""`foretell pilot`: which few requests to send first, what they cost, how narrow the bill will be; and sends them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import pandas as pd
import typer

from foretell.assets.pages import Page, Section
from foretell.pipelines.cli.console import counted, money, out, percent, say, say_problems
from foretell.pipelines.cli.forecast.champion import load_quoting
from foretell.pipelines.cli.options import EndpointOptions, Predictor, flat
from foretell.pipelines.cli.output import Output, PlainOutput
from foretell.pipelines.cli.progress import UnderWay
from foretell.pipelines.settings import Settings
from foretell.predictors.errors import InvalidInputError

if TYPE_CHECKING:
    from foretell.pipelines.pilots.sending import Call


@dataclass(frozen=True)
class SendOptions(EndpointOptions):
    """The options of `foretell pilot` that are about sending."""

    run: Annotated[bool, typer.Option("--run", help="Send the pilot now; again: go on where it ended.")] = False
    max_cost: Annotated[float | None, typer.Option(help="USD that are never exceeded, at worst cases.")] = None
    concurrency: Annotated[int, typer.Option(help="Requests under way at once.", min=1)] = 4
    retry_in_doubt: Annotated[bool, typer.Option(help="Send again what may have been billed already; both count.")] = (
        False
    )


@flat
def pilot(
    file: Annotated[Path, typer.Argument(help="Requests: chat JSONL, batch input, csv or parquet.")],
    models: Annotated[list[str], typer.Option("--model", help="A model; several times: the same requests on each.")],
    sending: SendOptions,
    output: PlainOutput,
    n: Annotated[int, typer.Option("--n", help="Requests to draw.", min=3)] = 20,
    seed: Annotated[int, typer.Option(help="Of the draw: the same seed draws the same requests.")] = 0,
    max_tokens: Annotated[int | None, typer.Option(help="Cap of requests that have none.", min=1)] = None,
    plan: Annotated[Path, typer.Option(help="File of the pilot; its answers land beside it.")] = Path("pilot.jsonl"),
    predictor: Predictor = None,
) -> None:
    """A few requests of a batch, drawn by design: their price, how narrow the bill gets; --run sends them."""
    from foretell.pipelines.pilots.plan import read_plan, write_plan

    settings = Settings()
    if sending.run and not (sending.max_cost or 0) > 0:
        raise InvalidInputError("`--run` needs `--max-cost`, the USD that are never exceeded")
    if not file.is_file():
        raise InvalidInputError(f"{file}: no such file")
    if not plan.parent.is_dir():
        raise InvalidInputError(f"`--plan` {plan}: there is no folder {plan.parent}")
    calls = read_plan(plan) if plan.exists() else []
    begun = {tuple(call.kept[name] for name in ("model", "n_asked", "seed", "file")) for call in calls}
    if calls and begun != {(model, n, seed, file.name) for model in models}:
        raise InvalidInputError(
            f"{plan} holds another pilot: name another file with --plan, or delete it and what lies beside it"
        )
    if plan.with_suffix(".log.jsonl").exists():
        say(f"{plan} was begun: this pilot goes on as it was drawn")
    else:
        calls = _plan(settings, file, models, (n, seed, max_tokens), predictor)
        write_plan(calls, plan)
    drawn = pd.DataFrame([call.kept for call in calls])
    table = _widths(drawn, calls)
    output.show(table, _page(table, drawn, calls, plan))
    if sending.run:
        _run(settings, calls, sending, plan)


def _plan(
    settings: Settings, file: Path, models: Sequence[str], design: tuple[int, int, int | None], source: str | None
) -> list[Call]:
    from foretell.assets.lake.requests import read_requests
    from foretell.pipelines.pilots.plan import draw_pilot, plan_calls
    from foretell.predictors.thinking_tokens.bill.quote import QuoteTerms, quote

    n, seed, max_tokens = design
    requests, problems = read_requests(file)
    say_problems(problems)
    champion = load_quoting(settings, models, source)
    unsent = requests.drop(columns="model", errors="ignore")
    quoted = quote(champion, unsent, QuoteTerms(models), price_file=settings.price_file, n_draws=100)
    for line in quoted.caveats:
        say(line)
    drawn = draw_pilot(quoted, n, seed).assign(n_asked=n, file=file.name)
    return plan_calls(drawn, requests, file, max_tokens, settings.price_file)


def _widths(drawn: pd.DataFrame, calls: Sequence[Call]) -> pd.DataFrame:
    """What to expect of pilots of several sizes: half-widths over the total on three kinds of work, and their price."""
    from foretell.predictors.metrics.estimates.survey import PUBLIC_SPREADS, expected_half_width
    from foretell.predictors.thinking_tokens.bill.pilot import NEXT

    n, n_units = int(drawn["n_drawn"].iloc[0]), int(drawn["n_units"].iloc[0])
    expected = drawn["forecast_usd"].astype("float64").sum(skipna=False)
    worst = sum(call.reserved_usd for call in calls)
    return pd.DataFrame(
        [
            {
                "n": size,
                **{name: expected_half_width(spread, size, n_units) for name, spread in PUBLIC_SPREADS.items()},
                "expected_usd": expected * size / n, "worst_usd": worst * size / n, "is_planned": size == n,
            }
            for size in sorted({*(k for k in NEXT if k <= n_units), n})
        ]
    )  # fmt: skip


def _page(table: pd.DataFrame, drawn: pd.DataFrame, calls: Sequence[Call], plan: Path) -> Page:
    from foretell.predictors.metrics.estimates.survey import PUBLIC_SPREADS

    shown = pd.DataFrame({
        "n": [f"{n}{' (this)' if is_planned else ''}"
              for n, is_planned in zip(table["n"], table["is_planned"], strict=True)],
        **{f"bill, {name} work": [f"± {percent(width)}" for width in table[name]] for name in PUBLIC_SPREADS},
        "pilot, as forecast": table["expected_usd"].map(money),
        "at worst": table["worst_usd"].map(money),
    })  # fmt: skip
    remarks = ["Half the width of the 90 % interval over the bill, as on public work; the pilot itself will say."]
    unbounded = [call.key for call in calls if call.reserved_usd != call.reserved_usd]
    if unbounded:
        remarks.append(
            f"No worst case for {counted(len(unbounded), 'call')} (such as {unbounded[0]}): a cap (--max-tokens), a "
            "price (FORETELL_PRICE_FILE) or plain text is missing; --run refuses them."
        )
    n_drawn, n_units = int(drawn["n_drawn"].iloc[0]), int(drawn["n_units"].iloc[0])
    title = f"{n_drawn} of {counted(n_units, 'request')} on {counted(drawn['model'].nunique(), 'model')}: {plan}"
    return Page(title, [Section(table=shown)], remarks=remarks)


def _run(settings: Settings, calls: Sequence[Call], options: SendOptions, plan: Path) -> None:
    """Send, and land what came in the lake."""
    from foretell.pipelines.cli.data.ingest import Options, run_ingest
    from foretell.pipelines.pilots.plan import usage_price
    from foretell.pipelines.pilots.sending import Sending, send_within

    assert options.max_cost is not None, "checked before the draw"
    results, log = plan.with_suffix(".runs.jsonl"), plan.with_suffix(".log.jsonl")
    price = usage_price(settings.price_file)
    with UnderWay("pilot") as way:
        sending = Sending(options.endpoint(settings), price, results, options.concurrency, say=say, progress=way.done)
        ledger, _ = send_within(calls, sending, log, options.max_cost, retry_in_doubt=options.retry_in_doubt)
    out.print(f"{len(ledger.answered)} of {len(calls)} answered, {money(ledger.spent)} spent: {results}")
    if results.exists():
        run_ingest(settings, [str(results)], Options(source="pilot"), Output(), curate=True)
        out.print(f"The bill: foretell quote REQUESTS --model ... --runs {results}")

"""The command line `foretell`: which commands there are, and how their errors end.

A command is one file: its options and its body. The table below holds what `foretell --help` shows, so that neither
help nor a command imports what another command needs. Results go to standard output, progress to standard error.
Exit codes: 0 done, 1 a check failed, 2 the input or the installation is not usable (with one line that says what to
do). What a command raises on purpose is a `ForecastError` whose message is that line.
"""

import errno
import sys
from collections.abc import Callable
from importlib import import_module
from importlib.resources import files
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from foretell.predictors.errors import ForecastError

ROOM = "foretell.pipelines.cli"

COMMANDS = {
    "Commands": {"demo": "Run the main job on the bundled data and show what it learnt."},
    "Data": {
        "ingest": "Land traces: parse once, keep what is good, quarantine the rest with file, line and remedy.",
        "fetch": "Fetch public data by name, checked against its checksum; FORETELL_MIRROR serves it offline.",
        "export": "Write a table of the lake to a file, by default the curated traces.",
        "sql": "Query the tables of the lake with DuckDB's SQL.",
    },
    "Judge": {
        "evaluate": "Fit on the training queries of a data set and report the error on the others, next to its floor.",
        "floor": "Estimate the noise floor of a data set or of a file of your own, from its repeated runs.",
        "compare": "Is this gain noise? Evals of two systems or more: paired difference, power, verdict.",
        "power": "How many items and repeats an eval needs to find a difference, and the cheapest split.",
        "samples": "What more samples of a request buy: pass@k beyond what was measured, votes, best of n.",
        "report": "What traces say about prices, passes, frontiers, thinking, noise, routing, former quotes and spend.",
        "vault": "Judge the champion on the sealed queries, for a report; four times a year at most.",
    },
    "Forecast": {
        "predict": "Forecast with the champion of a family: mean, median and intervals per row, dollars where priced.",
        "quote": "The bill of a batch before it is sent: tokens and dollars with intervals, on each model.",
        "pilot": "A few requests of a batch, drawn by design: their price, how narrow the bill gets; --run sends them.",
        "route": "Which model for which request under a budget, from forecasts of success and of cost.",
        "next-runs": "Which benchmark runs to buy first: those that tell most about the wanted scores for their cost.",
        "watch": "Follow a run until it ends: a line whenever it has new points, the band in --out, and when to stop.",
        "compute": "What more compute buys on each task, and how many items and draws it takes to see it.",
    },
    "Operate": {
        "retrain": "Refit, judge and register families now, as their schedules do.",
        "adapt": "Teach the champion what a few runs say, without training again, and register what comes of it.",
        "models": "List registered versions, their error next to the floor, and why each is champion or not.",
        "promote": "Make a version champion by hand; the registry keeps who, when and why.",
        "rollback": "Bring the former champion back; the registry keeps who, when and why.",
        "alert": "Tell the webhook of `alert_url` what is new: failed runs and checks, drift, promotions, spend over "
        "budget.",
        "backup": "Copy registry, lake and landed files, with checksums, while everything runs on.",
        "restore": "Verify a backup and put it in place; what was there is kept beside it.",
        "doctor": "Look for the usual faults of an installation.",
        "config": "Every setting with where it comes from: environment, foretell.toml of this folder or of the home, "
        "default.",
        "serve": "Answer forecasts and quotes over HTTP with the champions, which are followed while requests run.",
        "ui": "Start the Dagster UI (with schedules and sensors) and the MLflow server; Ctrl-C ends both.",
    },
}
"""Heading of `foretell --help`: name of a command and the first line of its docstring.

The heading names the folder, the command its file and function there, unless `ELSEWHERE` says otherwise."""
ELSEWHERE = {
    "demo": "demo:demo",
    "rollback": "operate.promote:rollback",
    "backup": "operate.backup:backup_command",
    "restore": "operate.backup:restore_command",
}


def load_function(panel: str, name: str) -> Callable[..., None]:
    """The function of a command, imported now."""
    word = name.replace("-", "_")
    module, _, function = ELSEWHERE.get(name, f"{panel.lower()}.{word}:{word}").partition(":")
    loaded: Callable[..., None] = getattr(import_module(f"{ROOM}.{module}"), function)
    return loaded


WITHOUT_HOME = ("config", "doctor", "restore")
"""Commands that look at, or replace, a home which the others refuse."""
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES)
"""What the system says of a disk that is full or may not be written."""


class LazyCommand(TyperCommand):
    """A line of the table; the command itself is imported when it is called."""

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        from foretell.pipelines.home import open_home
        from foretell.pipelines.settings import quiet_environment, read_settings

        settings = read_settings()
        quiet_environment(settings)
        is_asked_what_follows = extra.get("resilient_parsing", False)  # by the shell that completes a line
        if self.name not in WITHOUT_HOME and "--help" not in args and not is_asked_what_follows:
            for note in open_home(settings):
                sys.stderr.write(f"{note}\n")
        return self.load().make_context(info_name, args, parent=parent, **extra)

    def load(self) -> TyperCommand:
        """The command itself, with its options and an example that runs in a clone."""
        single = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
        lines = files("foretell").joinpath("examples.txt").read_text("utf-8").splitlines()
        example = next(line for line in lines if line.split()[0] == self.name)
        function = load_function(str(self.rich_help_panel), str(self.name))
        single.command(self.name, epilog=f"Example: foretell {example}")(function)
        command = typer.main.get_command(single)
        assert isinstance(command, TyperCommand), "an app of one command is that command"
        return command


class CommandTable(TyperGroup):
    """The group whose commands are `COMMANDS`, in that order."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        for panel, summaries in COMMANDS.items():
            for name, summary in summaries.items():
                self.add_command(LazyCommand(name, help=summary, rich_help_panel=panel))


app = typer.Typer(
    name="foretell", cls=CommandTable, no_args_is_help=True, add_completion=True, pretty_exceptions_enable=False
)


def _print_version(wanted: bool) -> None:
    if wanted:
        from foretell import __version__

        sys.stdout.write(f"foretell {__version__}\n")
        raise typer.Exit()


@app.callback()
def foretell(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and end.")
    ] = False,
) -> None:
    """Forecast what a language model will cost and how well it will score, next to the noise floor."""


def main() -> None:
    """Entry point: an expected error is one line on standard error and exit code 2, never a traceback."""
    from foretell.extras import names_missing_extras
    from foretell.pipelines.cli.start import start_lightly

    start_lightly()
    try:
        with names_missing_extras():
            app()
    except ForecastError as error:
        sys.stderr.write(f"foretell: {error}\n")
        sys.exit(2)
    except OSError as error:
        if error.errno not in NO_ROOM:
            raise
        from foretell.pipelines.settings import read_settings

        where = error.filename or read_settings().home
        sys.stderr.write(f"foretell: {where}: {error.strerror}: make room, or set FORETELL_HOME to a folder ")
        sys.stderr.write("you can write to; nothing is half-written\n")
        sys.exit(2)


if __name__ == "__main__":
    main()

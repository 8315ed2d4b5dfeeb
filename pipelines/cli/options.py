"""Options that several commands share, and how a command takes its options in groups."""

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import typer

from foretell.predictors.errors import unknown_name
from foretell.predictors.families import FAMILIES

if TYPE_CHECKING:
    from foretell.pipelines.pilots.sending import Endpoint
    from foretell.pipelines.settings import Settings


def check_family(family: str | None) -> str | None:
    """The family, where one is named.

    Raises `InvalidInputError` if there is no such family, with the likely one, and all of them.
    """
    if family is not None and family not in FAMILIES:
        raise unknown_name("family", family, FAMILIES)
    return family


FamilyName = Annotated[
    str,
    typer.Argument(
        metavar="FAMILY", help=f"One of {', '.join(FAMILIES)}.", autocompletion=lambda: list(FAMILIES),
        callback=check_family,
    ),
]  # fmt: skip
QUOTE = "quote FILE --model MODEL"
"""What comes next where the champion of thinking tokens has changed."""
Dataset = Annotated[
    str, typer.Option(help="starter or ladder (bundled), lake (your own traces), or a public set by name.")
]
Predictor = Annotated[
    str | None, typer.Option(help="Folder of a saved predictor, or models:/FAMILY/VERSION; by default the champion.")
]
prints_json = Event()
"""Whether the command that runs was asked for JSON and nothing else."""


def _remembered(context: typer.Context, is_asked: bool) -> bool:
    if is_asked:
        prints_json.set()
        context.call_on_close(prints_json.clear)  # what comes after in this process is another command
    return is_asked


Json = Annotated[
    bool, typer.Option("--json", help="Print one JSON object per row and nothing else.", callback=_remembered)
]


@dataclass(frozen=True)
class EndpointOptions:
    """Where requests are sent, by which key."""

    base_url: Annotated[
        str | None, typer.Option(help="OpenAI-compatible endpoint, such as https://api.openai.com/v1; else LiteLLM.")
    ] = None
    key_env: Annotated[
        str | None, typer.Option(help="Environment variable of the API key; OPENAI_API_KEY for api.openai.com alone.")
    ] = None
    timeout: Annotated[float, typer.Option(help="Seconds for one whole answer.", min=1)] = 600.0

    def endpoint(self, settings: "Settings") -> "Endpoint":
        """What sends. Raises `InvalidInputError` if the address is none, or the key or LiteLLM is not there."""
        from foretell.pipelines.pilots.sending import HttpEndpoint, LiteLLMEndpoint

        if self.base_url is None:
            return LiteLLMEndpoint(self.timeout)
        return HttpEndpoint(self.base_url, settings.api_key(self.key_env, self.base_url), self.timeout)


def or_stdin(file: Path | None) -> Path | None:
    """The file; for ``-`` one of what comes on standard input: JSON lines, csv or parquet by its first bytes."""
    if file is None or str(file) != "-":
        return file
    import sys
    from atexit import register
    from tempfile import TemporaryDirectory

    folder = TemporaryDirectory(prefix="foretell-")
    register(folder.cleanup)
    content = sys.stdin.buffer.read()
    ending = ".parquet" if content.startswith(b"PAR1") else ".jsonl" if content.lstrip().startswith(b"{") else ".csv"
    path = Path(folder.name) / f"stdin{ending}"
    path.write_bytes(content)
    return path


def flat(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command one option per field of every parameter that is a dataclass.

    The fields of such a group have defaults and are annotated as parameters of a typer command are; their names must
    differ from those of the command's other parameters. The command is called with the groups put together again, and
    with its defaults in place of what is not given.
    """
    hints = get_type_hints(command, include_extras=True)
    groups: dict[str, Any] = {name: hint for name, hint in hints.items() if is_dataclass(hint)}
    parameters = []
    for name, parameter in inspect.signature(command).parameters.items():
        if name in groups:
            annotations = get_type_hints(groups[name], include_extras=True)
            parameters += [
                inspect.Parameter(member, inspect.Parameter.KEYWORD_ONLY, default=value, annotation=annotations[member])
                for member, value in vars(groups[name]()).items()
            ]
        else:
            parameters.append(parameter.replace(annotation=hints[name], kind=inspect.Parameter.KEYWORD_ONLY))

    flattened = inspect.Signature(parameters)

    @functools.wraps(command)
    def call(**options: Any) -> None:
        bound = flattened.bind(**options)
        bound.apply_defaults()
        given = bound.arguments
        for name, group in groups.items():
            given[name] = group(**{field.name: given.pop(field.name) for field in fields(group)})
        command(**given)

    del call.__wrapped__  # typer would read the annotations of what is wrapped
    call.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    call.__signature__ = flattened  # type: ignore[attr-defined]
    return call

"""Requests that are not written out yet: a folder of prompts, and the prompts times the tests of a promptfoo eval."""

import itertools
import json
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from foretell.predictors.errors import InvalidInputError

TEXTS = (".txt", ".md", ".prompt", ".j2", ".tpl")
CONFIGS = (".yaml", ".yml")
MAX_REQUESTS = 100_000
REFERENCE = "file://"
MAX_DEPTH = 5
"""How often a text is filled in again, since variables name variables."""
MAX_TEXT = 10_000_000
"""Characters of one prompt."""
Read = tuple[pd.DataFrame, list[str]]


def read_folder(folder: Path) -> Read:
    """Every text file below a folder as a request, by name; its place is its `custom_id`.

    Raises `InvalidInputError` if there is none.
    """
    rows, problems = [], []
    for path in sorted(path for path in folder.rglob("*") if path.suffix in TEXTS and path.is_file()):
        text = path.read_text("utf-8", "replace").strip()
        if text:
            rows.append({"custom_id": str(path.relative_to(folder)), "prompt_text": text})
        else:
            problems.append(f"{path}: is empty; write a prompt into it, or delete it")
    if not rows and not problems:
        raise InvalidInputError(f"{folder}: holds no prompt: files that end in {', '.join(TEXTS)}, one request each")
    return _numbered(rows), problems


class PromptfooConfig:
    """``promptfooconfig.yaml``: what an eval would send, before it is run.

    Every prompt is sent with every test (and every combination where a variable is a list), `evaluateOptions.repeat`
    times. Files that it names are read below its own folder alone. Raises `InvalidInputError` if it is no such
    configuration.
    """

    def __init__(self, file: Path) -> None:
        self._file, self._folder, self._problems = file, file.resolve().parent, list[str]()
        content = _read_yaml(file)
        if not isinstance(content, dict) or not content.get("prompts"):
            raise InvalidInputError(f"{file}: has no `prompts`, so it is no configuration of promptfoo")
        self._content: dict[str, Any] = content

    @property
    def models(self) -> list[str]:
        """Models of its `providers`, without what promptfoo writes before them (``openai:chat:``)."""
        named = []
        for provider in _as_list(self._content.get("providers") or self._content.get("targets")):
            if isinstance(provider, dict) and "id" not in provider and len(provider) == 1:
                provider = next(iter(provider))
            name = provider.get("id") if isinstance(provider, dict) else provider
            if isinstance(name, str) and ":" in name and not name.startswith((REFERENCE, "http", "exec:", "python:")):
                named.append(name.split(":")[-1] if name.count(":") < 3 else name.split(":", 2)[2])
        return list(dict.fromkeys(named))

    def requests(self) -> Read:
        """A request per prompt, test and repeat; and a line for what could not be read."""
        from jinja2 import TemplateError

        fill, rows = _filler(), list[dict[str, Any]]()
        options = self._content.get("evaluateOptions")
        repeat = options.get("repeat", 1) if isinstance(options, dict) else 1
        repeat = repeat if isinstance(repeat, int) and 1 <= repeat <= 1000 else 1
        prompts, settings = list(self._prompts()), self._shared_settings()
        for number, variables in enumerate(self._tests(), 1):
            for place, prompt in enumerate(prompts, 1):
                try:
                    text = fill(prompt, variables)
                except (TemplateError, TypeError, ValueError, ArithmeticError, RecursionError) as error:
                    self._problems.append(f"{self._file}: prompt {place} with test {number}: {error}; correct it")
                    continue
                for time in range(1, repeat + 1):
                    rows.append({"custom_id": f"prompt {place}, test {number}{f', {time}' if repeat > 1 else ''}",
                                 "prompt_text": _as_messages(text), **settings})  # fmt: skip
                if len(rows) > MAX_REQUESTS:
                    raise InvalidInputError(f"{self._file}: comes to more than {MAX_REQUESTS:,} requests")
        return _numbered(rows), self._problems

    def _prompts(self) -> Iterator[str]:
        for prompt in _as_list(self._content["prompts"]):
            text = prompt.get("raw") or prompt.get("id") if isinstance(prompt, dict) else prompt
            if not isinstance(text, str):
                self._problems.append(f"{self._file}: a prompt is neither text nor a file; correct it")
            elif text.startswith(REFERENCE) or (Path(text).suffix in (*TEXTS, ".json") and "\n" not in text):
                for path in self._files(text):
                    yield from (part.strip() for part in path.read_text("utf-8", "replace").split("\n---\n"))
            else:
                yield text

    def _tests(self) -> Iterator[dict[str, Any]]:
        """Variables of each test; one without any where there is none."""
        default = self._content.get("defaultTest")
        usual = self._variables(default) if isinstance(default, dict) else {}
        if "scenarios" in self._content:
            self._problems.append(f"{self._file}: `scenarios` are left out; write them as `tests`")
        tests = list(self._all_tests(self._content.get("tests"))) or [{}]
        for test in tests:
            variables = {**usual, **self._variables(test)}
            is_whole = any(_options(part).get("disableVarExpansion") for part in (default, test))
            lists = {name: value for name, value in variables.items() if isinstance(value, list) and not is_whole}
            for combination in itertools.product(*lists.values()):
                yield {**variables, **dict(zip(lists, combination, strict=True))}

    def _all_tests(self, tests: object) -> Iterator[Mapping[str, Any]]:
        for test in _as_list(tests):
            if isinstance(test, dict):
                yield test
            elif isinstance(test, str):
                for path in self._files(test):
                    yield from self._tests_of(path)
            else:
                self._problems.append(f"{self._file}: a test is neither a mapping nor a file; correct it")

    def _tests_of(self, path: Path) -> Iterator[Mapping[str, Any]]:
        try:
            if path.suffix == ".csv":
                rows = pd.read_csv(path, dtype="str").fillna("").to_dict("records")
                yield from ({"vars": {k: v for k, v in row.items() if not str(k).startswith("__")}} for row in rows)
            elif path.suffix == ".jsonl":
                yield from map(json.loads, filter(str.strip, path.read_text("utf-8").splitlines()))
            else:
                yield from self._all_tests(self._yaml(path))
        except ValueError as error:
            self._problems.append(f"{path}: {' '.join(str(error).split())}; correct it")

    def _variables(self, test: Mapping[str, Any]) -> dict[str, Any]:
        given = test.get("vars")
        if isinstance(given, str | list):  # files of variables
            return {name: value for file in _as_list(given) for path in self._files(str(file))
                    for name, value in self._variables({"vars": self._yaml(path)}).items()}  # fmt: skip
        return {str(name): self._read_in(value) for name, value in given.items()} if isinstance(given, dict) else {}

    def _read_in(self, value: object) -> object:
        """A value, or what the file says that it names: YAML as JSON; of several files a list, one test each."""
        if isinstance(value, list):
            return [self._read_in(item) for item in value]
        if not (isinstance(value, str) and value.startswith(REFERENCE)):
            return value
        texts = [
            json.dumps(self._yaml(path)) if path.suffix in CONFIGS else path.read_text("utf-8", "replace").strip()
            for path in self._files(value)
        ]
        return texts if len(texts) > 1 else "".join(texts)

    def _yaml(self, path: Path) -> object:
        try:
            return _read_yaml(path)
        except InvalidInputError as error:
            self._problems.append(str(error))
            return {}

    def _shared_settings(self) -> dict[str, Any]:
        """What all providers are configured alike: limits that differ are left to `--max-tokens`."""
        providers = _as_list(self._content.get("providers") or self._content.get("targets"))
        configs = [provider.get("config") or {} for provider in providers if isinstance(provider, dict)]
        if not configs or len(configs) < len(providers) or not all(isinstance(config, dict) for config in configs):
            return {}
        names = ("max_tokens", "temperature", "top_p", "reasoning_effort")
        return {name: configs[0][name] for name in names if name in configs[0] and
                all(config.get(name) == configs[0][name] for config in configs)}  # fmt: skip

    def _files(self, name: str) -> list[Path]:
        """Files of a name or a pattern, below the folder of the configuration."""
        pattern = name.removeprefix(REFERENCE).removeprefix("./")
        matches = [] if Path(pattern).is_absolute() else sorted(self._folder.glob(pattern))
        inside = [path for path in matches if path.is_file() and path.resolve().is_relative_to(self._folder)]
        if not inside:
            self._problems.append(f"{self._file}: {name[:80]}: no such file below {self._folder}")
        return inside


def _read_yaml(path: Path) -> object:
    try:
        return yaml.safe_load(path.read_text("utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        mark = getattr(error, "problem_mark", None)
        line = "" if mark is None else f", line {mark.line + 1}"
        raise InvalidInputError(f"{path}: no YAML{line}: {getattr(error, 'problem', error)}; correct it") from None
    except RecursionError:
        raise InvalidInputError(f"{path}: nested too deeply") from None


def _filler() -> Callable[[str, Mapping[str, Any]], str]:
    """Fills variables into a prompt as promptfoo does: those in the values of variables too."""
    from jinja2.sandbox import SandboxedEnvironment

    environment = SandboxedEnvironment()
    environment.filters["dump"] = json.dumps  # what Nunjucks calls it
    template = cache(environment.from_string)

    def fill(prompt: str, variables: Mapping[str, Any]) -> str:
        text = template(prompt).render(variables)
        for _ in range(MAX_DEPTH):
            if len(text) > MAX_TEXT:
                raise ValueError(f"comes to more than {MAX_TEXT:,} characters")
            if "{{" not in text:
                break
            text = environment.from_string(text).render(variables)
        return text

    return fill


def _options(test: object) -> Mapping[str, Any]:
    options = test.get("options") if isinstance(test, Mapping) else None
    return options if isinstance(options, Mapping) else {}


def _as_list(value: object) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]


def _as_messages(text: str) -> str:
    """The text of a prompt that is written as JSON messages; any other as it is."""
    from foretell.assets.readers.core.requests import request_columns

    if not text.lstrip().startswith("["):
        return text
    try:
        told = request_columns({"messages": json.loads(text)})["prompt_text"]
    except (ValueError, TypeError, KeyError, AttributeError):
        return text
    return told if isinstance(told, str) and told else text


def _numbered(rows: list[dict[str, Any]]) -> pd.DataFrame:
    return pd.DataFrame(rows).set_axis(pd.RangeIndex(1, len(rows) + 1, name="request"))

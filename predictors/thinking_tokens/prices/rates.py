"""Rates per token of a model, provider, day and service tier: the user's own price file, then `genai-prices`.

The price file is YAML::

    version: 2026-11-01            # any text; becomes part of `price_version`
    models:
      - model: my-finetune         # as it stands in the traces; upper and lower case are one
        provider: my-gateway       # optional: without it, every provider
        from: 2026-03-01           # optional: first UTC day of this price; the newest that has begun counts
        input_usd_per_mtok: 1.75
        output_usd_per_mtok: 14.0
        cache_read_usd_per_mtok: 0.175   # optional, by default the input price
        cache_write_usd_per_mtok: 2.0    # optional, by default the input price
        usd_per_request: 0.0             # optional
        service_tiers: {batch: 0.5}      # optional: factor on every price above
        source: https://example.com/prices
"""

import hashlib
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from ...errors import InvalidInputError
from ...model_names import CLOUD_PREFIX

if TYPE_CHECKING:
    from genai_prices.types import ModelInfo

NEWEST = datetime(9999, 12, 31, 12, tzinfo=UTC)
PROBE = 1_000_000
PROVIDERS = {"gemini": "google", "models": "google", "vertex_ai": "google", "bedrock": "aws", "xai": "x-ai"}
"""What gateways write before a model's name -> the provider whose prices hold."""


@dataclass(frozen=True)
class Rates:
    """What one request costs: the bracket of the largest `above` that its input exceeds counts for all of it.

    A bracket is `above` in input tokens, USD per request, and USD per token of input, cache read, cache write, output
    and reasoning.
    """

    brackets: tuple[tuple[float, ...], ...]
    version: str

    def as_array(self, input_tokens: np.ndarray) -> np.ndarray:
        """Rates of each request, a bracket without `above`; shape (n_samples, 6)."""
        table = np.array(self.brackets)
        return np.asarray(table[np.searchsorted(table[1:, 0], input_tokens, side="left"), 1:])


class PricedModel(BaseModel):
    """One entry of a price file."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    model: str = Field(min_length=1)
    provider: str | None = None
    starts: date = Field(default=date.min, alias="from")
    input_usd_per_mtok: float = Field(ge=0, allow_inf_nan=False)
    output_usd_per_mtok: float = Field(ge=0, allow_inf_nan=False)
    cache_read_usd_per_mtok: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    cache_write_usd_per_mtok: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    usd_per_request: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    service_tiers: dict[str, float] = Field(default_factory=dict)
    source: str | None = None


class PriceFile(BaseModel):
    """A user's own prices."""

    model_config = ConfigDict(extra="forbid")

    version: Annotated[str, BeforeValidator(str)]
    models: list[PricedModel]
    digest: str = ""

    def rates(self, model: str, provider: str | None, day: date, tier: str | None) -> Rates | None:
        """Rates of the newest entry that fits, one that names the provider before one that does not."""
        fits = [
            entry
            for entry in self.models
            if entry.model.lower() == model.lower()
            and entry.starts <= day
            and (entry.provider is None or entry.provider.lower() == (provider or "").lower())
        ]
        if not fits:
            return None
        entry = max(fits, key=lambda entry: (entry.provider is not None, entry.starts))
        factor = entry.service_tiers.get(tier or "", 1.0)
        usd = entry.input_usd_per_mtok
        read = usd if entry.cache_read_usd_per_mtok is None else entry.cache_read_usd_per_mtok
        write = usd if entry.cache_write_usd_per_mtok is None else entry.cache_write_usd_per_mtok
        per_mtok = (usd, read, write, entry.output_usd_per_mtok, entry.output_usd_per_mtok)
        bracket = (0.0, factor * entry.usd_per_request, *(factor * price / PROBE for price in per_mtok))
        return Rates((bracket,), f"file:{self.version}@{self.digest}")


def read_price_file(path: Path) -> PriceFile:
    """Read and check a price file.

    Raises InvalidInputError naming the file and the key, if it is unreadable, not YAML, or breaks the form above.
    """
    import yaml

    try:
        raw = path.read_bytes()
        content = yaml.safe_load(raw.decode("utf-8"))
    except OSError as error:
        raise InvalidInputError(f"{path}: cannot be read ({error.strerror})") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InvalidInputError(f"{path}: is not YAML ({str(error).splitlines()[0]})") from None
    if not isinstance(content, dict):
        raise InvalidInputError(f"{path}: must hold the keys `version` and `models`, got {type(content).__name__}")
    try:
        prices = PriceFile.model_validate(content)
    except ValidationError as error:
        faults = [f"`{'.'.join(map(str, e['loc']))}`: {e['msg']} (saw {e['input']!r})" for e in error.errors()[:5]]
        raise InvalidInputError(f"{path}: {'; '.join(faults)}") from None
    return prices.model_copy(update={"digest": hashlib.sha256(raw).hexdigest()[:8]})


@lru_cache(maxsize=1_000)
def published_rates(model: str, provider: str | None, tier: str | None) -> Callable[[datetime], Rates | None]:
    """Rates that `genai-prices` knows for a model, by the UTC time of the request; None where it knows none.

    An unknown provider is not guessed around: the same model costs different sums elsewhere. A provider that stands
    before the name (``openai/gpt-5``) is taken at its word.
    """
    listed_model = _find_model(model, provider)
    if listed_model is None or not listed_model.prices:
        return _unpriced
    # By entry of the list: names are many (a fine-tune has one of its own), and solving is forty times as dear.
    key = id(listed_model), tier
    if key not in _made:
        if len(_made) >= MOST_MADE:
            _made.clear()
        _made[key] = listed_model, _rates_of(listed_model, tier)
    return _made[key][1]


_made: dict[tuple[int, str | None], tuple["ModelInfo", Callable[[datetime], Rates | None]]] = {}
"""Rates by entry and tier; the entry is held, so that its id stays its own."""
MOST_MADE = 10_000
"""The list has fewer entries, but tiers are what requests say."""


def _unpriced(time: datetime) -> None:
    """Rates of a model that is not in the list."""


def _rates_of(listed_model: "ModelInfo", tier: str | None) -> Callable[[datetime], Rates | None]:
    import genai_prices
    from genai_prices.types import TimeOfDateConstraint

    context = _context(tier)
    version = f"genai-prices {genai_prices.__version__}"
    listed = listed_model.prices if isinstance(listed_model.prices, list) else []
    variants = [c.constraint for c in [*listed, *(listed_model.price_variants or ())]]
    by_time_of_day = any(isinstance(constraint, TimeOfDateConstraint) for constraint in variants)
    solved: dict[object, Rates | None] = {}

    def rates_at(time: datetime) -> Rates | None:
        key = time if by_time_of_day else time.astimezone(UTC).date()
        if key not in solved:
            price = listed_model.get_prices(time, context)
            is_priced = any(amount is not None for amount in vars(price).values())
            solved[key] = Rates(_solve(price), version) if is_priced else None
        return solved[key]

    return rates_at


def _find_model(model: str, provider: str | None) -> "ModelInfo | None":
    """The entry of `genai-prices` for a model, whose name may begin with its provider (``openai/gpt-5``)."""
    from genai_prices.data_snapshot import get_snapshot

    prefix, _, rest = model.partition("/")
    spellings = [(model, provider)]
    if provider is None and rest:
        spellings.append((rest, PROVIDERS.get(prefix.lower(), prefix.lower())))
    if provider is None and CLOUD_PREFIX.match(model.lower()):
        spellings.append((model, "aws"))
    for name, seller in spellings:
        with suppress(LookupError):
            return get_snapshot().find_provider_model(name, None, seller, None)[1]
    return None


def _context(tier: str | None) -> dict[str, str] | None:
    if tier is None or tier in ("", "auto", "standard"):
        return None
    return {"processing": "batch"} if tier == "batch" else {"service_tier": tier}


def _solve(price: Any) -> tuple[tuple[float, ...], ...]:
    """Rates per token in each bracket of input length, by pricing requests that differ in one count."""
    from genai_prices import Usage
    from genai_prices.types import TieredPrices

    starts = {tier.start for p in vars(price).values() if isinstance(p, TieredPrices) for tier in p.tiers}
    bounds = sorted({0, *starts})

    def total(input_tokens: int, output_tokens: int = 0, **counts: int) -> Decimal:
        usage = Usage(input_tokens=input_tokens, output_tokens=output_tokens, **counts)
        return Decimal(price.calc_price(usage)["total_price"])

    brackets = []
    for above, n in zip(bounds, [*bounds[1:], bounds[-1] + PROBE], strict=True):
        request, plain = total(0), total(n)
        inputs = (plain, total(n, cache_read_tokens=n), total(n, cache_write_tokens=n))
        outputs = (total(n, PROBE), total(n, PROBE, output_reasoning_tokens=PROBE))
        rates = (request, *((usd - request) / n for usd in inputs), *((usd - plain) / PROBE for usd in outputs))
        brackets.append((float(above), *map(float, rates)))
    return tuple(brackets)

"""Two hundred files that were made to break whatever reads them, the same for the same seed."""

from __future__ import annotations

import copy
import gzip
import json
import random
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa

from tests.assets.every_format import (
    LINES,
    as_csv,
    as_document,
    as_eval,
    as_parquet,
    jsonl,
    reversal,
    sample,
)
from tests.assets.json_mutations import paths_within, replaced

NEIGHBOURS = 2
"""Good records beside the hostile ones of a file whose name begins with ``mixed``: they must be read."""

MOMENT = 1_795_315_000_000_000
ODD: tuple[Any, ...] = (
    None, True, -5, 0, 2**70, -(2**63), 1e308, float("nan"), float("inf"), "", "x" * 5000, "\x00", "\ud800", "٣",
    "9" * 5000, [], [1], [[1]], [None], {}, {"": 1}, {"a": {"b": []}}, [[], {}], "2026-13-45T99:99", "[/red]", "../..",
)  # fmt: skip
DEPTHS = (130, 253, 254, 900, 5_000, 100_000)


def small_files(seed: int = 0) -> Iterator[tuple[str, bytes]]:
    """Names and contents of all files that are small when unpacked too."""
    rng = random.Random(seed)
    yield from _mixed(rng)
    yield from _deep()
    yield from _named_faults()
    yield from _odd_tables()
    yield from _damaged(rng)
    yield from _random_bytes(rng)


def bombs() -> Iterator[tuple[str, bytes]]:
    """Names and contents of files that are large only when unpacked."""
    text = "x" * (1 << 20)
    shared = {"model": ["m"] * 600, "output_tokens": list(range(600)), "prompt": pa.array([text] * 600)}
    yield "bomb-repeated-text.parquet", as_parquet(shared, compression="zstd")
    plain = {"model": ["m"] * 400, "output_tokens": list(range(400)), "prompt": pa.array([text] * 400)}
    yield "bomb-plain-text.parquet", as_parquet(plain, compression="zstd", use_dictionary=False)
    n_rows = 1_200_000
    ones = {"model": pa.DictionaryArray.from_arrays(pa.array(np.zeros(n_rows, np.int8)), ["m"]),
            "output_tokens": pa.array(np.ones(n_rows, np.int8))}  # fmt: skip
    yield "bomb-rows.parquet", as_parquet(ones, compression="zstd")
    yield "bomb-zeros.jsonl.gz", gzip.compress(b"\0" * (1 << 26), 1) * 8
    yield "bomb-line.jsonl.gz", _lines_around(b'{"x": "' + b"y" * (100 << 20) + b'"}')
    yield "bomb-lists.jsonl.gz", _lines_around(b'{"x": [' + b"[]," * (20 << 20) + b"[]]}")
    document = b'{"model_name":1,"dataset_name":1,"split":1,"records":[' + b" " * (300 << 20)
    yield "bomb-document.json.gz", gzip.compress(document, 1)
    yield "bomb-csv-line.csv.gz", gzip.compress(b"model,output_tokens\nm,1\n" + b"z" * (100 << 20) + b"\nm,2\n", 1)
    yield "bomb-csv-columns.csv.gz", gzip.compress(b"model,output_tokens" + b"," * (32 << 20) + b"\nm,1\n", 1)
    yield "bomb-member.eval", as_eval([sample(1), b"[" + b" " * (150 << 20) + b"]", sample(2)])


def _lines_around(line: bytes) -> bytes:
    good = [json.dumps(LINES["openai_jsonl"](i)).encode() for i in (1, 2)]
    return gzip.compress(b"\n".join([good[0], line, good[1], b""]), 1)


def _mixed(rng: random.Random) -> Iterator[tuple[str, bytes]]:
    """A record with something else in one place, between two good ones."""
    for name, maker in LINES.items():
        for i in range(6):
            record = copy.deepcopy(maker(1))
            spoilt = replaced(record, rng.choice(list(paths_within(record))), rng.choice(ODD))
            yield f"mixed-{name}-{i}.jsonl", jsonl([maker(2), json.dumps(spoilt), maker(3)])
    for i in range(6):
        record = json.loads(sample(1))
        spoilt = replaced(record, rng.choice(list(paths_within(record))), rng.choice(ODD))
        yield f"mixed-inspect-{i}.eval", as_eval([sample(2), json.dumps(spoilt).encode(), sample(3)])
        record = reversal(1)
        spoilt = replaced(record, rng.choice(list(paths_within(record))[1:]), rng.choice(ODD))
        yield f"mixed-reversal-{i}.json", as_document([reversal(2), spoilt, reversal(3)])


def _deep() -> Iterator[tuple[str, bytes]]:
    """Nesting in a prompt, in an unknown key, in JSON within JSON, in a sample."""
    for depth in DEPTHS:
        nest = "[" * depth + "]" * depth
        for name in ("openai_jsonl", "anthropic", "litellm", "langfuse"):
            line = json.dumps(LINES[name](1))
            spoilt = line[:-1] + f', "x": {nest}, "messages": {nest}}}'
            yield f"mixed-deep-{name}-{depth}.jsonl", jsonl([LINES[name](2), spoilt, LINES[name](3)])
        prompt = {"key": "gen_ai.input.messages", "value": {"stringValue": '[{"content":' * depth + "1" + "}]" * depth}}
        span = copy.deepcopy(LINES["otlp_json"](1))
        span["resourceSpans"][0]["scopeSpans"][0]["spans"][0]["attributes"].append(prompt)
        yield f"mixed-deep-otlp-{depth}.jsonl", jsonl([LINES["otlp_json"](2), span, LINES["otlp_json"](3)])
        spoilt_sample = sample(1)[:-1] + f', "x": {nest}}}'.encode()
        yield f"mixed-deep-inspect-{depth}.eval", as_eval([sample(2), spoilt_sample, sample(3)])


def _named_faults() -> Iterator[tuple[str, bytes]]:
    """What was met: each of these once ended a whole delivery, or vanished."""
    chat, observation, call, otlp = (LINES[n] for n in ("openai_jsonl", "langfuse", "litellm", "otlp_json"))
    events = json.dumps({**json.loads(sample(1)), "events": 5}).encode()
    yield "mixed-events.eval", as_eval([sample(2), events, sample(3)])
    for i, parts in enumerate(([1], [[1, 2]], [["a", 1]], 5, "[1]")):
        spoilt = {**observation(1), "usage_details": parts}
        yield f"mixed-usage-{i}.jsonl", jsonl([observation(2), spoilt, observation(3)])
    for i, tags in enumerate((5, {"a": 1}, [5, None], "replicate:1")):
        yield f"mixed-tags-{i}.jsonl", jsonl([call(2), {**call(1), "request_tags": tags}, call(3)])
    for i, resources in enumerate((5, {"scopeSpans": []}, None, "x", [5], [{"scopeSpans": 5}])):
        yield f"mixed-resources-{i}.jsonl", jsonl([otlp(2), {"resourceSpans": resources}, otlp(3)])
    lines = jsonl([chat(1), chat(2)])
    yield "mixed-bom.jsonl", b"\xef\xbb\xbf" + lines
    yield "mixed-cr.jsonl", lines.replace(b"\n", b"\r\n")
    yield "utf16.jsonl", lines.decode().encode("utf-16")
    yield "latin1.csv", as_csv([LINES["tabular"](1)]).replace(b"q1", b"\xe9t\xe9")
    yield "empty.jsonl", b""
    yield "newlines.jsonl", b"\n" * 5000
    yield "bom.jsonl", b"\xef\xbb\xbf"
    yield "brace.jsonl", b"{"
    yield "nul.jsonl", b"\0" * 99
    yield "quote.csv", as_csv([LINES["tabular"](1)]) + b'm,1,"never closed\n' + b"x\n" * 5000
    yield "fields.csv", b"model,output_tokens\n" + b"m,1,2,3\n" * 9 + b"m\n" * 9
    yield "batch-input.jsonl", jsonl([{"custom_id": f"q{i}", "body": {"model": "m"}} for i in range(9)])


def _odd_tables() -> Iterator[tuple[str, bytes]]:
    """Parquet with values that Python has no word for."""
    base = {"model": ["m"] * 3, "output_tokens": [1, 2, 3], "request_id": ["a", "b", "c"]}
    columns = {
        "zone": pa.array([MOMENT] * 3, pa.timestamp("us", "Mars/Olympus_Mons")),
        "far": pa.array([MOMENT, 2**62, -(2**62)], pa.timestamp("us")),
        "far-zone": pa.array([MOMENT, 2**62, -(2**62)], pa.timestamp("us", "UTC")),
        "nanoseconds": pa.array([MOMENT * 1000, 2**63 - 1, -(2**63)], pa.timestamp("ns")),
        "days": pa.array([20_000, 2**31 - 1, -(2**31)], pa.date32()),
        "decimal": pa.array([1, 2, None], pa.decimal128(20, 3)),
        "binary": pa.array([b"\xff", b"", None]),
        "nested": pa.array([[[1]], [[]], None]),
        "map": pa.array([[("a", 1)], [], None], pa.map_(pa.string(), pa.int64())),
        "durations": pa.array([1, 2**62, None], pa.duration("s")),
    }
    for name, values in columns.items():
        for column in ("started_at", "prompt", "temperature"):
            yield f"table-{name}-{column}.parquet", as_parquet({**base, column: values})
    yield "table-no-rows.parquet", as_parquet({key: values[:0] for key, values in base.items()})
    yield "table-counts.parquet", as_parquet({**base, "output_tokens": [1.5, float("nan"), float("inf")]})


def _damaged(rng: random.Random) -> Iterator[tuple[str, bytes]]:
    """Files cut or flipped at a random place."""
    rows = [LINES["tabular"](i) for i in range(50)]
    wholes = {
        "log.eval": as_eval([sample(i) for i in range(9)]),
        "table.parquet": as_parquet({key: [row[key] for row in rows] for key in rows[0]}),
        "lines.jsonl.gz": gzip.compress(jsonl([LINES["openai_jsonl"](i) for i in range(50)])),
        "lines.jsonl.zst": pa.compress(jsonl([LINES["openai_jsonl"](i) for i in range(50)]), "zstd", asbytes=True),
    }
    for name, whole in wholes.items():
        for i in range(3):
            at = rng.randrange(len(whole))
            yield f"cut-{i}-{name}", whole[:at]
            flipped = bytearray(whole)
            flipped[at] ^= 1 << rng.randrange(8)
            yield f"flipped-{i}-{name}", bytes(flipped)


def _random_bytes(rng: random.Random) -> Iterator[tuple[str, bytes]]:
    heads = (
        b"",
        b"{",
        b'{"usage":',
        b'{"resourceSpans":',
        b"PK\x03\x04",
        b"PAR1",
        b"\x1f\x8b\x08",
        b"\x28\xb5\x2f\xfd",
    )
    for i, head in enumerate(heads):
        yield f"random-{i}.jsonl", head + rng.randbytes(2000)

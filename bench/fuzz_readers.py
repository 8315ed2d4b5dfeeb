"""Fuzz the readers for a time: raw bytes with coverage (atheris), or structured corruption (hypothesis).

The properties are those of `tests.assets.readers.core.test_fuzz_readers` and `...fast.test_fast_columns`: nothing
raises, nothing hangs, every record is a row or a reject, and what is read by column is what is read record
by record. Prints the number of inputs; a finding ends it with a traceback and the input::

    python bench/fuzz_readers.py bytes --seconds 600        # needs: pip install atheris
    python bench/fuzz_readers.py structured --seconds 600
"""

from __future__ import annotations

import argparse
import gzip
import json
import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
MAX_BYTES = 4096
MAX_SECONDS_OF_ONE = 20
MAX_MIB = 1500


def seeds() -> list[bytes]:
    """One small file of every shape that the tests know, plain and compressed."""
    import pyarrow as pa

    from tests.assets.readers.core.test_fuzz_readers import MAKERS
    from tests.assets.readers.fast.test_fast_columns import SHAPES

    shapes = [*MAKERS.values(), *(shape for shapes in SHAPES.values() for shape in shapes)]
    texts = [b"\n".join(json.dumps(shape(i)).encode() for i in range(2)) for shape in shapes]
    table = b"model,output_tokens,input_tokens\ngpt-5,12,3\ngpt-5,x,3\n"
    packed = [gzip.compress(texts[0]), pa.compress(texts[0], "zstd", asbytes=True)]
    return [bytes([i % 256]) + text for i, text in enumerate([*texts, table, *packed])]


def fuzz_bytes(seconds: int, folder: Path) -> None:
    """Mutate raw bytes; the first byte chooses the reader."""
    import atheris  # type: ignore[import-not-found, unused-ignore]

    with atheris.instrument_imports(include=["foretell.assets.readers"]):
        from foretell.assets.readers.core.records import ReadOptions
        from foretell.assets.readers.reading import READERS, detect, is_trace_format, read_traces
    from tests.assets.readers.fast.test_fast_columns import BY_COLUMN, assert_same

    names = sorted(filter(is_trace_format, READERS))
    file = folder / "input"
    corpus = folder / "corpus"
    corpus.mkdir()
    for i, seed in enumerate(seeds()):
        (corpus / f"seed-{i:03}").write_bytes(seed)

    def one(data: bytes) -> None:
        if not data:
            return
        file.write_bytes(data[1:])
        detect(file)
        name = names[data[0] % len(names)]
        read = read_traces(file, name, options=ReadOptions(date="2026-01-01"))
        assert read.n_read == len(read.rows) + len(read.rejects)
        if name in BY_COLUMN:
            assert_same(file, name)

    flags = [f"-max_total_time={seconds}", f"-max_len={MAX_BYTES}", f"-timeout={MAX_SECONDS_OF_ONE}"]
    atheris.Setup([sys.argv[0], *flags, f"-rss_limit_mb={MAX_MIB}", "-print_final_stats=1", str(corpus)], one)
    atheris.Fuzz()


def fuzz_structured(seconds: int, folder: Path) -> None:
    """Corrupt values, keys and types of whole records, batch after batch of examples with a seed of its own."""
    from hypothesis import given, seed, settings
    from hypothesis import strategies as st

    from tests.assets.readers.core.test_fuzz_readers import MAKERS, check_one_corrupted
    from tests.assets.readers.fast.test_fast_columns import SHAPES, check_corrupted

    n_done = 0

    def corrupted(data: Any) -> None:
        nonlocal n_done
        n_done += 1
        check_one_corrupted(folder, data.draw(st.sampled_from(sorted(MAKERS))), data)
        check_corrupted(folder, data, data.draw(st.sampled_from(sorted(SHAPES))))

    end = time.monotonic() + seconds
    n_seeds = 0
    while time.monotonic() < end:
        run = settings(max_examples=100, deadline=None, database=None)(given(data=st.data())(corrupted))
        seed(n_seeds)(run)()
        n_seeds += 1
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
    print(json.dumps({"inputs": n_done, "seeds": n_seeds, "seconds": seconds, "peak_mib": peak}), flush=True)


def main() -> None:
    """Command line; see the module's docstring."""
    parser = argparse.ArgumentParser(description="Fuzz the readers for a time.")
    parser.add_argument("how", choices=["bytes", "structured"])
    parser.add_argument("--seconds", type=int, default=600)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        (fuzz_bytes if args.how == "bytes" else fuzz_structured)(args.seconds, Path(folder))


if __name__ == "__main__":
    main()

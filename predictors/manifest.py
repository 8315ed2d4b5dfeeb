"""The manifest of a saved predictor: what it is, and a checksum of every file, verified before any is parsed."""

import hashlib
import json
from pathlib import Path
from typing import Any

from .errors import DatasetError

MANIFEST = "predictor.json"


def write_manifest(folder: Path, content: dict[str, Any]) -> None:
    """Write `content` (JSON) with a checksum of every other file of `folder` and of itself."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path != folder / MANIFEST)
    manifest = {**content, "files": {path.relative_to(folder).as_posix(): _checksum(path) for path in files}}
    manifest["checksum"] = _checksum_of(manifest)
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=1, sort_keys=True) + "\n", "utf-8")


def read_manifest(path: Path | str) -> dict[str, Any]:
    """What a saved predictor says of itself, after its files were found whole; nothing else of it is parsed.

    A parser must not meet damaged bytes: LightGBM ends the whole process on a tree that was cut short. Predictors that
    were saved before there were checksums are taken as they are. Raises DatasetError if there is no manifest, or a file
    is missing or is not what was written.
    """
    folder = Path(path)
    try:
        manifest: dict[str, Any] = json.loads((folder / MANIFEST).read_text("utf-8"))
        manifest["class"].partition(":")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DatasetError(f"{folder}: no predictor here ({error})") from error
    if "files" not in manifest:
        return manifest
    damaged = [name for name, checksum in manifest["files"].items() if _checksum(folder / name) != checksum]
    if _checksum_of(manifest) != manifest.get("checksum"):
        damaged.append(MANIFEST)
    if damaged:
        raise DatasetError(f"{folder}: damaged, {', '.join(sorted(damaged))} is missing or not what was written")
    return manifest


def _checksum(file: Path) -> str | None:
    """SHA-256 of a file; None where it cannot be read."""
    try:
        with file.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError:
        return None


def _checksum_of(manifest: dict[str, Any]) -> str:
    """SHA-256 of what a manifest says, apart from this checksum."""
    # Through JSON and back, as it will be read: there every key is a text, and keys are sorted as texts.
    rest = json.loads(json.dumps({key: value for key, value in manifest.items() if key != "checksum"}))
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()

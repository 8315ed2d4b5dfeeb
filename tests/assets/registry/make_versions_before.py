"""Make versions_before.tar.xz: registered versions as Foretell made them while their code was an MLflow code path.

Run the demo of commit eade536 with FORETELL_HOME set to a folder, then

    python tests/assets/registry/make_versions_before.py FOLDER

packs what consumers load: the newest version of two families, small ones, as MLflow stored them. Only the addresses
of the machine that made them are blanked; MLflow reads none of them.
"""

from __future__ import annotations

import re
import sys
import tarfile
import tempfile
from pathlib import Path
from shutil import copytree, ignore_patterns

FAMILIES = ("benchmark_scores", "downstream_scaling")
ADDRESS = re.compile(r"(?m)^(\s*(?:artifact_path|uri|model_code_path): ).*/")


def main(home: Path) -> None:
    """Write the archive beside this file."""
    with tempfile.TemporaryDirectory() as temporary:
        for family in FAMILIES:
            models = (home / "mlflow" / "artifacts" / family / "models").iterdir()
            newest = max(models, key=lambda model: model.stat().st_mtime)
            version = Path(temporary) / family
            copytree(newest / "artifacts", version, ignore=ignore_patterns("__pycache__"))
            (version / "registered_model_meta").unlink(missing_ok=True)
            file = version / "MLmodel"
            file.write_text(ADDRESS.sub(r"\1", file.read_text("utf-8")), "utf-8")
        with tarfile.open(Path(__file__).with_name("versions_before.tar.xz"), "w:xz") as archive:
            archive.add(temporary, arcname=".", filter=_anonymous)


def _anonymous(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.mtime, member.uid, member.gid, member.uname, member.gname = 0, 0, 0, "", ""
    return member


if __name__ == "__main__":
    main(Path(sys.argv[1]))

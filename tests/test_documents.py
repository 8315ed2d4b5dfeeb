"""What README, docs and the files at the root say of this repository is so."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from functools import cache
from pathlib import Path

import yaml

from tests.conftest import ROOT

MADE = ("data/dvc/", "docs/studies/printed/")
"""Folders that are written, not tracked."""
ABSENT = {"mlflow/__init__.py"}
"""What documents name because it must not be there."""
ROOMS = "assets|bench|data|docs|examples|foretell|mlflow|pipelines|predictors|tests"
SUFFIXES = "py|md|yaml|yml|toml|jsonl|gz|parquet|png|service|timer|sql|json|txt"
PATH = re.compile(rf"(?<![\w/.<-])(?:{ROOMS})/[\w./-]*\w\.(?:{SUFFIXES})\b")
NAME = re.compile(r"(?<![\w/.-])foretell\.(?:predictors|assets|pipelines|starter|config)(?:\.\w+)*")
TEST = re.compile(r"`(tests/[\w/]+\.py)::(test_\w+)`")
LINK = re.compile(r"\]\(([^)\s#]+)[^)]*\)")
OLD_IMPORT = re.compile(
    r"^\s*(?:from|import)\s+(?:assets|predictors|pipelines)\b|-m (?:assets|predictors|pipelines)\.", re.M
)
MACHINE = re.compile(r"(?<![A-Za-z0-9_.])/(?:work|farm|root|home/\w+)/")
INDEX = re.compile(r"https?://(?!pypi\.org|download\.pytorch\.org)[^\s\"'/]+/(?:[\w-]+/)*simple\b")


def tracked(*patterns: str) -> list[Path]:
    """Files that are or would be committed; links are left to what they lead to."""
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", *patterns],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    paths = [ROOT / name for name in sorted(set(listed.stdout.splitlines()))]
    return [path for path in paths if path.is_file() and not path.is_symlink()]


def texts(*patterns: str) -> dict[Path, str]:
    return {path: path.read_text("utf-8", "replace") for path in tracked(*patterns)}


@cache
def names_of(module: Path) -> set[str]:
    """Names that a module defines or imports."""
    tree = ast.parse(module.read_text("utf-8"))
    names = {node.name for node in ast.walk(tree) if isinstance(node, ast.ClassDef | ast.FunctionDef)}
    names |= {
        target.id for node in ast.walk(tree) for target in getattr(node, "targets", []) if isinstance(target, ast.Name)
    }
    names |= {
        node.target.id
        for node in ast.walk(tree)
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
    }
    names |= {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    return names


def exists(name: str) -> bool:
    """Whether a dotted name leads to a module, or to something that a module names."""
    place, *rest = name.split(".")
    folder = ROOT / place
    while rest and (folder / rest[0]).is_dir():
        folder /= rest.pop(0)
    is_module = bool(rest) and (folder / f"{rest[0]}.py").is_file()
    module = folder / (f"{rest.pop(0)}.py" if is_module else "__init__.py")
    return not rest or rest[0] in names_of(module)


def test_a_name_that_is_not_there_is_noticed() -> None:
    assert exists("foretell.predictors.base.BasePredictor.fit")
    assert not exists("foretell.predictors.base.Nothing")
    assert not exists("foretell.nowhere")
    assert PATH.findall("see assets/none.py, `bench/x.md` and other/assets/y.py") == ["assets/none.py", "bench/x.md"]


def test_paths_in_documents_exist() -> None:
    missing = {
        f"{file.relative_to(ROOT)}: {path}"
        for file, text in texts("*.md", "Makefile", ".ci/*", "*.yml").items()
        if file.name != "CHANGELOG.md"  # versions of before named what was there then
        for path in PATH.findall(text)
        if not (ROOT / path).exists() and path not in ABSENT and not path.startswith(MADE)
    }
    assert sorted(missing) == []


def test_every_fault_that_was_met_has_its_tests() -> None:
    text = (ROOT / "docs" / "studies" / "faults.md").read_text("utf-8")
    rows = [line for line in text.splitlines() if line.startswith("| ")][1:]
    assert [row for row in rows if not TEST.search(row)] == []
    named = TEST.findall(text)
    gone = [f"{file}::{name}" for file, name in named if f"def {name}(" not in (ROOT / file).read_text("utf-8")]
    assert gone == []


def test_links_in_documents_lead_somewhere() -> None:
    missing = {
        f"{file.relative_to(ROOT)}: {link}"
        for file, text in texts("*.md").items()
        for link in LINK.findall(text)
        if "://" not in link and not link.startswith("mailto:") and not (file.parent / link).exists()
    }
    assert sorted(missing) == []


def test_names_of_this_package_in_documents_exist() -> None:
    missing = {
        f"{file.relative_to(ROOT)}: {name}"
        for file, text in texts("*.md", "*.yaml", "*.yml", "*.toml", "*.service", "Makefile").items()
        if file.name != "CHANGELOG.md"
        for name in NAME.findall(text)
        if not exists(name.removesuffix(".py"))
    }
    assert sorted(missing) == []


def test_everything_is_imported_under_one_name() -> None:
    sources = texts("*.py", "*.md", "*.yaml", "*.yml", "*.toml", "Makefile", ".ci/*", "examples/*")
    makes_homes_of_before = set((ROOT / "tests" / "fixtures").glob("make_former_*.py"))
    found = sorted(file for file, text in sources.items() if OLD_IMPORT.search(text))
    assert [str(file.relative_to(ROOT)) for file in found if file not in makes_homes_of_before] == []


def test_no_path_of_one_machine_and_no_address_of_an_index_is_tracked() -> None:
    binary = {".parquet", ".png", ".gz", ".safetensors", ".zst", ".db"}
    sources = {file: text for file, text in texts().items() if file.suffix not in binary and file != Path(__file__)}
    assert sorted(str(file.relative_to(ROOT)) for file, text in sources.items() if MACHINE.search(text)) == []
    assert sorted(str(file.relative_to(ROOT)) for file, text in sources.items() if INDEX.search(text)) == []


def test_fragments_are_named_for_issue_topic_and_kind() -> None:
    names = [path.name for path in (ROOT / "docs" / "changelog.d").glob("*.md") if path.name != "README.md"]
    pattern = r"\d+(-[a-z0-9-]+)?\.(breaking|added|changed|fixed)\.md"
    assert sorted(name for name in names if not re.fullmatch(pattern, name)) == []


def test_changelog_takes_fragments_in_and_links_still_lead_somewhere(tmp_path: Path) -> None:
    folder = tmp_path / "docs" / "changelog.d"
    folder.mkdir(parents=True)
    (folder / "README.md").write_text("How to write one.\n", "utf-8")
    (folder / "12-one.added.md").write_text("One thing,\nin two lines.\nAnother: [page](../index.md).\n", "utf-8")
    (folder / "3.fixed.md").write_text("- A fault.\n", "utf-8")
    command = [sys.executable, ROOT / ".ci" / "changelog", "9.9.9", "--date", "2030-01-02", "--root", tmp_path]
    subprocess.run(command, check=True, timeout=60)
    log = (tmp_path / "CHANGELOG.md").read_text("utf-8")
    assert "## 9.9.9 (2030-01-02)" in log
    assert "### Added\n\n- One thing,\n  in two lines.\n- Another: [page](docs/index.md).\n" in log
    assert log.index("### Added") < log.index("### Fixed\n\n- A fault.\n")
    assert [path.name for path in folder.iterdir()] == ["README.md"]
    again = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (again.returncode, again.stderr) == (2, "9.9.9 has no fragments in docs/changelog.d\n")
    assert (tmp_path / "CHANGELOG.md").read_text("utf-8") == log


def test_versions_agree() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))
    assert (citation["version"], citation["license"]) == (project["version"], project["license"])
    assert f"## {project['version']} (" in (ROOT / "CHANGELOG.md").read_text("utf-8")


def make_targets() -> set[str]:
    return set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text("utf-8"), re.M))


def test_documents_and_ci_call_targets_that_make_has() -> None:
    called = {
        f"{file.name}: {target}"
        for file, text in texts("*.md", ".ci/*", "*.yml", "*.py").items()
        if file.name != "CHANGELOG.md" and file != Path(__file__)
        for line in re.findall(r"(?:`|^ +|- run: |^step )make((?: [a-z][a-z-]*)+)(?=[ `\n])", text, re.M)
        for target in line.split()
        if target not in make_targets()
    }
    assert sorted(called) == []


def test_workflow_and_local_ci_run_the_same_commands() -> None:
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text("utf-8"))
    runs = {step["run"] for job in workflow["jobs"].values() for step in job["steps"] if "run" in step}
    local = set(re.findall(r"^step (.*)$", (ROOT / ".ci" / "run").read_text("utf-8"), re.M)) - {"make venv"}
    assert runs - {"make docs"} == local, "the slow test tests/test_site.py makes the site in both"
    versions = workflow["jobs"]["fast"]["strategy"]["matrix"]["python-version"]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    claimed = {name.rsplit(" ", 1)[-1] for name in project["classifiers"] if re.search(r":: 3\.\d+$", name)}
    assert claimed <= set(versions)


def test_image_gets_what_the_package_is_built_from() -> None:
    kept = {line[1:] for line in (ROOT / ".dockerignore").read_text("utf-8").splitlines() if line.startswith("!")}
    links = {path.resolve().relative_to(ROOT) for path in (ROOT / "foretell").iterdir() if path.is_symlink()}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert {*map(str, links), "foretell", "pyproject.toml", project["readme"], *project["license-files"]} <= kept
    recipe = (ROOT / "Dockerfile").read_text("utf-8")
    assert "libgomp1" in recipe
    (extras,) = re.findall(r'"\.\[([\w,]+)\]"', recipe)
    assert set(extras.split(",")) <= set(project["optional-dependencies"])


def test_hooks_run_the_tools_of_this_environment() -> None:
    (repo,) = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text("utf-8"))["repos"]
    for hook in repo["hooks"]:
        tool = hook["entry"].split()[0]
        assert tool.startswith(".venv/bin/")
        assert (Path(sys.executable).parent / Path(tool).name).exists(), tool

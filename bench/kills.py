"""SIGKILL at random moments of retrain, promote and rollback: is the installation whole after each?

    python bench/kills.py --kills 50

Every round changes the bundled data a little, starts a command of a user, kills its process group after a random time
and then looks at what it left: every table can be read, the champion (if there is one) loads and answers, every alias
names a version that exists. In the end one undisturbed retrain must succeed, and `foretell doctor` must find nothing.
Prints one row per command: kills, of these before the command had ended, and how often something was not whole.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import pandas as pd

from foretell.pipelines.settings import Settings

FAMILY = "downstream_scaling"
COMMANDS = ("retrain", "promote", "rollback")
LATEST = 1.1
"""Times the time that a command takes undisturbed: until then it is killed."""


def main() -> None:
    """Run the study; exit code 1 if an installation was not whole."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    rng = random.Random(args.seed)
    rows = {command: Counter() for command in COMMANDS}
    with tempfile.TemporaryDirectory() as folder:
        home, starter = Path(folder) / "home", Path(folder) / "starter"
        shutil.copytree(Settings().starter, starter)
        environment = {**os.environ, "FORETELL_HOME": str(home), "FORETELL_STARTER": str(starter)}
        why, takes = ["--why", "a drill"], {}
        for number in range(2):
            change(starter, number)
            takes["retrain"] = check_call(["retrain", FAMILY], environment)
        takes["promote"] = check_call(["promote", FAMILY, "2", "--force", *why], environment)
        takes["rollback"] = check_call(["rollback", FAMILY, *why], environment)
        for number in range(args.kills):
            change(starter, 2 + number)
            command = rng.choice(COMMANDS)
            versions = [version.version for version in registry_of(home).family(FAMILY).versions]
            promote = [FAMILY, str(rng.choice(versions)), "--force", *why]
            words = {"retrain": [FAMILY], "promote": promote, "rollback": [FAMILY, *why]}[command]
            was_running = kill_after(rng.uniform(0.2, LATEST * takes[command]), [command, *words], environment)
            rows[command]["kills"] += 1
            rows[command]["while running"] += was_running
            problems = look_at(home)
            rows[command]["not whole"] += bool(problems)
            for problem in problems:
                sys.stderr.write(f"kill {number} of {command}: {problem}\n")
        check_call(["retrain", FAMILY], environment)
        check_call(["doctor"], environment)
    table = pd.DataFrame(rows).T.reindex(columns=["kills", "while running", "not whole"]).fillna(0).astype(int)
    print(f"{args.kills} kills with SIGKILL, seed {args.seed}; afterwards retrain and doctor ended with 0\n\n{table}")
    sys.exit(1 if table["not whole"].sum() else 0)


def change(starter: Path, number: int) -> None:
    """Other data: the next retrain fits anew."""
    (starter / "README.md").write_text(f"state {number}\n", "utf-8")


def check_call(arguments: list[str], environment: dict[str, str]) -> float:
    """Run a command to its end; it must succeed. Returns its seconds."""
    started = time.monotonic()
    done = subprocess.run(line(arguments), env=environment, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"foretell {' '.join(arguments)} ended with {done.returncode}:\n{done.stderr[-2000:]}")
    return time.monotonic() - started


def line(arguments: list[str]) -> list[str]:
    """The command line."""
    return [sys.executable, "-m", "foretell.pipelines.cli.app", *arguments]


def kill_after(seconds: float, arguments: list[str], environment: dict[str, str]) -> bool:
    """Start a command and kill it with all its children; whether it was still running."""
    process = subprocess.Popen(
        line(arguments), env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    time.sleep(seconds)
    was_running = process.poll() is None
    if was_running:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    return was_running


def registry_of(home: Path):
    """The registry of the home."""
    return Settings(home=home).open_registry()


def look_at(home: Path) -> list[str]:
    """What is not whole, a sentence each."""
    problems = []
    for file in sorted((home / "lake").rglob("*.parquet")):
        try:
            pd.read_parquet(file)
        except (OSError, ValueError) as error:
            problems.append(f"{file.relative_to(home)}: {error}")
    registry = registry_of(home)
    champion = registry.champion(FAMILY)
    if champion is None:
        problems.append("no champion any more")
    else:
        registry.load(champion)
    existing = {str(version.version) for version in registry.family(FAMILY).versions}
    aliases = registry.client().get_registered_model(FAMILY).aliases
    problems += [
        f"alias {name} names version {of}, which is gone" for name, of in aliases.items() if str(of) not in existing
    ]
    return problems


if __name__ == "__main__":
    main()

"""Record a terminal for README: runs a command as a shell does and draws what it shows as SVG.

    python bench/terminal.py                                       # docs/img/quote.svg, the picture of README
    python bench/terminal.py --out other.svg -- foretell report token-noise --dataset starter

The command runs in an empty home, at a terminal of 104 columns; what is drawn is what it printed, line by line. The
drawing names no font of the net.
"""

from __future__ import annotations

import argparse
import io
import os
import pty
import re
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.text import Text

ROOT = Path(__file__).parents[1]
COLUMNS = 104
QUOTE = ["foretell", "quote", "examples/promptfoo/promptfooconfig.yaml", "--budget", "0.50"]


def main() -> None:
    """Record the command and write the drawing."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "img" / "quote.svg")
    parser.add_argument("command", nargs="*", default=QUOTE)
    args = parser.parse_args()
    args.out.write_text(drawn(args.command, shown(args.command)), "utf-8")
    print(args.out)


def shown(command: list[str]) -> str:
    """What a command shows at a terminal, standard error among it, with the colours of the terminal."""
    run = [sys.executable, "-m", "foretell.pipelines.cli.app", *command[1:]] if command[0] == "foretell" else command
    with tempfile.TemporaryDirectory() as home:
        size = {"COLUMNS": str(COLUMNS), "LINES": "60", "TERM": "xterm-256color"}
        ours, theirs = pty.openpty()
        program = subprocess.Popen(run, cwd=ROOT, env={**os.environ, **size, "FORETELL_HOME": home},
                                   stdin=subprocess.DEVNULL, stdout=theirs, stderr=theirs)  # fmt: skip
        os.close(theirs)
        read = bytearray()
        while True:
            try:
                some = os.read(ours, 65536)
            except OSError:  # Linux says so where the other end is closed
                break
            if not some:
                break
            read += some
        os.close(ours)
    if program.wait():
        raise SystemExit(f"{shlex.join(command)} ended with {program.returncode}:\n{read.decode('utf-8', 'replace')}")
    return read.decode("utf-8").replace("\r\n", "\n")


def drawn(command: list[str], text: str) -> str:
    """The command and what it showed as SVG; a progress line that was written over is not there."""
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True, color_system="truecolor")
    console.print(Text(f"$ {shlex.join(command)}", style="bold"), soft_wrap=False)
    lines = [line.rsplit("\r", 1)[-1] for line in text.rstrip("\n").split("\n")]
    console.print(Text.from_ansi("\n".join(lines)))
    svg = console.export_svg(title=shlex.join(command[:2]), unique_id="terminal")
    return re.sub(r"\s*@font-face \{.*?\}\n", "\n", svg, flags=re.S).replace("Fira Code", "DejaVu Sans Mono")


if __name__ == "__main__":
    main()

"""The real LiteLLM proxy with five lines of configuration: calls come to the lake, one is refused by its forecast.

    python bench/litellm_proxy.py                                  # makes an environment of its own: litellm, our core
    python bench/litellm_proxy.py --python ENVIRONMENT/bin/python  # one that is there

Starts the proxy with a model that answers by itself after three seconds, and sends calls at once: those are refused
whose 95 % quantiles do not fit into the day's budget beside the others'. Ingests the spool into an empty home with the
environment that runs this script, curates the day and adds up what was spent. Prints what was served, refused and
landed, how long a call took, and who is to pay.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import tomllib
import urllib.error
import urllib.request
import venv
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

CONFIG = """model_list:
  - model_name: gpt-5-mini
    litellm_params:
      {model: openai/gpt-5-mini, api_key: none, mock_delay: 3, mock_response: "It was sent on Monday and comes today."}
litellm_settings:
  callbacks: foretell.integrations.litellm.proxy
"""
CURATE = """
from foretell.assets.lake.landing.manifests import read_manifests
from foretell.assets.lake.traces.bulk_curation import curate_landed_days
from foretell.pipelines.settings import Settings

settings = Settings()
days = sorted({day for manifest in read_manifests(settings.landing) for day in manifest["days"]})
curate_landed_days(days, settings.landing, settings.home / "lake", settings.price_file)
"""
"""What the night does first."""
ROOT = Path(__file__).parents[1]
CALLS = 16
KEY = "sk-" + "0123456789abcdef" * 4
"""Of the proxy itself, which starts without none; it lives as long as this script."""


def main() -> None:
    """Run it; exit code 1 if something did not hold."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--python", type=Path, help="has litellm[proxy] and what foretell depends on")
    parser.add_argument("--budget", type=float, default=0.05, help="USD of a day")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        python = args.python or new_environment(Path(folder) / "environment")
        home = Path(folder) / "home"
        (Path(folder) / "config.yaml").write_text(CONFIG, "utf-8")
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        environment = {**os.environ, "FORETELL_HOME": str(home), "FORETELL_DAILY_BUDGET_USD": str(args.budget)}
        environment |= {"LITELLM_MASTER_KEY": KEY, "PYTHONPATH": str(ROOT)}
        command = [
            str(python.parent / "litellm"),
            "--config",
            "config.yaml",
            "--host",
            "127.0.0.1",
            "--port",
            str(port),
        ]
        log = (Path(folder) / "proxy.log").open("wb")
        proxy = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log, start_new_session=True)
        try:
            wait_until_open(proxy, port, Path(log.name))
            with ThreadPoolExecutor(CALLS) as pool:  # at once: what runs is reserved
                answers = list(pool.map(lambda number: ask(port, number), range(CALLS)))
        finally:
            if proxy.poll() is None:
                os.killpg(proxy.pid, signal.SIGINT)
                try:
                    proxy.wait(30)
                except subprocess.TimeoutExpired:
                    os.killpg(proxy.pid, signal.SIGKILL)
        served = [seconds for status, seconds, _ in answers if status == 200]
        refused = [text for status, _, text in answers if status != 200]
        if not served:
            raise SystemExit(f"no call was served: {answers[0][2][:2000]}")
        foretell = [sys.executable, "-m", "foretell.pipelines.cli.app"]
        ingest = subprocess.run(
            [*foretell, "ingest", str(home / "spool")], env=environment, capture_output=True, text=True
        )
        subprocess.run([sys.executable, "-c", CURATE], env=environment, check=True)
        report = subprocess.run(
            [*foretell, "report", "spend", "--json"], env=environment, capture_output=True, text=True
        )
        spent = [json.loads(line) for line in report.stdout.splitlines()]
    print(
        f"{len(served)} of {CALLS} calls served, median {1000 * sorted(served)[len(served) // 2]:.0f} ms, "
        f"{len(refused)} refused by forecast of a budget of ${args.budget}"
    )
    print("first refusal:", refused[0][:400] if refused else "none")
    print("ingest:", ingest.stdout.strip().splitlines()[-1] if ingest.stdout.strip() else ingest.stderr[-500:])
    landed = sum(int(line.split(" read")[0].split()[-1]) for line in ingest.stdout.splitlines() if " read, " in line)
    for row in spent:
        print("spend: {project}, key {key}, {model}: {requests} requests, ${usd:.4f}".format(**row))
    in_lake = sum(row["requests"] for row in spent)
    sys.exit(0 if served and refused and landed == in_lake == len(served) else 1)


def new_environment(folder: Path) -> Path:
    """The interpreter of a new environment with the proxy and what foretell's core depends on."""
    venv.create(folder, with_pip=True)
    core = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["dependencies"]
    install = [str(folder / "bin" / "python"), "-m", "pip", "install", "-q", "--disable-pip-version-check"]
    subprocess.run([*install, "litellm[proxy]", *core], check=True)
    return folder / "bin" / "python"


def wait_until_open(proxy: subprocess.Popen[bytes], port: int, log: Path) -> None:
    """Until the proxy answers."""
    for _ in range(240):
        if proxy.poll() is not None:
            break
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/health/liveliness", timeout=2).read()
        except OSError:
            time.sleep(0.5)
        else:
            return
    raise SystemExit(f"the proxy did not start:\n{log.read_text('utf-8', 'replace')[-3000:]}")


def ask(port: int, number: int) -> tuple[int, float, str]:
    """Status, seconds and text of one call."""
    body = {"model": "gpt-5-mini", "messages": [{"role": "user", "content": f"Ticket {number}: where is my order?"}]}
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {KEY}"}
    request = urllib.request.Request(f"http://127.0.0.1:{port}/v1/chat/completions", json.dumps(body).encode(), headers)
    started = time.perf_counter()
    try:
        with urllib.request.urlopen(request, timeout=180) as answer:
            return answer.status, time.perf_counter() - started, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, time.perf_counter() - started, error.read().decode()


if __name__ == "__main__":
    main()

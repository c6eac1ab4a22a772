"""Lambda functions: the size of their bundle, their cold start, and what a batch of records takes.

Run by a Python that has botocore and nothing of ours, as Lambda's is; the store is on DynamoDB Local.
Lambda's own share of a cold start (finding a machine, unpacking the bundle) is not in it.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

import dynamodb_local
import local_aws
from mainstem.aws.bundle import build
from mainstem.dynamodb import create_tables

_ROUNDS = 7
_SCRIPT = """
import json, sys, time
began = time.perf_counter()
import botocore.session
botocore_s = time.perf_counter() - began
began = time.perf_counter()
from mainstem.aws import handlers
import_s = time.perf_counter() - began

def records(first, count):
    def item(number):
        return {
            "StreamId": {"S": f"order-{number}"}, "EventId": {"N": "0"}, "EventName": {"S": "Placed"},
            "Payload": {"S": '{"total": 42}'}, "RecordedAt": {"S": "2026-01-01T00:00:00.000000Z"},
            "CommitId": {"S": "c"},
        }
    return {"Records": [
        {"eventName": "INSERT", "dynamodb": {
            "Keys": {name: item(n)[name] for name in ("StreamId", "EventId")},
            "NewImage": item(n), "SequenceNumber": str(n).zfill(21)}}
        for n in range(first, first + count)
    ]}

first = int(sys.argv[1])
took = []
for count in (1, 1, 100, 1000):
    event = records(first, count)
    first += count
    began = time.perf_counter()
    assert handlers.sequence(event, None) == {"batchItemFailures": []}
    took.append(time.perf_counter() - began)
print(json.dumps({"botocore": botocore_s, "import": import_s, "took": took}))
"""


def report(console: Console) -> None:
    bundle = build()
    console.print(
        f"Bundle for Python 3.14 on arm64: {len(bundle.data):,} bytes, {bundle.unpacked_bytes:,} unpacked, "
        f"{bundle.files} files"
    )
    with tempfile.TemporaryDirectory() as folder, dynamodb_local.running() as server:
        found = _measured(Path(folder), server)
    table = Table(title="The sequencing function, median (least to most)", title_justify="left")
    table.add_column("")
    table.add_column("ms", justify="right")
    for what, milliseconds in found.items():
        least, most = min(milliseconds), max(milliseconds)
        table.add_row(what, f"{statistics.median(milliseconds):.0f} ({least:.0f} to {most:.0f})")
    console.print(table)


def _measured(folder: Path, server: dynamodb_local.Server) -> dict[str, list[float]]:
    version = f"3.{sys.version_info.minor}"
    machine = "x86_64" if os.uname().machine == "x86_64" else "arm64"
    archive = folder / "bundle.zip"
    archive.write_bytes(build(version, machine).data)
    zipfile.ZipFile(archive).extractall(folder / "task")
    os.environ |= dynamodb_local.environment(server)
    url = f"dynamodb://cold?endpoint={server.endpoint}&sequencing=stream"
    create_tables(url)
    environment = {
        **dynamodb_local.environment(server),
        "MAINSTEM_URL": url,
        "PYTHONPATH": str(folder / "task"),
        "PYTHONDONTWRITEBYTECODE": "1",  # Lambda's folder is read-only, so each start compiles
    }
    found: dict[str, list[float]] = {}
    for number in range(_ROUNDS):
        done = subprocess.run(
            [str(local_aws.python()), "-c", _SCRIPT, str(number * 10_000)],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        for what, seconds in _rows(json.loads(done.stdout)).items():
            found.setdefault(what, []).append(seconds * 1000)
    return found


def _rows(told: dict[str, Any]) -> dict[str, float]:
    first, one, hundred, thousand = told["took"]
    return {
        "import botocore, which Lambda brings": told["botocore"],
        "import the handlers": told["import"],
        "first call: open the store, sequence one event": first,
        "warm: one event": one,
        "warm: 100 events, each of a stream of its own": hundred,
        "warm: 1,000 events, each of a stream of its own": thousand,
    }

"""Follows a store until it is killed: `python kill_follower.py URL SUBSCRIPTION`.

Each line of its output is one JSON list: position, stream id, event id, commit id.
"""

from __future__ import annotations

import json
import os
import sys

import mainstem


def main(url: str, name: str) -> None:
    with (
        mainstem.connect(url) as store,
        store.subscribe(name, batch_size=5) as subscription,
    ):
        for event in subscription:
            line = json.dumps([event.position, event.stream_id, event.event_id, event.commit_id])
            os.write(1, line.encode() + b"\n")


if __name__ == "__main__":
    main(*sys.argv[1:])

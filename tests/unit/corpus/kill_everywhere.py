"""Run as a program: kill an ingest at each of its renames and removals, run it again, print what it ended in.

It forks before Arrow has started a thread, so that each victim costs no import.
"""

import hashlib
import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pandas  # noqa: F401 - Arrow imports it when it is first asked for numpy arrays: once here, not in each child
import pyarrow.dataset  # noqa: F401 - and this one for its first filter

from hemometric.corpus import (
    IngestConfig,
    commit,
    ingest_lock,
    load_or_create_key,
    plan_shards,
    prepare_ingest,
    stage_unit,
    write_shard,
)
from hemometric.vendors.guarded import GuardConfig


def ingest(source: Path, out: Path, key_file: Path) -> None:
    config = IngestConfig(unit_recordings=4, guard=GuardConfig(enabled=False))
    with ingest_lock(out):
        plan = prepare_ingest(config, [source], out, load_or_create_key(key_file))
        if plan.finished is None:
            for unit in plan.units:
                stage_unit(plan.context, unit)
            planned = plan_shards(plan)
            commit(plan, planned, [write_shard(plan.context, shard) for shard in planned.shards])


def in_child(work: Callable[[], None]) -> int:
    child = os.fork()
    if child == 0:
        try:
            work()
        finally:
            os._exit(1 if sys.exc_info()[0] else 0)
    return os.waitpid(child, 0)[1]


def die_at(count: int) -> None:
    """SIGKILL this process instead of its rename or removal number `count`."""
    num_calls = 0
    for name in ("replace", "unlink", "rename"):
        original = getattr(os, name)

        def counted(*args: object, original: Callable[..., None] = original, **kwargs: object) -> None:
            nonlocal num_calls
            if num_calls == count:
                os.kill(os.getpid(), signal.SIGKILL)
            num_calls += 1
            original(*args, **kwargs)

        setattr(os, name, counted)


def main(source: Path, folder: Path, key_file: Path) -> None:
    results = []
    os.fsync = lambda _: None  # type: ignore[assignment]  # a killed process loses nothing that the system holds
    os.sync = lambda: None
    for count in range(200):
        out = folder / f"at-{count}"

        def victim(count: int = count, out: Path = out) -> None:
            die_at(count)
            ingest(source, out, key_file)

        def again(out: Path = out) -> None:
            ingest(source, out, key_file)

        killed = os.WIFSIGNALED(in_child(victim))
        half = not (out / "_SUCCESS").exists()
        status = in_child(again)
        files = sorted(str(path.relative_to(out)) for path in out.rglob("*") if path.is_file())
        digests = {name: hashlib.sha256((out / name).read_bytes()).hexdigest() for name in files}
        results.append({"killed": killed, "half": half, "status": status, "files": digests})
        if not killed:
            break
    print(json.dumps(results))


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))

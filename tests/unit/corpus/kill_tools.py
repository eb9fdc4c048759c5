"""Run as a program: kill a compaction, removal, merge or export at each of its renames and deletions, run it again.

Prints what each ended in. See `kill_everywhere`, which does the same to an ingest.
"""

import hashlib
import json
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pandas  # noqa: F401 - Arrow imports it when it is first asked for numpy arrays: once here, not in each child
import pyarrow.dataset  # noqa: F401 - and this one for its first filter
from kill_everywhere import die_at, in_child

from hemometric.corpus import open_corpus
from hemometric.runs import compact, export, merge
from hemometric.runs.export_selection import Selection
from hemometric.runs.remove import remove_recordings

SHARD_BYTES = 1 << 20
IN_PLACE = ("compact", "remove")
STEPS = {"merge": 2, "export-hf": 3}
"""Not each instant of these, but each second or third: what they are made of is killed everywhere by the others."""


def work_of(tool: str, corpora: list[Path], key: Path, out: Path) -> Callable[[], object]:
    """Give what the tool does in `out`, which `prepare` has made."""
    if tool == "compact":
        return lambda: compact.run(compact.CompactRun(corpus=out, shard_bytes=SHARD_BYTES))
    if tool == "remove":
        ids = open_corpus(corpora[0]).table(columns=["recording_id"])["recording_id"].to_pylist()
        return lambda: remove_recordings(out, ids[::3])
    if tool == "merge":
        fields = {"corpora": tuple(corpora), "out": out, "key": key, "shard_bytes": SHARD_BYTES}
        return lambda: merge.run(merge.MergeRun(**fields))
    selection = Selection(columns=("sex",))
    config = export.ExportRun(corpus=corpora[0], out=out, to=tool.removeprefix("export-"), selection=selection)
    return lambda: export.run(config)


def main(tool: str, folder: Path, key: Path, corpora: list[Path]) -> None:
    results = []
    os.fsync = lambda _: None  # type: ignore[assignment]  # a killed process loses nothing that the system holds
    for count in range(0, 400, STEPS.get(tool, 1)):
        out = folder / f"{tool}-{count}"
        if tool in IN_PLACE:
            shutil.copytree(corpora[0], out)
        work = work_of(tool, corpora, key, out)

        def victim(count: int = count, work: Callable[[], object] = work) -> None:
            die_at(count)
            work()

        killed = os.WIFSIGNALED(in_child(victim))
        half = not (out / "_SUCCESS").exists()
        status = in_child(work)
        files = sorted(str(path.relative_to(out)) for path in out.rglob("*") if path.is_file())
        digests = {name: hashlib.sha256((out / name).read_bytes()).hexdigest() for name in files}
        results.append({"killed": killed, "half": half, "status": status, "files": digests})
        shutil.rmtree(out)
        if not killed:
            break
    print(json.dumps(results))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), [Path(path) for path in sys.argv[4:]])

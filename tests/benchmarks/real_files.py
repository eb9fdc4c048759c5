"""What becomes of every real ECG file of HEMOMETRIC_DATA: one command, one config, each file accounted for.

    HEMOMETRIC_DATA=… python tests/benchmarks/real_files.py [--write]

Prints a Markdown table; `--write` keeps the counts in tests/golden/real_files.json, which a data test compares.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from collections import Counter
from pathlib import Path

from hemometric.config import decode
from hemometric.config.yaml_reader import read_text, read_yaml
from hemometric.corpus import load_or_create_key, open_corpus
from hemometric.runs import ingest
from hemometric.vendors import find

CONFIG = Path(__file__).parents[1] / "golden" / "real_files.yaml"
GOLDEN = CONFIG.with_suffix(".json")


def fates(data: Path, work: Path) -> dict[str, dict[str, int]]:
    """Ingest all of it; from a folder to what became of its files: ``accepted <format>``, or a reason."""
    key = work / "key"
    key.write_text("0123456789abcdef" * 4)
    key.chmod(0o600)
    content, _ = read_yaml(read_text(CONFIG), source=str(CONFIG))
    config = decode(ingest.IngestRun, content | {"sources": [str(data)], "out": str(work / "corpus"), "key": str(key)})
    ingest.run(config)
    corpus = open_corpus(work / "corpus")
    table = corpus.table(columns=["recording_id", "source_format"])
    became = {row["recording_id"]: f"accepted {row['source_format']}" for row in table.to_pylist()}
    became |= {row["recording_id"]: row["reason"] for row in corpus.quarantine().to_pylist()}
    names = load_or_create_key(key)
    found: dict[str, Counter[str]] = {}
    for source in find([data], config.ingest.formats.build()):
        parts = source.path.relative_to(data).parts
        folder = "/".join(parts[: 2 if parts[0] in ("vendor", "awkward", "cinc2021") else 1])
        found.setdefault(folder, Counter())[became.pop(names.recording_id(source.key))] += 1
    if became:
        raise SystemExit(f"{len(became)} recordings came from nowhere")
    return {folder: dict(sorted(counts.items())) for folder, counts in sorted(found.items())}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = fates(Path(os.environ["HEMOMETRIC_DATA"]), Path(folder))
    print("| folder | files | accepted | left out |\n|---|---|---|---|")
    for name, counts in found.items():
        taken = {what: number for what, number in counts.items() if what.startswith("accepted ")}
        rest = ", ".join(f"{what} {number}" for what, number in counts.items() if what not in taken)
        print(f"| {name} | {sum(counts.values())} | {sum(taken.values())} | {rest} |")
    total = sum((Counter(counts) for counts in found.values()), Counter[str]())
    print(f"| all | {sum(total.values())} | {sum(n for what, n in total.items() if what.startswith('accepted '))} | |")
    if arguments.write:
        GOLDEN.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()

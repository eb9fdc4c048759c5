"""Turn vendor files into a corpus, read by Ray Data tasks.

On a node of a cluster:  python jobs/ingest.py --config FILE [field=value ...]
From anywhere else:      hemometric submit ingest --config FILE --address http://HEAD:8265
"""

from hemometric.cli import run_job

if __name__ == "__main__":
    run_job("ingest")

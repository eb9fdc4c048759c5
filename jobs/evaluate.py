"""Score models beside their controls into one report.

On a node of a cluster:  python jobs/evaluate.py --config FILE [field=value ...]
From anywhere else:      hemometric submit evaluate --config FILE --address http://HEAD:8265
"""

from hemometric.cli import run_job

if __name__ == "__main__":
    run_job("evaluate")

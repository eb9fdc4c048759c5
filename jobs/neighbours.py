"""Find the nearest recordings of every recording with Ray Data.

On a node of a cluster:  python jobs/neighbours.py --config FILE [field=value ...]
From anywhere else:      hemometric submit neighbours --config FILE --address http://HEAD:8265
"""

from hemometric.cli import run_job

if __name__ == "__main__":
    run_job("neighbours")

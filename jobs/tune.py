"""Search margin, alpha and embedding size with Ray Tune over nested Ray Train runs.

On a node of a cluster:  python jobs/tune.py --config FILE [field=value ...]
From anywhere else:      hemometric submit tune --config FILE --address http://HEAD:8265
"""

from hemometric.cli import run_job

if __name__ == "__main__":
    run_job("tune")

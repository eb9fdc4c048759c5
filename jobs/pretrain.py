"""Pretrain an encoder on DTW-mined triplets with Ray Train.

On a node of a cluster:  python jobs/pretrain.py --config FILE [field=value ...]
From anywhere else:      hemometric submit pretrain --config FILE --address http://HEAD:8265
"""

from hemometric.cli import run_job

if __name__ == "__main__":
    run_job("pretrain")

"""Write the estimate of every recording with Ray Data actors.

On a node of a cluster:  python jobs/predict.py --config FILE [field=value ...]
From anywhere else:      hemometric submit predict --config FILE --address http://HEAD:8265
"""

from hemometric.cli import run_job

if __name__ == "__main__":
    run_job("predict")

"""Write the embedding of every recording with Ray Data actors.

On a node of a cluster:  python jobs/embed.py --config FILE [field=value ...]
From anywhere else:      hemometric submit embed --config FILE --address http://HEAD:8265
"""

from hemometric.cli import run_job

if __name__ == "__main__":
    run_job("embed")

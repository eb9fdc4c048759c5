"""`python -m hemometric.cli`, for where the console script is not on the path."""

from hemometric.cli import main

main()

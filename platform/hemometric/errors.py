"""The errors that a user can meet, each with the exit code of its kind."""

from __future__ import annotations


class HemometricError(Exception):
    """Base of all errors that end a command with one sentence instead of a traceback."""

    exit_code = 1


class UsageError(HemometricError):
    """A wrong argument, path or config: nothing was started."""

    exit_code = 2


class DataRejectedError(HemometricError):
    """More of the data was refused than the config allows."""

    exit_code = 3


class IntegrityError(HemometricError):
    """A hash, a schema, a number or a split is not what it must be."""

    exit_code = 4


class PrecheckError(HemometricError):
    """The machine lacks something that the run needs: disk, memory, a port, CPUs."""

    exit_code = 5


class ClusterError(HemometricError):
    """The cluster failed; the same command goes on where it stopped."""

    exit_code = 6


class StalledError(HemometricError):
    """Nothing moved for longer than the limit."""

    exit_code = 7


class PrivacyError(HemometricError):
    """Refused, because it would expose patients or open a machine."""

    exit_code = 8


class InterruptedRunError(HemometricError):
    """Stopped by a signal; the same command goes on where it stopped."""

    exit_code = 130

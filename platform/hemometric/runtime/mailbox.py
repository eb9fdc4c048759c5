"""What driver and workers of a training run tell each other: two small files in the run's folder."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from hemometric import errors
from hemometric.errors import HemometricError, IntegrityError, InterruptedRunError
from hemometric.runs.folder import write_text
from hemometric.runs.records import read_record
from hemometric.runs.shapes import Letter

_RESUMABLE = (errors.ClusterError, errors.StalledError, InterruptedRunError)


@dataclass(frozen=True)
class Mailbox:
    """The driver asks to stop; a worker says why there is no use in starting it again."""

    folder: Path

    @property
    def _stop(self) -> Path:
        return self.folder / "stop"

    @property
    def _failed(self) -> Path:
        return self.folder / "failed.json"

    def clear(self) -> None:
        """Begin a run: old letters are not for it."""
        for path in (self._stop, self._failed, self.folder / "progress.json"):
            path.unlink(missing_ok=True)

    def ask_to_stop(self) -> None:
        """Ask all workers to take a checkpoint and end."""
        self._stop.touch()

    def stop_asked(self) -> bool:
        """Whether the workers are to end; also after a failure that no restart would mend."""
        return self._stop.exists() or self._failed.exists()

    def tell_failure(self, error: HemometricError) -> None:
        """Keep an error that another start would only repeat: of usage, data, integrity, privacy, the machine."""
        if not isinstance(error, _RESUMABLE):
            write_text(self._failed, json.dumps({"kind": type(error).__name__, "sentence": str(error)}))

    def open(self) -> HemometricError | None:
        """Read, and take away, how the run was cut short; None where it was not."""
        error: HemometricError | None = None
        if self._failed.exists():
            letter = read_record(self._failed, Letter, remove=self._failed)
            kind = getattr(errors, letter.kind, None)
            if not isinstance(kind, type) or not issubclass(kind, HemometricError):
                raise IntegrityError(
                    f"{self._failed} is missing or damaged (field 'kind' names no error); remove it and run the same "
                    "command again"
                )
            error = kind(letter.sentence)
        elif self._stop.exists():
            error = InterruptedRunError("stopped after a checkpoint; the same command goes on from there")
        self.clear()
        return error

"""Every error that Mondegreen raises on purpose; its message names the thing, the value and the fix.

MondegreenError
├── RecordError      what a recorder was asked to write can never be right (also a ValueError)
├── SpoolError       the spool cannot be written or read (disk full, no permission)
├── DataError        a file or a table is not what it should be
├── ParamsError      params.yaml is not what it should be
├── GateError        the candidates miss a threshold of params.yaml
├── AuditError       the exported dataset is not what it should be
├── CorrectorError   a corrector cannot be found or used
├── RepositoryError  Git or DVC cannot do what was asked
└── CloudError       a remote place cannot be used, or does not hold what it should
    ├── UnreachableError  nobody answers there just now; trying again may help
    └── DamagedError      an object's content is not what its name says
"""


class MondegreenError(Exception):
    """Base of all errors that Mondegreen raises on purpose."""


class RecordError(MondegreenError, ValueError):
    """A value can never be right; nothing was written."""

    def __init__(self, field: str, value: object, expected: str) -> None:
        """Name the `field`, the `value` it was given and what it should have been."""
        shown = repr(value)
        super().__init__(f"{field}={shown[:80] + '…' if len(shown) > 80 else shown}: expected {expected}")
        self.field = field


class SpoolError(MondegreenError, OSError):
    """The spool cannot be written or read; nothing was acknowledged."""


class DataError(MondegreenError):
    """A file or a table is not what it should be."""


class ParamsError(MondegreenError):
    """params.yaml is not what it should be."""


class GateError(MondegreenError):
    """The candidates miss a threshold; nothing below the gate runs."""


class AuditError(MondegreenError):
    """The exported dataset is not what it should be."""


class CorrectorError(MondegreenError):
    """A corrector cannot be found or used."""


class RepositoryError(MondegreenError):
    """Git or DVC cannot do what was asked."""


class CloudError(MondegreenError):
    """A remote place cannot be used, or does not hold what it should."""


class UnreachableError(CloudError):
    """Nobody answers there just now; trying again may help, but not before `wait` seconds are over."""

    def __init__(self, message: str, wait: float = 0.0) -> None:
        """Say what does not answer, and how long it asks to wait."""
        super().__init__(message)
        self.wait = wait


class DamagedError(CloudError):
    """An object's content is not what its name says, or it is nowhere."""

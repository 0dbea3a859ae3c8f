"""Errors that a user can mend.

Every error here says what is wrong, where, and how to mend it, and is also the built-in that callers would expect
(``except ValueError`` catches a :class:`ConfigError`). An experiment that fails is not among them: it is a value, see
:class:`~latentloop.loop.records.Failure`.
"""


class LatentloopError(Exception):
    """Base of all errors that the command line reports as one sentence, without a traceback."""


class ConfigError(LatentloopError, ValueError):
    """A configuration that cannot be run: a missing file, a wrong key, a wrong type, an unknown name."""


class UnknownNameError(ConfigError, KeyError):
    """A name that no registry entry has. The message lists the known ones."""

    def __str__(self) -> str:
        """Return the sentence itself (KeyError would quote it)."""
        return str(self.args[0])


class PlugInError(ConfigError, RuntimeError):
    """Code of a user's own, found by an entry point, that cannot be loaded or raised something. The message names it."""


class StoreError(LatentloopError, OSError):
    """A store that cannot be opened or written: absent, present already, damaged, of another format version."""


class StoreLockedError(StoreError):
    """Another driver holds the campaign."""


class JournalError(StoreError):
    """A journal event that is torn, altered or missing."""


class ShapeMismatchError(StoreError, ValueError):
    """An array of a trial that has another shape than the same array of earlier trials."""


class EvaluatorError(LatentloopError, RuntimeError):
    """An evaluator that cannot be set up; one that fails during a measurement makes a failed trial instead."""


class UnknownOutcomeError(LatentloopError, RuntimeError):
    """Raised by an evaluator during a measurement when nobody can know whether the experiment ran: a lost connection, a timeout.

    A physical trial becomes ``unknown`` then and is not repeated; a pure one has failed.
    """


class ExecutorError(LatentloopError, RuntimeError):
    """Workers that cannot be started."""


class CandidatesExhaustedError(LatentloopError, RuntimeError):
    """Every one of the fixed candidates has been asked or told already."""

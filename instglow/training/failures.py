"""What can go wrong while Lightning works, each in one line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pickle import PicklingError

from lightning.fabric.utilities.exceptions import MisconfigurationException

from instglow.devices import is_out_of_memory
from instglow.errors import ConfigError, DataError, DependencyError, InstGlowError, OutputError


@contextmanager
def one_line() -> Iterator[None]:
    """Raise an InstGlowError for what a user can cause; let everything else through."""
    try:
        yield
    except InstGlowError:
        raise
    except Exception as error:
        if found := explanation(error):
            raise found from error
        raise


def explanation(error: BaseException) -> InstGlowError | None:
    """-> the first that is known of an exception and its causes; None if none is."""
    return next(filter(None, map(_explained, causes(error))), None)


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """An exception, what it was raised from, and so on."""
    while error is not None:
        yield error
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def _explained(error: BaseException) -> InstGlowError | None:
    text = " ".join(str(error).split())
    match error:
        case InstGlowError():
            return error
        case _ if is_out_of_memory(error):
            return ConfigError(
                f"out of memory ({text}); lower data.batch_size, perhaps with "
                "trainer.accumulate_grad_batches, or data.seconds"
            )
        case RuntimeError() if text.startswith("DataLoader worker"):
            return DataError(
                f"a process that loads recordings died ({text}); free memory, or lower data.workers"
            )
        case ModuleNotFoundError():
            return DependencyError(f"{text}; install it, or choose what works without it")
        case MisconfigurationException():
            return ConfigError(f"{text.rstrip('.!')}; see `instglow fit --help`")
        case ValueError() if "parameter group" in text:
            return ConfigError(
                "the checkpoint's run trained other parts; give the configuration that it had"
            )
        case PicklingError():
            return ConfigError(
                f"what is trained cannot be handed to new processes ({text}); use trainer.strategy "
                "ddp"
            )
        case ValueError() if "is not in bounds, numpy accepts" in text:
            return ConfigError(f"seed_everything: {text}")
        case OSError(strerror=str(reason), filename=place) if not isinstance(
            error, BrokenPipeError
        ):
            return OutputError(f"{place or 'a file'}: {reason}; make room or choose another folder")
    return None

"""Ctrl-C while Lightning works."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def keyboard_interrupt() -> Iterator[None]:
    """Give the caller the KeyboardInterrupt that `Trainer` turns into `sys.exit(1)`."""
    try:
        yield
    except SystemExit as leaving:
        if isinstance(leaving.__context__, KeyboardInterrupt):
            # Lightning ignored further ones for its own shutdown, which is over
            signal.signal(signal.SIGINT, signal.default_int_handler)
            raise KeyboardInterrupt from None
        raise

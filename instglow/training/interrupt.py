"""Ctrl-C while Lightning works."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, NoReturn

from lightning.pytorch.callbacks import Callback


class Interrupt(Callback):
    """Stops training at the next batch if Ctrl-C was heard, and its KeyboardInterrupt lost.

    Python drops whatever is raised while it frees a file object (`iobase_finalize` in CPython's
    Modules/_io/iobase.c); after a large checkpoint has been written, that is when signals that
    came meanwhile are handled.
    """

    heard = False

    def on_train_batch_end(self, *_: Any) -> None:
        """Raise the KeyboardInterrupt once more."""
        if self.heard:
            raise KeyboardInterrupt


@contextmanager
def keyboard_interrupt() -> Iterator[Interrupt]:
    """Give the caller the KeyboardInterrupt that `Trainer` turns into `sys.exit(1)`.

    The callback that it yields belongs into the trainer.
    """
    interrupt = Interrupt()

    def hear(number: int, frame: FrameType | None) -> NoReturn:
        interrupt.heard = True
        signal.default_int_handler(number, frame)

    before = signal.getsignal(signal.SIGINT)
    # a shell makes what it runs in the background deaf; only the main thread may change handlers
    listens = before is signal.default_int_handler
    listens &= threading.current_thread() is threading.main_thread()
    if listens:
        signal.signal(signal.SIGINT, hear)
    try:
        yield interrupt
    except SystemExit as leaving:
        if isinstance(leaving.__context__, KeyboardInterrupt):
            raise KeyboardInterrupt from None
        raise
    finally:
        if listens:  # Lightning ignored further ones for its own shutdown, which is over
            signal.signal(signal.SIGINT, before)
    if interrupt.heard:
        raise KeyboardInterrupt

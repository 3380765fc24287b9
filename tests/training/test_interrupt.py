"""Ctrl-C is never lost."""

import io
import signal

import pytest
from lightning.pytorch import Callback
from tiny import data, trainer, training

from instglow.training.interrupt import keyboard_interrupt


class Unlucky(io.RawIOBase):
    """A file during whose last moment the user presses Ctrl-C."""

    def close(self) -> None:
        if not self.closed:
            super().close()
            signal.raise_signal(signal.SIGINT)


class DropFile(Callback):
    """Frees such a file after the second step, and counts the steps."""

    steps = 0

    def on_train_batch_start(self, *_: object) -> None:
        self.steps += 1
        if self.steps == 2:
            Unlucky()


@pytest.fixture(autouse=True)
def _hears():
    """As in a terminal; a shell makes what it runs in the background deaf."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_an_interrupt_that_python_drops_stops_a_trainer_at_once():
    drop = DropFile()
    with pytest.raises(KeyboardInterrupt), keyboard_interrupt() as interrupt:
        trainer(2, [drop, interrupt]).fit(training(), data())
    assert drop.steps == 2
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_one_that_nothing_stopped_for_is_raised_at_the_end():
    with pytest.raises(KeyboardInterrupt), keyboard_interrupt():
        Unlucky()


def test_nothing_is_raised_without_one():
    with keyboard_interrupt():
        io.RawIOBase()
    with pytest.raises(SystemExit), keyboard_interrupt():
        raise SystemExit(3)

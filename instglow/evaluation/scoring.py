"""Scoring beside the separation: segments wait their turn in other processes."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass
from multiprocessing import get_context, parent_process
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from instglow.evaluation.bss import Scores, score
from instglow.evaluation.method import Segment
from instglow.evaluation.results import SongResult, save

Arrays = dict[str, NDArray[np.float32]]


@dataclass(frozen=True)
class Scored:
    """Where the scores of a segment go.

    Args:
        result: of the song.
        start: of the segment in seconds, as its result names it.
        path: file of the song's result.
        segment: that was separated.
    """

    result: SongResult
    start: str
    path: Path
    segment: Segment

    def keep(self, scores: dict[str, Scores | None]) -> None:
        """Add the scores to the song's result and write it."""
        seconds = self.segment.mixture.shape[-1] / self.segment.sample_rate
        self.result.segments[self.start] = {"seconds": seconds, "scores": scores}
        save(self.path, self.result)


class Scoring:
    """Scores segments in other processes, a few at a time; a context manager.

    Args:
        jobs: processes; with 0, `submit` scores at once in this one.
    """

    def __init__(self, jobs: int) -> None:
        self.jobs = jobs
        self._pending: dict[Future[dict[str, Scores | None]], Scored] = {}
        # spawned, not forked: a fork of a process in which torch has threads can hang
        self._pool = (
            ProcessPoolExecutor(jobs, get_context("spawn"), initializer=_start_worker)
            if jobs
            else None
        )

    def submit(self, scored: Scored, estimates: Mapping[str, Tensor]) -> None:
        """Begin to score the separated stems of a segment."""
        segment = scored.segment
        truth = {name: segment.truth[name] for name in estimates}
        arguments = _arrays(truth), _arrays(estimates), segment.mixture.numpy(), segment.sample_rate
        if self._pool:
            self._pending[self._pool.submit(_score, *arguments)] = scored
        else:
            done: Future[dict[str, Scores | None]] = Future()
            done.set_result(_score(*arguments))
            self._pending[done] = scored

    def finished(self, everything: bool = False) -> Iterator[Scored]:
        """Those that are done, written; waits for all, or while more wait than memory is good for.

        Args:
            everything: wait for all.
        """
        while self._pending:
            crowded = everything or len(self._pending) > 2 * max(1, self.jobs)
            done, _ = wait(self._pending, None if crowded else 0, FIRST_COMPLETED)
            if not done:
                return
            for future in done:
                scored = self._pending.pop(future)
                scored.keep(future.result())
                yield scored

    def __enter__(self) -> Scoring:
        return self

    def __exit__(self, *exception: object) -> None:
        if self._pool:
            self._pool.shutdown(cancel_futures=True)
            # what was scored by then is kept, whatever ended the run
            for future, scored in self._pending.items():
                if not future.cancelled() and not future.exception():
                    scored.keep(future.result())


def _score(
    truth: Arrays, estimates: Arrays, mixture: NDArray[np.float32], sample_rate: int
) -> dict[str, Scores | None]:
    return score(_tensors(truth), _tensors(estimates), torch.from_numpy(mixture), sample_rate)


def _arrays(stems: Mapping[str, Tensor]) -> Arrays:
    return {name: wave.numpy() for name, wave in stems.items()}


def _tensors(stems: Arrays) -> dict[str, Tensor]:
    return {name: torch.from_numpy(wave) for name, wave in stems.items()}


def _start_worker() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which shuts us down
    threading.Thread(target=_end_with_parent, daemon=True).start()
    torch.set_num_threads(1)


def _end_with_parent() -> None:
    """A parent that is killed shuts nobody down."""
    parent = parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)

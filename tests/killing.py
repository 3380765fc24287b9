"""A process that is killed at a chosen moment."""

import multiprocessing
import os
import sys

FORK = multiprocessing.get_context("fork")
KILLED = 9


def killed_at(step, action):
    """Run `action` in a process that dies, cleaning up nothing, before its n-th change on disk."""

    def child():
        seen = 0

        def count(event, details):
            nonlocal seen
            # an audit hook sees these before they happen; `open` for writing has O_CREAT set
            opens = event == "open" and isinstance(details[2], int) and details[2] & os.O_CREAT
            if opens or event in ("os.rename", "os.remove", "os.rmdir", "os.mkdir"):
                seen += 1
                if seen == step:
                    os._exit(KILLED)

        sys.addaudithook(count)
        action()
        os._exit(0)

    process = FORK.Process(target=child)
    process.start()
    process.join()
    assert process.exitcode in (0, KILLED)
    return process.exitcode == KILLED

"""Apart: an object in a process of its own, so that no library's threads and settings touch another's."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

LONGEST = 900.0  # seconds until an answer, after which it is given up


class Missing(Exception):
    """What cannot be measured, and why."""


class Apart:
    """What `make(*arguments)` makes in a fresh process, which ends with `close` or with this one. Whatever goes wrong
    there raises Missing here: an error of another's library costs us its figures and no more."""

    def __init__(self, make: Callable[..., object], *arguments: object) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, make, arguments), daemon=True)
        self._process.start()
        theirs.close()
        self._answer()

    def call(self, method: str, *arguments: object) -> Any:
        """Has the object do something there, and waits for what it returns."""
        self._pipe.send((method, arguments))
        return self._answer()

    def close(self) -> None:
        self._pipe.close()
        self._process.kill()
        self._process.join()

    def _answer(self) -> Any:
        try:
            if not self._pipe.poll(LONGEST):
                raise Missing(f"no answer for {LONGEST:.0f} s")
            good, value = self._pipe.recv()
            if not good:
                raise Missing(value)
        except EOFError:
            self.close()
            raise Missing(f"its process ended with status {self._process.exitcode}") from None
        except Missing:
            self.close()
            raise
        return value


def _serve(pipe: Connection, make: Callable[..., object], arguments: tuple[object, ...]) -> None:
    try:
        held = make(*arguments)
        pipe.send((True, None))
        while True:
            method, given = pipe.recv()
            pipe.send((True, getattr(held, method)(*given)))
    except EOFError:
        pass  # whoever asked is gone
    except Exception as error:
        pipe.send((False, str(error) if isinstance(error, Missing) else repr(error)))

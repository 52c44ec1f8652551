"""Cells are lived in processes of their own: what kills one of them costs one cell."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from loopymeta import _machine
from loopymeta.leaderboard.cells import Cell, Result
from loopymeta.leaderboard.life import live_cell, one_line


def work() -> None:
    """What a worker process does: reads cells, a line each, and answers with their results.

    It ends as soon as nobody can ask any more, even in the middle of a cell: no worker outlives the
    process that started it, however that ended.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the one who started it
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever else is printed must not come between the answers
    asked: queue.SimpleQueue[str] = queue.SimpleQueue()

    def listen() -> None:
        for line in sys.stdin:
            asked.put(line)
        os._exit(0)

    threading.Thread(target=listen, daemon=True).start()
    while True:
        print(json.dumps(live_cell(asked.get())), file=answers, flush=True)


def _environment(optimise: bool) -> dict[str, str]:
    """One core a worker, and the loopymeta that runs here."""
    package = str(Path(__file__).parents[2])
    path = os.pathsep.join(filter(None, (package, os.environ.get("PYTHONPATH"))))
    flags = "--xla_cpu_multi_thread_eigen=false --xla_force_host_platform_device_count=1"
    given = os.environ.get("XLA_FLAGS", "")
    given += "" if optimise else f" {_machine.hasty_flags()}"
    alone = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    # One lifetime of one small network is no work for an accelerator, which workers would share.
    usual = {"JAX_PLATFORMS": "cpu", "TF_CPP_MIN_LOG_LEVEL": "3"}
    return {**usual, **os.environ, **alone, "PYTHONPATH": path, "XLA_FLAGS": f"{given} {flags}"}


class _Worker:
    """A process that lives cells, one after another."""

    def __init__(self, optimise: bool) -> None:
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 (closed by `end`)
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-c", "from loopymeta import leaderboard; leaderboard.work()"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            env=_environment(optimise),
        )
        self.pid = self._process.pid

    def live(self, cell: Cell) -> Result:
        """The result of a cell; failed, where the process died of it."""
        asked, answers = self._process.stdin, self._process.stdout
        assert asked is not None and answers is not None
        with contextlib.suppress(OSError):  # it is dead, which the answer will say
            asked.write(f"{cell.text}\n".encode())
            asked.flush()
        line = answers.readline()
        if line.endswith(b"\n"):
            return json.loads(line)
        return {"status": "failed", "reason": self._epitaph()}

    def _epitaph(self) -> str:
        status = self._process.wait()
        if status < 0:
            name = signal.Signals(-status).name
            hint = ": out of memory?" if name == "SIGKILL" else ""
            return f"its process was ended by {name}{hint}"
        self._errors.seek(0)
        said = self._errors.read().decode(errors="replace").strip().splitlines()
        return f"its process ended with status {status}: {said[-1] if said else 'it said nothing'}"

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def end(self) -> None:
        """Ends the process, whatever it does."""
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout, self._errors):
            with contextlib.suppress(OSError):
                if stream is not None:
                    stream.close()


class Workers:
    """Several workers, which share the cells; a thread waits for each."""

    def __init__(self, cells: Iterable[Cell], num: int, optimise: bool):
        self._optimise = optimise
        self._todo = list(cells)
        self._busy: dict[int, str] = {}  # thread -> group
        self._lock, self._closed = threading.Lock(), False
        self._workers: list[_Worker] = []
        self._events: queue.SimpleQueue[tuple[Cell, int, Result | None]] = queue.SimpleQueue()
        self._left = len(self._todo)
        self._threads = [
            threading.Thread(target=self._serve, daemon=True) for _ in range(min(num, self._left))
        ]

    def __enter__(self) -> Workers:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: Any) -> None:
        with self._lock:
            self._closed = True
            for worker in self._workers:
                worker.end()

    def __iter__(self) -> Iterator[tuple[Cell, int, Result | None]]:
        """(cell, process, None) when a cell begins, (cell, process, result) when it has ended."""
        while self._left:
            event = self._events.get()
            self._left -= event[2] is not None
            yield event

    def _hire(self) -> _Worker | None:
        with self._lock:
            if self._closed:
                return None
            self._workers.append(_Worker(self._optimise))
            return self._workers[-1]

    def _take(self) -> Cell | None:
        """The next cell: of the group that this thread is at, else of one that nobody is at."""
        me = threading.get_ident()
        with self._lock:
            if not self._todo or self._closed:
                return None
            mine = [cell for cell in self._todo if cell.group == self._busy.get(me)]
            free = (cell for cell in self._todo if cell.group not in self._busy.values())
            cell = mine[0] if mine else next(free, self._todo[0])
            self._todo.remove(cell)
            self._busy[me] = cell.group
            return cell

    def _serve(self) -> None:
        worker = None
        while (cell := self._take()) is not None:
            try:
                worker = worker if worker is not None and worker.alive else self._hire()
                if worker is None:
                    return
                self._events.put((cell, worker.pid, None))
                self._events.put((cell, worker.pid, worker.live(cell)))
            except Exception as error:  # no process can be started, its answer cannot be read
                reason = f"{type(error).__name__}: {one_line(error)}"
                self._events.put((cell, 0, {"status": "failed", "reason": reason}))

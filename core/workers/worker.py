"""One worker: a process that classifies one song after another, commanded on standard input.

Started by `core.workers.pool` with an environment that holds no secret. It ends when its pool does, whatever happens:
the kernel sees to it where it can, and the end of standard input everywhere.
"""

import os
import queue
import sys
import threading
import traceback
from pathlib import Path
from typing import BinaryIO, Final

from core.audio.cancel import CancelToken
from core.audio.spectrogram import QuantizedMel
from core.errors import ConfigurationError, GenreGenieError
from core.inference.pipeline import ClassifyResult, Models, Step, classify_file, classify_spectrogram, illustrate
from core.memory import return_memory
from core.sandbox.processes import end_with_parent
from core.workers import protocol
from core.workers.protocol import Cancel, ClassifySpectrogram, Illustrate, Work

IDLE_S: Final = 60.0
"""How long other models than the default one stay loaded when nobody asks for anything."""

Job = tuple[Work, CancelToken]


class Worker:
    """The loop of one worker.

    Args:
        commands: where the pool's messages come from.
        events: where ours go.
        model: the default model.
    """

    def __init__(self, commands: BinaryIO, events: BinaryIO, model: str | None) -> None:
        self._commands = commands
        self._events = events
        self._sending = threading.Lock()
        self._models = Models(model, most_others=1)
        self._jobs: queue.SimpleQueue[Job] = queue.SimpleQueue()
        self._cancel_token = CancelToken()

    def run(self) -> None:
        """Warm up, then serve until the pool is gone."""
        try:
            self._models.music(self._models.genre())
            self._models.keep()
        except ConfigurationError as error:
            self._send(protocol.Unusable(str(error)))
            return
        self._send(protocol.Ready())
        threading.Thread(target=self._receive, daemon=True).start()
        while True:
            self._serve(*self._next_job())

    def _next_job(self) -> Job:
        """Wait for a job; where none comes for a while, give back the models that only some ask for."""
        try:
            return self._jobs.get(timeout=IDLE_S)
        except queue.Empty:
            if self._models.release():
                return_memory()
            return self._jobs.get()

    def _receive(self) -> None:
        """Take messages while a job runs: that is what makes a job cancellable."""
        while line := self._commands.readline(protocol.MAX_LINE):
            message, lengths = protocol.decode_line(line)
            command = protocol.read_command(message, [self._commands.read(length) for length in lengths])
            if isinstance(command, Cancel):
                self._cancel_token.set(command.code)
            else:
                self._cancel_token = CancelToken()
                self._jobs.put((command, self._cancel_token))
        self._cancel_token.set()
        os._exit(0)

    def _serve(self, command: Work, cancel_token: CancelToken) -> None:
        try:
            result = self._classify(command, cancel_token)
        except GenreGenieError as error:
            self._send(protocol.Refused(error))
        except ConfigurationError as error:
            self._send(protocol.ModelUnusable(str(error)))
        except Exception:  # the job fails, the worker and its pool go on
            self._send(protocol.Crashed(traceback.format_exc(limit=20)))
        else:
            self._send(protocol.Classified(result))

    def _classify(self, command: Work, cancel_token: CancelToken) -> ClassifyResult:
        if isinstance(command, ClassifySpectrogram | Illustrate):
            self._on_progress(Step.LISTENING, None)
            recording = QuantizedMel.from_bytes(command.spectrogram).dequantize()
            if isinstance(command, Illustrate):
                return illustrate(command.prediction, recording, command.locale, models=self._models)
            return classify_spectrogram(recording, command.options, models=self._models)
        return classify_file(
            Path(command.path),
            command.options,
            models=self._models,
            limits=command.limits,
            cancel_token=cancel_token,
            on_progress=self._on_progress,
        )

    def _on_progress(self, step: Step, share: float | None) -> None:
        self._send(protocol.Progress(step, share))

    def _send(self, event: protocol.Event) -> None:
        with self._sending:
            self._events.write(protocol.encode(event))
            self._events.flush()


def main() -> None:
    """Keep standard output for the pool: what libraries print goes to standard error."""
    end_with_parent()
    events = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    model = sys.argv[1] if len(sys.argv) > 1 else None
    try:
        Worker(sys.stdin.buffer, events, model).run()
    except (BrokenPipeError, KeyboardInterrupt):
        os._exit(0)


if __name__ == "__main__":
    main()

"""One worker: a process that hears one file after another, told what to do on standard input.

Started by `core.workers.pool` with an environment that holds no secret. It ends when its pool does, whatever happens:
the kernel sees to it where it can, and the end of standard input everywhere.
"""

import os
import queue
import sys
import threading
import traceback
from pathlib import Path
from typing import Any, BinaryIO

from core.audio.decode import CancelToken, DecodeLimits
from core.audio.spectrogram import QuantizedMel
from core.errors import ConfigurationError, ErrorCode, GenreGenieError
from core.inference.pipeline import ClassifyResult, Models, Step, classify_file, classify_spectrogram
from core.sandbox.processes import end_with_parent
from core.workers import protocol


class Worker:
    """The loop of one worker.

    Args:
        commands: where the pool's messages come from.
        answers: where ours go.
        model: the default model.
    """

    def __init__(self, commands: BinaryIO, answers: BinaryIO, model: str | None) -> None:
        self._commands = commands
        self._answers = answers
        self._sending = threading.Lock()
        self._models = Models(model)
        self._jobs: queue.SimpleQueue[tuple[dict[str, Any], list[bytes], CancelToken]] = queue.SimpleQueue()
        self._stop = CancelToken()

    def run(self) -> None:
        """Warm up, then serve until the pool is gone."""
        try:
            self._models.genre()
            self._models.music()
        except ConfigurationError as error:
            self._send({"event": "unusable", "reason": str(error)})
            return
        self._send({"event": "ready"})
        threading.Thread(target=self._listen, daemon=True).start()
        while True:
            message, payloads, stop = self._jobs.get()
            self._serve(message, payloads, stop)

    def _listen(self) -> None:
        """Take messages while a job runs: that is what makes a job cancellable."""
        while line := self._commands.readline(protocol.MAX_LINE):
            message, lengths = protocol.decode(line)
            payloads = [self._commands.read(length) for length in lengths]
            if message["do"] == "stop":
                self._stop.set(ErrorCode(message["code"]))
            else:
                self._stop = CancelToken()
                self._jobs.put((message, payloads, self._stop))
        self._stop.set()
        os._exit(0)

    def _serve(self, message: dict[str, Any], payloads: list[bytes], stop: CancelToken) -> None:
        try:
            described, blobs = protocol.result_to_wire(self._hear(message, payloads, stop))
        except GenreGenieError as error:
            self._send(protocol.error_to_wire(error))
        except ConfigurationError as error:
            self._send({"event": "unusable-model", "reason": str(error)})
        except Exception:  # the job fails, the worker and its pool go on
            self._send({"event": "failed", "trace": traceback.format_exc(limit=20)})
        else:
            self._send(described, *blobs)

    def _hear(self, message: dict[str, Any], payloads: list[bytes], stop: CancelToken) -> ClassifyResult:
        options = protocol.options_from_wire(message["options"])
        if payloads:
            self._progress(Step.LISTENING, None)
            mel = QuantizedMel.from_bytes(payloads[0]).log_mel()
            return classify_spectrogram(mel, message["name"], options, models=self._models)
        return classify_file(
            Path(message["path"]),
            message["name"],
            options,
            models=self._models,
            limits=DecodeLimits(**message["limits"]),
            stop=stop,
            progress=self._progress,
        )

    def _progress(self, step: Step, share: float | None) -> None:
        self._send({"event": "progress", "step": step.value, "share": share})

    def _send(self, message: dict[str, Any], *payloads: bytes) -> None:
        with self._sending:
            self._answers.write(protocol.encode(message, *payloads))
            self._answers.flush()


def main() -> None:
    """Keep standard output for the pool: what libraries print goes to standard error."""
    end_with_parent()
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    model = sys.argv[1] if len(sys.argv) > 1 else None
    try:
        Worker(sys.stdin.buffer, answers, model).run()
    except (BrokenPipeError, KeyboardInterrupt):
        os._exit(0)


if __name__ == "__main__":
    main()

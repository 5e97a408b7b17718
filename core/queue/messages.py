"""The wire format: a request as a job's arguments, an answer as bytes, progress as a notification's payload.

A job is a source and options, never the song's bytes. The number of this format is part of the queue's name: who speaks
another one leaves these jobs alone.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Final

from core.audio.spectrogram import QuantizedMel
from core.errors import ErrorCode, GenreGenieError
from core.inference.pipeline import ClassifyOptions, Step
from core.service.identify import IdentifyResult
from core.service.sources import AttachmentSource, LinkSource, PortableSource, SpectrogramSource
from core.verdict import Prediction, SongInfo, Verdict
from core.workers.protocol import decode_line, read_elapsed, read_error, read_options

WIRE_VERSION: Final = 1
"""Changes with everything that an older worker or asker would misread."""

MAX_ANSWER: Final = 8 * 1024 * 1024
"""Bytes of an answer: six hours of segments fit, or the spectrogram of a song of half an hour."""


def queue_name(model_sha256: str) -> str:
    """Name of the queue whose workers read this format and have these models; at most 40 characters with a suffix.

    Args:
        model_sha256: digest of the models that answer.
    """
    return f"genregenie-{WIRE_VERSION}-{model_sha256[:12]}"


@dataclass(frozen=True, slots=True)
class KeptSong:
    """A song whose spectrogram is in the store that all workers share."""

    sha256: str
    name: str


@dataclass(frozen=True, slots=True)
class QueuedRequest:
    """A request on its way to a worker.

    Attributes:
        key: names the request, also when it is put again.
        asker: who waits for the answer.
        group: whose turn it takes.
        model_sha256: digest of the models that are to answer.
        source: what to classify.
        options: how.
        use_store: whether the workers keep what comes of it, and know it again, in their store. Without that, the
            answer brings the spectrogram along where that was asked for.
        asked_at: seconds since the epoch, by the database's clock.
        crashes: workers that were lost over it.
        prediction: of a kept song, that is only to be drawn and explained.
    """

    key: str
    asker: str
    group: str
    model_sha256: str
    source: AttachmentSource | LinkSource | KeptSong
    options: ClassifyOptions
    use_store: bool = True
    asked_at: float = 0.0
    crashes: int = 0
    prediction: Prediction | None = None


def portable_source(source: PortableSource) -> AttachmentSource | LinkSource | KeptSong:
    """Give a source as it travels: a spectrogram only by its song's digest."""
    return KeptSong(source.digest, source.name) if isinstance(source, SpectrogramSource) else source


def request_to_dict(request: QueuedRequest) -> dict[str, Any]:
    """Put a request into the form of a job's arguments."""
    prediction = request.prediction
    return {
        **asdict(replace(request, prediction=None)),
        "source": {"kind": type(request.source).__name__, **asdict(request.source)},
        # As text: the database's JSON would lose the order of its votes.
        "prediction": None if prediction is None else json.dumps(prediction.to_dict()),
    }


def read_request(data: Mapping[str, Any]) -> QueuedRequest:
    """Read a job's arguments.

    Raises:
        ValueError: they are no request.
    """
    try:
        source = dict(data["source"])
        kind = _SOURCES[source.pop("kind")](**source)
        text = data.get("prediction")
        prediction = None if text is None else Prediction.from_dict(json.loads(text))
        options = read_options(data["options"])
        request = QueuedRequest(**{**data, "source": kind, "options": options, "prediction": prediction})
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"a job without its fields: {error!r}") from None
    texts = [request.key, request.asker, request.group, request.model_sha256]
    texts += [getattr(kind, field.name) for field in fields(kind) if field.name != "size"]
    if not all(isinstance(text, str) for text in texts):
        raise ValueError("a job whose texts are none")
    if not isinstance(request.use_store, bool) or not isinstance(getattr(kind, "size", None), int | None):
        raise ValueError("a job whose fields have other types")
    if prediction is not None and not isinstance(kind, KeptSong):
        raise ValueError("a job that draws a song which is not kept")
    if not isinstance(request.asked_at, int | float) or not isinstance(request.crashes, int):
        raise ValueError("a job whose numbers are none")
    return request


def answer_to_bytes(answer: IdentifyResult | GenreGenieError) -> bytes:
    """Serialise an answer: a line of JSON, then the picture and the spectrogram.

    One that is too large comes without them, or not at all: as `internal`.
    """
    if isinstance(answer, GenreGenieError):
        return json.dumps(
            {"type": "error", "payloads": [], "code": answer.code.value, "params": answer.params}
        ).encode()
    content = {
        "type": "verdict",
        "prediction": answer.prediction.to_dict(),
        "song": asdict(answer.verdict.song),
        "elapsed": asdict(answer.verdict.elapsed),
        "sha256": answer.sha256,
        "cached": answer.cached,
    }
    spectrogram = answer.spectrogram.to_bytes() if answer.spectrogram else b""
    for payloads in ([answer.picture or b"", spectrogram], [b"", b""]):
        line = json.dumps(content | {"payloads": [len(payload) for payload in payloads]}).encode()
        body = b"".join((line, b"\n", *payloads))
        if len(body) <= MAX_ANSWER:
            return body
    return answer_to_bytes(GenreGenieError(ErrorCode.INTERNAL))


def read_answer(body: bytes) -> IdentifyResult | GenreGenieError:
    """Read what `answer_to_bytes` wrote.

    Raises:
        ValueError: it is no answer.
    """
    line, _, rest = body.partition(b"\n")
    message, lengths = decode_line(line)
    try:
        if message["type"] == "error":
            return read_error(message["code"], message["params"])
        picture, spectrogram = rest[: lengths[0]], rest[lengths[0] : lengths[0] + lengths[1]]
        verdict = Verdict(
            Prediction.from_dict(message["prediction"]), SongInfo(**message["song"]), read_elapsed(message["elapsed"])
        )
        return IdentifyResult(
            verdict,
            str(message["sha256"]),
            picture or None,
            QuantizedMel.from_bytes(spectrogram) if spectrogram else None,
            message["cached"] is True,
        )
    except (KeyError, TypeError, AttributeError, IndexError) as error:
        raise ValueError(f"an answer without its fields: {error!r}") from None


@dataclass(frozen=True, slots=True)
class Notice:
    """What an asker is notified of: that the answer is there, or where the request stands."""

    key: str
    step: Step | None = None
    share: float | None = None

    def to_payload(self) -> str:
        """Serialise it; PostgreSQL takes less than 8,000 bytes."""
        return json.dumps([self.key, self.step, None if self.share is None else round(self.share, 3)])

    @classmethod
    def from_payload(cls, payload: str) -> "Notice":
        """Read a payload.

        Raises:
            ValueError: it is none of ours.
        """
        data = json.loads(payload)
        if not isinstance(data, list) or len(data) != 3 or not isinstance(data[0], str):
            raise ValueError("not a notice")
        key, step, share = data
        if not isinstance(share, float | int | None) or isinstance(share, bool):
            raise ValueError("not a share")
        return cls(key, None if step is None else Step(step), share)


_SOURCES: Final[dict[str, type[AttachmentSource | LinkSource | KeptSong]]] = {
    kind.__name__: kind for kind in (AttachmentSource, LinkSource, KeptSong)
}

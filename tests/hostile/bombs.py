"""Files that are small to send and vast to open, written by hand: no encoder would make them in a test's time."""

import random
import struct
import zlib
from pathlib import Path
from typing import Final

from tests.core.fetch.media import ffmpeg

MIB: Final = 1024 * 1024
FLAC_BLOCK: Final = 65_535
"""Samples in one frame, the most that there can be."""


def _crc_table(polynomial: int, bits: int) -> list[int]:
    table = []
    top, mask = 1 << (bits - 1), (1 << bits) - 1
    for byte in range(256):
        value = byte << (bits - 8)
        for _ in range(8):
            value = (value << 1) ^ polynomial if value & top else value << 1
        table.append(value & mask)
    return table


_CRC8 = _crc_table(0x07, 8)
_CRC16 = _crc_table(0x8005, 16)
_CRC32_OGG = _crc_table(0x04C11DB7, 32)


def _crc(data: bytes, table: list[int], bits: int) -> int:
    value, mask = 0, (1 << bits) - 1
    for byte in data:
        value = ((value << 8) & mask) ^ table[(value >> (bits - 8)) ^ byte]
    return value


def _utf8_number(number: int) -> bytes:
    """FLAC's coding of frame numbers: UTF-8 as it once was, up to 36 bits."""
    if number < 0x80:
        return bytes([number])
    tail = []
    limit = 0x40
    while number >= limit:
        tail.append(0x80 | number & 0x3F)
        number >>= 6
        limit >>= 1
    lead = (0xFF << (7 - len(tail))) & 0xFF if len(tail) < 6 else 0xFE
    return bytes([lead & 0xFF | number, *reversed(tail)])


def flac_of_silence(path: Path, size: int, *, announced: bool) -> float:
    """Write a FLAC (RFC 9639) in which each frame of 65,535 samples is one constant, and return its seconds.

    Args:
        path: the file.
        size: bytes at least.
        announced: whether its header gives the duration.
    """
    frames = []
    written = 0
    while written < size:
        # Block size in 16 bits at the end of the header, 44.1 kHz, mono, 16 bits a sample.
        head = b"\xff\xf8\x79\x08" + _utf8_number(len(frames)) + struct.pack(">H", FLAC_BLOCK - 1)
        frame = head + bytes([_crc(head, _CRC8, 8)]) + b"\x00\x00\x00"
        frame += struct.pack(">H", _crc(frame, _CRC16, 16))
        frames.append(frame)
        written += len(frame)
    samples = len(frames) * FLAC_BLOCK
    rate_channels_bits = (44_100 << 44) | (0 << 41) | (15 << 36) | (samples if announced else 0)
    info = struct.pack(">HH", FLAC_BLOCK, FLAC_BLOCK) + bytes(6) + struct.pack(">Q", rate_channels_bits) + bytes(16)
    path.write_bytes(b"fLaC\x80\x00\x00\x22" + info + b"".join(frames))
    return samples / 44_100


def opus_of_silence(path: Path, hours: float) -> None:
    """Write an Ogg Opus (RFC 7845) whose packets are 120 ms of nothing in a byte each."""
    packet = b"\x19"  # SILK, 60 ms, mono, two frames of the same length: none
    packets = round(hours * 3_600 / 0.12)
    with path.open("wb") as file:
        head = b"OpusHead\x01\x01" + struct.pack("<HIhB", 312, 48_000, 0, 0)
        file.write(_ogg_page([head], 0, 0, flags=2))
        file.write(_ogg_page([b"OpusTags" + struct.pack("<I", 0) + struct.pack("<I", 0)], 0, 1))
        done, number = 0, 2
        while done < packets:
            count = min(255, packets - done)
            done += count
            file.write(_ogg_page([packet] * count, done * 5_760, number, flags=4 if done == packets else 0))
            number += 1


def _ogg_page(packets: list[bytes], granule: int, number: int, flags: int = 0) -> bytes:
    """One page (RFC 3533) of packets shorter than 255 bytes."""
    lengths = bytes(len(packet) for packet in packets)
    start = b"OggS\x00" + struct.pack("<BqII", flags, granule, 1, number)
    end = bytes([len(packets)]) + lengths + b"".join(packets)
    checksum = _crc(start + b"\0\0\0\0" + end, _CRC32_OGG, 32)
    return start + struct.pack("<I", checksum) + end


def png_of_pixels(width: int, height: int) -> bytes:
    """A black PNG, one bit a pixel: small to send, `width * height * 4` bytes to open."""
    rows = zlib.compressobj(9)
    row = bytes(1 + (width + 7) // 8)
    packed = b"".join([*(rows.compress(row) for _ in range(height)), rows.flush()])

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")


def mp3_with_tags(song: bytes, tags: int) -> bytes:
    """An MP3 with as many ID3v2.3 text frames before it, each of another name: ffmpeg compares each with all."""
    bodies = (b"\x00%07x\x00x" % number for number in range(tags))
    frames = b"".join(b"TXXX" + struct.pack(">I", len(body)) + b"\0\0" + body for body in bodies)
    syncsafe = bytes((len(frames) >> shift) & 0x7F for shift in (21, 14, 7, 0))
    return b"ID3\x03\0\0" + syncsafe + frames + song


def mp3_with_cover(song: bytes, cover: bytes) -> bytes:
    """An MP3 with an ID3v2.3 picture before it."""
    body = b"\x00image/png\x00\x03\x00" + cover
    frame = b"APIC" + struct.pack(">I", len(body)) + b"\0\0" + body
    size = len(frame)
    syncsafe = bytes((size >> shift) & 0x7F for shift in (21, 14, 7, 0))
    return b"ID3\x03\x00\x00" + syncsafe + frame + song


def wav(samples: bytes, *, riff: int, data: int, rate: int = 22_050, channels: int = 1, bits: int = 16) -> bytes:
    """A WAV with any numbers in its header."""
    block = channels * bits // 8
    form = struct.pack("<HHIIHH", 1, channels, rate, rate * block & 0xFFFFFFFF, block & 0xFFFF, bits)
    return (
        b"RIFF" + struct.pack("<I", riff) + b"WAVEfmt " + struct.pack("<I", 16) + form
        + b"data" + struct.pack("<I", data) + samples
    )  # fmt: skip


def many_streams(directory: Path, count: int) -> Path:
    """Write a Matroska file of many soundtracks."""
    maps = [word for _ in range(count) for word in ("-map", "0:a")]
    ffmpeg(
        *("-f", "lavfi", "-i", "sine=440:r=8000:d=4", *maps, "-c:a", "pcm_u8", "many.mka"),
        cwd=directory,
    )
    return directory / "many.mka"


def sparse(path: Path, size: int, start: bytes = b"") -> Path:
    """Write a file of which only the start is on the disk."""
    with path.open("wb") as file:
        file.write(start)
        file.truncate(size)
    return path


def mutate(data: bytes, rng: random.Random) -> bytes:
    """One of the ways in which files break, and in which attackers break them."""
    spoiled = bytearray(data)
    for _ in range(rng.randint(1, 3)):
        at = rng.randrange(len(spoiled))
        length = min(len(spoiled) - at, int(2 ** rng.uniform(0, 14)))
        match rng.randrange(9):
            case 0:  # a few bits
                for _ in range(rng.randint(1, 200)):
                    spoiled[rng.randrange(len(spoiled))] ^= 1 << rng.randrange(8)
            case 1:  # the head, where lengths and counts are
                for _ in range(rng.randint(1, 20)):
                    spoiled[rng.randrange(min(len(spoiled), 512))] = rng.choice((0, 1, 0x7F, 0x80, 0xFF))
            case 2:  # cut off
                del spoiled[max(at, 16) :]
            case 3:  # a hole
                del spoiled[at : at + min(length, len(spoiled) - 16)]
            case 4:  # zeros
                spoiled[at : at + length] = bytes(length)
            case 5:  # noise
                spoiled[at : at + length] = rng.randbytes(length)
            case 6:  # more than there was
                spoiled[at:at] = rng.randbytes(length)
            case 7:  # twice the same
                spoiled[at:at] = spoiled[at : at + length]
            case _:  # huge numbers
                spoiled[at : at + 4] = rng.choice(
                    (b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\0\0\0\0", b"\x80\0\0\0")
                )
    return bytes(spoiled)

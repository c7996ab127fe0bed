"""S3's rules for a request body: payload hashes, streaming chunks with signatures, checksums."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from typing import Callable

from .sigv4 import AuthError, Scope

EMPTY_SHA256 = hashlib.sha256(b"").hexdigest()
STREAMING = {
    "STREAMING-UNSIGNED-PAYLOAD-TRAILER",
    "STREAMING-AWS4-HMAC-SHA256-PAYLOAD",
    "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER",
}
Header = Callable[[str], "str | None"]


class S3Error(Exception):
    def __init__(self, status: int, code: str, text: str):
        super().__init__(text)
        self.status, self.code = status, code


def _crc32(data: bytes) -> bytes:
    return binascii.crc32(data).to_bytes(4, "big")


def _crt(name: str, size: int) -> Callable[[bytes], bytes]:
    def run(data: bytes) -> bytes:
        from awscrt import checksums

        return getattr(checksums, name)(data).to_bytes(size, "big")

    return run


CHECKSUMS: dict[str, Callable[[bytes], bytes]] = {
    "x-amz-checksum-crc32": _crc32,
    "x-amz-checksum-crc32c": _crt("crc32c", 4),
    "x-amz-checksum-crc64nvme": _crt("crc64nvme", 8),
    "x-amz-checksum-sha1": lambda data: hashlib.sha1(data).digest(),
    "x-amz-checksum-sha256": lambda data: hashlib.sha256(data).digest(),
}


def check_payload_header(value: str | None, presigned: bool) -> str:
    if presigned:
        return value or "UNSIGNED-PAYLOAD"
    if value is None:
        raise S3Error(400, "InvalidRequest", "Missing required header for this request: x-amz-content-sha256")
    plain = len(value) == 64 and all(char in "0123456789abcdef" for char in value)
    if not plain and value != "UNSIGNED-PAYLOAD" and value not in STREAMING:
        text = "x-amz-content-sha256 must be UNSIGNED-PAYLOAD, a STREAMING form, or a valid sha256 value."
        raise S3Error(400, "InvalidArgument", text)
    return value


def check_body(body: bytes, payload_hash: str, header: Header) -> None:
    """A whole, plain body against its hash and its checksums."""
    if len(payload_hash) == 64 and hashlib.sha256(body).hexdigest() != payload_hash:
        text = "The provided 'x-amz-content-sha256' header does not match what was computed."
        raise S3Error(400, "XAmzContentSHA256Mismatch", text)
    md5 = header("content-md5")
    if md5 is not None:
        _compare("Content-MD5", md5, hashlib.md5(body).digest(), "Content-MD5")
    for name, compute in CHECKSUMS.items():
        given = header(name)
        if given is not None and "-" not in given:
            _compare(name, given, compute(body), name.removeprefix("x-amz-checksum-").upper())


def _compare(name: str, given: str, right: bytes, label: str) -> None:
    try:
        raw = base64.b64decode(given, validate=True)
    except binascii.Error:
        raw = b""
    if len(raw) != len(right):
        if name == "Content-MD5":
            raise S3Error(400, "InvalidDigest", "The Content-MD5 you specified was invalid.")
        raise S3Error(400, "InvalidRequest", f"Value for {name} header is invalid.")
    if raw != right:
        raise S3Error(400, "BadDigest", f"The {label} you specified did not match the calculated checksum.")


def _chunks(raw: bytes) -> tuple[list[tuple[str, bytes]], bytes]:
    """Split an aws-chunked body into (extension, data) pairs, the last one empty, and the trailer bytes."""
    found, at = [], 0
    while True:
        end = raw.find(b"\r\n", at)
        if end < 0 or end - at > 200:
            raise S3Error(400, "IncompleteBody", "The aws-chunked body is cut or malformed.")
        size_text, _, extension = raw[at:end].decode("latin-1").partition(";")
        try:
            size = int(size_text, 16)
        except ValueError:
            raise S3Error(400, "InvalidRequest", "The aws-chunked body has a malformed chunk size.") from None
        at = end + 2
        found.append((extension, raw[at : at + size]))
        if size == 0:
            return found, raw[at:]
        if len(raw) < at + size + 2 or raw[at + size : at + size + 2] != b"\r\n":
            raise S3Error(400, "IncompleteBody", "The aws-chunked body is cut or malformed.")
        at += size + 2


def decode_streaming(raw: bytes, payload: str, header: Header, scope: Scope, key: bytes) -> tuple[bytes, dict[str, str]]:
    """Undo aws-chunked; verify chunk signatures, the decoded length and the trailer."""
    length = header("x-amz-decoded-content-length")
    if length is None or not length.isdigit():
        raise S3Error(411, "MissingContentLength", "You must provide the x-amz-decoded-content-length header.")
    if "aws-chunked" not in (header("content-encoding") or ""):
        raise S3Error(400, "InvalidRequest", "content-encoding must name aws-chunked for a streaming payload.")
    chunks, rest = _chunks(raw)
    body = b"".join(data for _, data in chunks)
    if len(body) != int(length):
        raise S3Error(400, "IncompleteBody", "The decoded length differs from x-amz-decoded-content-length.")
    previous = scope.signature
    if payload.startswith("STREAMING-AWS4-HMAC"):
        for extension, data in chunks:
            previous = _check_chunk(extension, data, previous, scope, key)
    trailers: dict[str, str] = {}
    lines = [line for line in rest.decode("latin-1").split("\r\n") if line]
    for line in lines:
        name, _, value = line.partition(":")
        trailers[name.strip().lower()] = value.strip()
    if payload.endswith("-TRAILER"):
        _check_trailer(trailers, payload, header, previous, scope, key)
    for name, value in trailers.items():
        if name in CHECKSUMS:
            _compare(name, value, CHECKSUMS[name](body), name.removeprefix("x-amz-checksum-").upper())
    trailers.pop("x-amz-trailer-signature", None)
    return body, trailers


def _where(scope: Scope) -> str:
    return f"{scope.date}/{scope.region}/{scope.service}/aws4_request"


def _check_chunk(extension: str, data: bytes, previous: str, scope: Scope, key: bytes) -> str:
    digest = hashlib.sha256(data).hexdigest()
    lines = ["AWS4-HMAC-SHA256-PAYLOAD", scope.timestamp, _where(scope), previous, EMPTY_SHA256, digest]
    right = hmac.new(key, "\n".join(lines).encode(), hashlib.sha256).hexdigest()
    if extension != f"chunk-signature={right}":
        raise AuthError("signature", "The signature of a chunk does not match.")
    return right


def _check_trailer(
    trailers: dict[str, str], payload: str, header: Header, previous: str, scope: Scope, key: bytes
) -> None:
    wanted = [name.strip().lower() for name in (header("x-amz-trailer") or "").split(",") if name.strip()]
    if any(name not in trailers for name in wanted):
        raise S3Error(400, "MalformedTrailerError", "The request contained trailing data that was not well-formed.")
    if not payload.startswith("STREAMING-AWS4-HMAC"):
        return
    text = "".join(f"{name}:{trailers[name]}\n" for name in sorted(wanted))
    digest = hashlib.sha256(text.encode()).hexdigest()
    lines = ["AWS4-HMAC-SHA256-TRAILER", scope.timestamp, _where(scope), previous, digest]
    right = hmac.new(key, "\n".join(lines).encode(), hashlib.sha256).hexdigest()
    if trailers.get("x-amz-trailer-signature") != right:
        raise AuthError("signature", "The signature of the trailer does not match.")

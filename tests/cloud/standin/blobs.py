"""The second host of a layer download: signed URLs, ranges, and a refusal of Authorization, as S3 does it."""

from __future__ import annotations

import calendar
import hashlib
import hmac
import re
import time
from typing import TYPE_CHECKING
from urllib.parse import quote

from . import awserrors
from .httpd import FileBody, Request, Response
from .journal import Info, Journal
from .store import DIGEST

if TYPE_CHECKING:
    from .registry import Registry

LIFE = 3600


class BlobServer:
    def __init__(self, secret: bytes, journal: Journal):
        self.secret, self.journal = secret, journal
        self.address = ""
        self.registries: dict[str, "Registry"] = {}

    def _signature(self, path: str, date: str, expires: str) -> str:
        return hmac.new(self.secret, f"{path}\n{date}\n{expires}".encode(), hashlib.sha256).hexdigest()

    def url(self, region: str, digest: str) -> str:
        path = f"/prod-{region}-starport-layer-bucket/{digest}"
        date, expires = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime()), str(LIFE)
        credential = quote(f"STANDIN/{date[:8]}/{region}/s3/aws4_request", safe="")
        return (
            f"http://{self.address}{path}?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Date={date}&X-Amz-SignedHeaders=host"
            f"&X-Amz-Expires={expires}&X-Amz-Credential={credential}"
            f"&X-Amz-Signature={self._signature(path, date, expires)}"
        )

    async def handle(self, request: Request) -> Response:
        found = re.match(r"^/prod-([a-z0-9-]+)-starport-layer-bucket/(.+)$", request.plain_path)
        region = found.group(1) if found else ""
        info = Info("blob", "GetLayer", region, request.method not in ("GET", "HEAD"))
        info.error = lambda status, throttle: awserrors.fault("s3", status, throttle)

        async def work() -> Response:
            return self._serve(request, info, region, found.group(2) if found else "")

        return await self.journal.run(request, info, work)

    def _serve(self, request: Request, info: Info, region: str, digest: str) -> Response:
        if request.header("authorization") is not None:
            info.auth = "two-ways"
            text = "Only one auth mechanism allowed; only the X-Amz-Algorithm query parameter, Signature query"
            text += " string parameter or the Authorization header should be specified"
            return awserrors.s3_error(400, "InvalidArgument", text, request.path)
        if request.method not in ("GET", "HEAD"):
            return awserrors.s3_error(405, "MethodNotAllowed", "The specified method is not allowed.", request.path)
        params = request.params
        date, expires = params.get("X-Amz-Date", ""), params.get("X-Amz-Expires", "")
        right = self._signature(request.plain_path, date, expires)
        if not hmac.compare_digest(right, params.get("X-Amz-Signature", "")):
            info.auth = "signature"
            return awserrors.s3_error(403, "SignatureDoesNotMatch", "The signature does not match.", request.path)
        if time.time() > calendar.timegm(time.strptime(date, "%Y%m%dT%H%M%SZ")) + int(expires):
            info.auth = "presigned-expired"
            return awserrors.s3_error(403, "AccessDenied", "Request has expired", request.path)
        info.auth = "ok"
        registry = self.registries.get(region)
        path = registry.store.blob_path(digest) if registry and DIGEST.match(digest) else None
        if path is None or not path.exists():
            return awserrors.s3_error(404, "NoSuchKey", "The specified key does not exist.", request.path)
        return _file_answer(request, str(path), path.stat().st_size, digest)


def _file_answer(request: Request, path: str, size: int, digest: str) -> Response:
    headers = {"Content-Type": "application/octet-stream", "Accept-Ranges": "bytes", "ETag": f'"{digest[7:39]}"'}
    wanted = re.match(r"^bytes=(\d+)-(\d*)$", request.header("range") or "")
    if not wanted:
        return Response(200, headers, FileBody(path, 0, size))
    first = int(wanted.group(1))
    last = min(int(wanted.group(2) or size - 1), size - 1)
    if first > last:
        error = awserrors.s3_error(416, "InvalidRange", "The requested range is not satisfiable", request.path)
        error.headers.append(("Content-Range", f"bytes */{size}"))
        return error
    headers["Content-Range"] = f"bytes {first}-{last}/{size}"
    return Response(206, headers, FileBody(path, first, last - first + 1))

"""Checks AWS signatures: botocore's signing code, run again over the request as it arrived."""

from __future__ import annotations

import calendar
import hashlib
import hmac
import re
import time
from dataclasses import dataclass
from typing import Callable
from urllib.parse import quote, unquote, urlsplit

from botocore.auth import S3SigV4Auth, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.compat import HTTPHeaders
from botocore.credentials import Credentials

SKEW = 15 * 60
AUTH = re.compile(r"^AWS4-HMAC-SHA256\s+Credential=([^,]+),\s*SignedHeaders=([^,]+),\s*Signature=([0-9a-f]{64})$")


class AuthError(Exception):
    """kind is one word of ours; each protocol has its own name for it."""

    def __init__(self, kind: str, text: str):
        super().__init__(text)
        self.kind = kind


@dataclass
class Key:
    secret: str
    token: str = ""
    expires: float = 0.0


@dataclass
class Scope:
    """The parts of a request's credential that are needed before the signature is checked."""

    access_key: str
    date: str
    region: str
    service: str
    signed: list[str]
    signature: str
    timestamp: str
    presigned: bool
    expires: int = 0


Header = Callable[[str], "str | None"]


def read_scope(header: Header, params: dict[str, str]) -> Scope:
    value = header("authorization")
    if value and "X-Amz-Signature" in params:
        raise AuthError("two-ways", "Only one auth mechanism allowed")
    if value:
        found = AUTH.match(value)
        if not found:
            raise AuthError("incomplete", "The Authorization header is not an AWS4-HMAC-SHA256 one.")
        credential, signed, signature = found.groups()
        timestamp = header("x-amz-date") or ""
        presigned, expires = False, 0
    elif "X-Amz-Signature" in params:
        if params.get("X-Amz-Algorithm") != "AWS4-HMAC-SHA256":
            raise AuthError("incomplete", "X-Amz-Algorithm only supports AWS4-HMAC-SHA256")
        credential, signed = params.get("X-Amz-Credential", ""), params.get("X-Amz-SignedHeaders", "")
        signature, timestamp = params["X-Amz-Signature"], params.get("X-Amz-Date", "")
        presigned, expires = True, int(params.get("X-Amz-Expires", "0") or 0)
    else:
        raise AuthError("missing", "Missing Authentication Token")
    parts = credential.split("/")
    if len(parts) != 5 or parts[4] != "aws4_request":
        raise AuthError("incomplete", "The credential scope is malformed.")
    return Scope(parts[0], parts[1], parts[2], parts[3], signed.split(";"), signature, timestamp, presigned, expires)


def canonical_query(query: str) -> str:
    pairs = []
    for part in query.split("&"):
        if not part:
            continue
        name, _, value = part.partition("=")
        name, value = (quote(unquote(text), safe="-_.~") for text in (name, value))
        if name != "X-Amz-Signature":
            pairs.append((name, value))
    return "&".join(f"{name}={value}" for name, value in sorted(pairs))


class _Again:
    """The header selection of a request that is already signed; mixed into botocore's signers."""

    scope: Scope
    payload_hash: str
    query: str

    def headers_to_sign(self, request: AWSRequest) -> HTTPHeaders:
        chosen = HTTPHeaders()
        for name in self.scope.signed:
            for value in request.headers.get_all(name, []):
                chosen[name] = value
        return chosen

    def canonical_query_string(self, request: AWSRequest) -> str:
        return canonical_query(self.query)

    def payload(self, request: AWSRequest) -> str:
        return self.payload_hash


class _PlainSigner(_Again, SigV4Auth):
    pass


class _S3Signer(_Again, S3SigV4Auth):
    pass


class Verifier:
    """Holds the keys that are known: the fixed one and those that STS and IAM gave out."""

    def __init__(self, clock: Callable[[], float] = time.time):
        self.keys: dict[str, Key] = {}
        self.clock = clock

    def verify(
        self,
        method: str,
        target: str,
        headers: list[tuple[str, str]],
        scope: Scope,
        token: str,
        payload_hash: str,
    ) -> bytes:
        """Raise AuthError or return the signing key, which streaming bodies need for their chunks."""
        key = self.keys.get(scope.access_key)
        if key is None:
            raise AuthError("unknown-key", "The security token included in the request is invalid.")
        if key.token != token:
            raise AuthError("bad-token", "The security token included in the request is invalid.")
        if key.expires and self.clock() > key.expires:
            raise AuthError("expired-token", "The security token included in the request is expired")
        self._check_time(scope)
        names = {name.lower() for name, _ in headers}
        if "host" not in scope.signed or any(name not in names for name in scope.signed):
            raise AuthError("signature", "A signed header is absent, or host is not signed.")

        request = AWSRequest(method=method)
        for name, value in headers:
            request.headers[name] = value
        parts = urlsplit("http://host" + target.partition("?")[0])
        request.url = "http://host" + (parts.path or "/")
        request.context["timestamp"] = scope.timestamp
        kind = _S3Signer if scope.service == "s3" else _PlainSigner
        signer = kind(Credentials(scope.access_key, key.secret), scope.service, scope.region)
        signer.scope, signer.payload_hash, signer.query = scope, payload_hash, target.partition("?")[2]

        wanted = signer.headers_to_sign(request)
        canonical = "\n".join(
            [
                method,
                signer._normalize_url_path(parts.path or "/"),
                signer.canonical_query_string(request),
                signer.canonical_headers(wanted) + "\n",
                ";".join(scope.signed),
                payload_hash,
            ]
        )
        where = f"{scope.date}/{scope.region}/{scope.service}/aws4_request"
        digest = hashlib.sha256(canonical.encode()).hexdigest()
        to_sign = f"AWS4-HMAC-SHA256\n{scope.timestamp}\n{where}\n{digest}"
        signing_key = derive_key(key.secret, scope.date, scope.region, scope.service)
        right = hmac.new(signing_key, to_sign.encode(), hashlib.sha256).hexdigest()
        if not hmac.compare_digest(right, scope.signature):
            raise AuthError(
                "signature",
                "The request signature we calculated does not match the signature you provided."
                f" The canonical request was:\n{canonical}",
            )
        return signing_key

    def _check_time(self, scope: Scope) -> None:
        if not re.fullmatch(r"[0-9]{8}T[0-9]{6}Z", scope.timestamp):
            raise AuthError("incomplete", "The request has no valid X-Amz-Date.")
        if not scope.timestamp.startswith(scope.date):
            raise AuthError("signature", f"Date in Credential scope does not match {scope.timestamp}")
        then = calendar.timegm(time.strptime(scope.timestamp, "%Y%m%dT%H%M%SZ"))
        now = self.clock()
        if scope.presigned:
            if now > then + scope.expires or scope.expires > 7 * 86400:
                raise AuthError("presigned-expired", "Request has expired")
            if then > now + SKEW:
                raise AuthError("skew", "Request is not yet valid")
        elif abs(now - then) > SKEW:
            raise AuthError("skew", f"Signature expired or not yet current: {scope.timestamp}")


def derive_key(secret: str, date: str, region: str, service: str) -> bytes:
    key = ("AWS4" + secret).encode()
    for part in (date, region, service, "aws4_request"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return key


def codecommit_password(secret: str, timestamp: str, region: str, host: str, path: str) -> str:
    """The password of git over HTTPS: one signature over a fixed pseudo-request, without a payload line."""
    canonical = f"GIT\n{path}\n\nhost:{host}\n\nhost\n"
    where = f"{timestamp[:8]}/{region}/codecommit/aws4_request"
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    to_sign = f"AWS4-HMAC-SHA256\n{timestamp}\n{where}\n{digest}"
    key = derive_key(secret, timestamp[:8], region, "codecommit")
    return timestamp + "Z" + hmac.new(key, to_sign.encode(), hashlib.sha256).hexdigest()

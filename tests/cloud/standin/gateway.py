"""The port of all AWS APIs and regions: signature, model and S3 checks, then our overrides or moto."""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
import traceback
import uuid
from concurrent.futures import ThreadPoolExecutor
from email.utils import formatdate
from typing import Any, Callable
from urllib.parse import parse_qsl, unquote
from xml.sax.saxutils import escape

from . import awserrors, s3body
from .awserrors import ApiError
from .bridge import Moto
from .httpd import Request, Response
from .journal import READ_ONLY, Info, Journal
from .model import ModelError, Models
from .sigv4 import AuthError, Key, Scope, Verifier, read_scope

# (service, action) -> function of (region, params); the answer is the JSON body.
Override = Callable[[str, dict[str, Any]], dict[str, Any]]
# (service, action) -> function of (region, params, moto's answer).
After = Callable[[str, dict[str, Any], dict[str, Any]], dict[str, Any]]
# (service, action) -> function of (region, params) that may refuse with an ApiError before moto is asked.
Before = Callable[[str, dict[str, Any]], None]

S3_SUBRESOURCES = {
    "uploads": "MultipartUploads", "uploadId": "Parts", "versioning": "BucketVersioning", "location": "BucketLocation",
    "policy": "BucketPolicy", "tagging": "Tagging", "replication": "BucketReplication", "acl": "Acl",
    "lifecycle": "BucketLifecycleConfiguration", "encryption": "BucketEncryption", "cors": "BucketCors",
    "versions": "ObjectVersions", "attributes": "ObjectAttributes", "website": "BucketWebsite",
    "notification": "BucketNotification", "publicAccessBlock": "PublicAccessBlock",
}  # fmt: skip


def s3_action(method: str, path: str, params: dict[str, str], copies: bool) -> str:
    """The operation's name, as far as the log needs it."""
    bucket, _, key = path.lstrip("/").partition("/")
    if not bucket:
        return "ListBuckets"
    verb = {"GET": "Get", "HEAD": "Head", "PUT": "Put", "POST": "Post", "DELETE": "Delete"}.get(method, method)
    if key and "uploads" in params and method == "POST":
        return "CreateMultipartUpload"
    if "uploadId" in params:
        put = "UploadPartCopy" if copies else "UploadPart"
        return {
            "PUT": put, "POST": "CompleteMultipartUpload", "DELETE": "AbortMultipartUpload", "GET": "ListParts"
        }.get(method, method)  # fmt: skip
    if "delete" in params and method == "POST":
        return "DeleteObjects"
    for name, label in S3_SUBRESOURCES.items():
        if name in params:
            return ("List" if name in ("uploads", "versions") and verb == "Get" else verb) + label
    if key:
        return "CopyObject" if copies and method == "PUT" else verb + "Object"
    if method == "GET":
        return "ListObjectsV2" if params.get("list-type") == "2" else "ListObjects"
    return {"PUT": "CreateBucket"}.get(method, verb + "Bucket")


class Gateway:
    def __init__(self, moto: Moto, verifier: Verifier, journal: Journal):
        self.moto, self.verifier, self.journal = moto, verifier, journal
        self.overrides: dict[tuple[str, str], Override] = {}
        self.after: dict[tuple[str, str], After] = {}
        self.before: dict[tuple[str, str], Before] = {}
        # moto is not made for threads: one worker, so its calls and ours come one after the other.
        self.worker = ThreadPoolExecutor(max_workers=1)
        self.models = Models()

    async def in_worker(self, function: Callable[..., Any], *arguments: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self.worker, function, *arguments)

    async def handle(self, request: Request) -> Response:
        params = request.params
        target = request.header("x-amz-target") or ""
        form: dict[str, str] = {}
        content_type = (request.header("content-type") or "").split(";")[0].strip()
        problem: AuthError | None = None
        scope: Scope | None = None
        try:
            scope = read_scope(request.header, params)
        except (AuthError, ValueError) as error:
            problem = error if isinstance(error, AuthError) else AuthError("incomplete", str(error))
        service = scope.service if scope else ("" if target else "s3")
        if not target and service != "s3" and content_type == "application/x-www-form-urlencoded":
            form = dict(parse_qsl((await request.read_all()).decode("utf-8", "replace"), keep_blank_values=True))
        if target:
            protocol, action = "json", target.rpartition(".")[2]
        elif form.get("Action") or (service != "s3" and params.get("Action")):
            protocol, action = ("ec2" if service == "ec2" else "query"), form.get("Action") or params["Action"]
        elif service == "s3":
            copies = request.header("x-amz-copy-source") is not None
            protocol, action = "s3", s3_action(request.method, request.plain_path, params, copies)
        else:
            protocol, action = "rest", f"{request.method} {request.path}"
        if protocol in ("s3", "rest"):
            mutating = request.method not in ("GET", "HEAD")
        else:
            mutating = not READ_ONLY.match(action)
        info = Info(service, action, scope.region if scope else "", mutating)
        info.error = lambda status, throttle: awserrors.fault(protocol, status, throttle)

        async def work() -> Response:
            if problem is not None or scope is None:
                info.auth = problem.kind if problem else "missing"
                return awserrors.auth(protocol, problem or AuthError("missing", ""))
            body = await request.read_all()
            return await self.in_worker(self._serve, request, info, scope, protocol, body)

        response = await self.journal.run(request, info, work)
        response.headers = [pair for pair in response.headers if pair[0].lower() != "date"]
        response.headers.append(("Date", formatdate(self.verifier.clock(), usegmt=True)))
        return response

    def _serve(self, request: Request, info: Info, scope: Scope, protocol: str, body: bytes) -> Response:
        try:
            if protocol == "s3":
                return self._serve_s3(request, info, scope, body)
            self._verify_plain(request, info, scope, body)
            if protocol == "json":
                return self._serve_json(request, info, scope, body)
            if protocol == "query":
                self._check_query(request, info, scope, body)
            return self._pass(request, info, scope, request.target, request.headers, body)
        except AuthError as error:
            info.auth = error.kind
            return awserrors.auth(protocol, error)
        except ModelError as error:
            info.valid = str(error)
            return awserrors.query_error(400, error.code, str(error))
        except ApiError as error:
            info.valid = info.valid or "ok"
            return awserrors.json_error(error.status, error.code, str(error))
        except Exception:
            traceback.print_exc()
            return awserrors.fault(protocol, 500, False)

    def _token(self, request: Request) -> str:
        return request.header("x-amz-security-token") or request.params.get("X-Amz-Security-Token", "")

    def _verify_plain(self, request: Request, info: Info, scope: Scope, body: bytes) -> None:
        digest = hashlib.sha256(body).hexdigest()
        given = request.header("x-amz-content-sha256")
        if given is not None and given != digest:
            raise AuthError("signature", "x-amz-content-sha256 is not the hash of the body")
        token = self._token(request)
        self.verifier.verify(request.method, request.target, request.headers, scope, token, digest)
        info.auth = "ok"

    def _check_query(self, request: Request, info: Info, scope: Scope, body: bytes) -> None:
        text = body.decode("utf-8", "replace") if body else request.query
        self.models.check_query(scope.service, dict(parse_qsl(text, keep_blank_values=True)))
        info.valid = "ok"

    def _serve_json(self, request: Request, info: Info, scope: Scope, body: bytes) -> Response:
        target = request.header("x-amz-target") or ""
        try:
            params, info.warnings = self.models.check_json(
                scope.service, target, request.header("content-type") or "", body
            )
        except ModelError as error:
            info.valid = str(error)
            return awserrors.json_error(400, error.code, str(error))
        info.valid = "ok"
        override = self.overrides.get((scope.service, info.action))
        if override is not None:
            return awserrors.json_answer(override(scope.region, params))
        before = self.before.get((scope.service, info.action))
        if before is not None:
            before(scope.region, params)
        response = self._pass(request, info, scope, request.target, request.headers, body)
        hook = self.after.get((scope.service, info.action))
        if hook is None or response.status != 200:
            return response
        return awserrors.json_answer(hook(scope.region, params, json.loads(bytes(response.body) or b"{}")))

    def _pass(
        self, request: Request, info: Info, scope: Scope, target: str, headers: list[tuple[str, str]], body: bytes
    ) -> Response:
        try:
            status, given, data = self.moto.call(scope.service, scope.region, request.method, target, headers, body)
        except NotImplementedError as error:
            return awserrors.json_error(501, "NotImplemented", f"the stand-in has no {info.action}: {error}")
        if info.action in ("AssumeRole", "AssumeRoleWithWebIdentity", "GetSessionToken", "CreateAccessKey"):
            self._learn(data.decode("utf-8", "replace"))
        hidden = {"connection", "transfer-encoding", "date"} | (set() if request.method == "HEAD" else {"content-length"})
        kept = [(key, value) for key, value in given if key.lower() not in hidden]
        if not any(key.lower() in ("x-amzn-requestid", "x-amz-request-id") for key, _ in kept):
            kept.append(("x-amzn-RequestId", str(uuid.uuid4())))
        return Response(status, kept, data)

    def _learn(self, text: str) -> None:
        """Keys that STS and IAM give out are good for signing from now on."""

        def field(name: str) -> str:
            found = re.search(rf"<{name}>([^<]*)</{name}>", text)
            return found.group(1) if found else ""

        if field("AccessKeyId") and field("SecretAccessKey"):
            expires = 0.0
            if field("Expiration"):
                from dateutil.parser import isoparse

                expires = isoparse(field("Expiration")).timestamp()
            key = Key(field("SecretAccessKey"), field("SessionToken"), expires)
            self.verifier.keys[field("AccessKeyId")] = key

    def _serve_s3(self, request: Request, info: Info, scope: Scope, body: bytes) -> Response:
        try:
            return self._checked_s3(request, info, scope, body)
        except s3body.S3Error as error:
            info.valid = error.code
            return awserrors.s3_error(error.status, error.code, str(error), request.plain_path)

    def _checked_s3(self, request: Request, info: Info, scope: Scope, body: bytes) -> Response:
        payload = s3body.check_payload_header(request.header("x-amz-content-sha256"), scope.presigned)
        token = self._token(request)
        key = self.verifier.verify(request.method, request.target, request.headers, scope, token, payload)
        unsigned = sorted({name.lower() for name, _ in request.headers} - set(scope.signed))
        loose = [name for name in unsigned if name.startswith("x-amz-")]
        if loose:
            info.auth = "headers-not-signed"
            extra = f"<HeadersNotSigned>{escape(', '.join(loose))}</HeadersNotSigned>"
            text = "There were headers present in the request which were not signed"
            return awserrors.s3_error(403, "AccessDenied", text, request.plain_path, extra)
        info.auth = "ok"
        headers = list(request.headers)
        if payload in s3body.STREAMING:
            body, trailers = s3body.decode_streaming(body, payload, request.header, scope, key)
            headers = _plain_headers(headers, len(body), trailers)
        else:
            s3body.check_body(body, payload, request.header)
        info.valid = "ok"
        redirect = self._wrong_region(request, info, scope)
        if redirect is not None:
            return redirect
        return self._pass(request, info, scope, request.target, _no_form(headers), body)

    def _wrong_region(self, request: Request, info: Info, scope: Scope) -> Response | None:
        bucket = unquote(request.path.lstrip("/").partition("/")[0])
        if not bucket or info.action in ("CreateBucket", "GetBucketLocation"):
            return None
        region = self.moto.bucket_region(bucket)
        if region is None or region == scope.region:
            return None
        headers = {"x-amz-bucket-region": region, "Content-Type": "application/xml"}
        endpoint = f"<Endpoint>s3.{region}.amazonaws.com</Endpoint><Bucket>{escape(bucket)}</Bucket>"
        text = "The bucket you are attempting to access must be addressed using the specified endpoint."
        error = awserrors.s3_error(301, "PermanentRedirect", text, request.plain_path, endpoint)
        return Response(301, headers, error.body)


def _no_form(headers: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """moto would read such a body as a form and store an empty object."""
    form = "application/x-www-form-urlencoded"
    return [(name, "binary/octet-stream" if value.startswith(form) else value) for name, value in headers]


def _plain_headers(headers: list[tuple[str, str]], length: int, trailers: dict[str, str]) -> list[tuple[str, str]]:
    """The headers of an aws-chunked upload as they would be without the chunks."""
    kept = []
    for name, value in headers:
        lower = name.lower()
        if lower == "content-encoding":
            rest = [part.strip() for part in value.split(",") if part.strip() != "aws-chunked"]
            if rest:
                kept.append((name, ",".join(rest)))
        elif lower == "x-amz-content-sha256":
            kept.append((name, "UNSIGNED-PAYLOAD"))
        elif lower not in ("x-amz-trailer", "x-amz-decoded-content-length", "content-length", "transfer-encoding"):
            kept.append((name, value))
    return kept + [("Content-Length", str(length))] + list(trailers.items())

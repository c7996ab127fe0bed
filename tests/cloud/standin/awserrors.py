"""Error answers in the form of each AWS protocol."""

from __future__ import annotations

import json
import uuid
from typing import TYPE_CHECKING, Any
from xml.sax.saxutils import escape

from .httpd import Response

if TYPE_CHECKING:
    from .sigv4 import AuthError

# kind of AuthError -> names in JSON services, query services and S3 (status, code).
AUTH_NAMES = {
    "signature": ("InvalidSignatureException", (403, "SignatureDoesNotMatch"), (403, "SignatureDoesNotMatch")),
    "unknown-key": ("UnrecognizedClientException", (403, "InvalidClientTokenId"), (403, "InvalidAccessKeyId")),
    "bad-token": ("UnrecognizedClientException", (403, "InvalidClientTokenId"), (400, "InvalidToken")),
    "expired-token": ("ExpiredTokenException", (403, "ExpiredToken"), (400, "ExpiredToken")),
    "missing": ("MissingAuthenticationTokenException", (403, "MissingAuthenticationToken"), (403, "AccessDenied")),
    "incomplete": ("IncompleteSignatureException", (400, "IncompleteSignature"), (400, "AuthorizationHeaderMalformed")),
    "skew": ("InvalidSignatureException", (403, "SignatureDoesNotMatch"), (403, "RequestTimeTooSkewed")),
    "presigned-expired": ("InvalidSignatureException", (403, "SignatureDoesNotMatch"), (403, "AccessDenied")),
    "two-ways": ("IncompleteSignatureException", (400, "IncompleteSignature"), (400, "InvalidArgument")),
}


class ApiError(Exception):
    """An error of a JSON service, in AWS's words."""

    def __init__(self, code: str, text: str, status: int = 400):
        super().__init__(text)
        self.code, self.status = code, status


def json_answer(data: dict[str, Any], status: int = 200) -> Response:
    headers = {"Content-Type": "application/x-amz-json-1.1", "x-amzn-RequestId": str(uuid.uuid4())}
    return Response(status, headers, json.dumps(data))


def json_error(status: int, code: str, text: str) -> Response:
    return json_answer({"__type": code, "message": text}, status)


def query_error(status: int, code: str, text: str) -> Response:
    kind = "Sender" if status < 500 else "Receiver"
    body = (
        "<ErrorResponse><Error>"
        f"<Type>{kind}</Type><Code>{code}</Code><Message>{escape(text)}</Message>"
        f"</Error><RequestId>{uuid.uuid4()}</RequestId></ErrorResponse>"
    )
    return Response(status, {"Content-Type": "text/xml"}, body)


def ec2_error(status: int, code: str, text: str) -> Response:
    body = (
        f"<Response><Errors><Error><Code>{code}</Code><Message>{escape(text)}</Message></Error></Errors>"
        f"<RequestID>{uuid.uuid4()}</RequestID></Response>"
    )
    return Response(status, {"Content-Type": "text/xml"}, body)


def s3_error(status: int, code: str, text: str, resource: str = "/", extra: str = "") -> Response:
    request_id = uuid.uuid4().hex[:16].upper()
    body = (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f"<Error><Code>{code}</Code><Message>{escape(text)}</Message>{extra}"
        f"<Resource>{escape(resource)}</Resource><RequestId>{request_id}</RequestId></Error>"
    )
    headers = {"Content-Type": "application/xml", "x-amz-request-id": request_id, "x-amz-id-2": "stand-in"}
    return Response(status, headers, body)


def rest_error(status: int, code: str, text: str) -> Response:
    headers = {"Content-Type": "application/json", "x-amzn-ErrorType": code, "x-amzn-RequestId": str(uuid.uuid4())}
    return Response(status, headers, json.dumps({"message": text}))


def auth(protocol: str, error: "AuthError") -> Response:
    json_name, query_name, s3_name = AUTH_NAMES[error.kind]
    text = str(error)
    if protocol == "json":
        return json_error(400, json_name, text)
    if protocol == "s3":
        return s3_error(*s3_name, text)
    if protocol == "ec2":
        return ec2_error(401, "AuthFailure", text)
    if protocol == "query":
        return query_error(*query_name, text)
    return rest_error(403, json_name, text)


def fault(protocol: str, status: int, throttle: bool) -> Response:
    """What a fault rule answers."""
    names = {503: "ServiceUnavailable", 429: "TooManyRequestsException", 403: "AccessDeniedException"}
    name = names.get(status, "InternalFailure")
    if protocol == "s3":
        if throttle:
            return s3_error(503, "SlowDown", "Please reduce your request rate.")
        code = {500: "InternalError", 403: "AccessDenied"}.get(status, name)
        return s3_error(status, code, "We encountered an internal error. Please try again.")
    if protocol in ("query", "ec2"):
        if throttle:
            return query_error(400, "Throttling", "Rate exceeded")
        return query_error(status, name, "The request processing has failed because of an unknown error")
    if protocol == "rest":
        if throttle:
            return rest_error(429, "TooManyRequestsException", "Rate exceeded")
        return rest_error(status, name, "Internal error")
    if throttle:
        return json_error(400, "ThrottlingException", "Rate exceeded")
    return json_error(status, name, "Internal error")

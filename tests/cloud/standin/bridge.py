"""Calls moto in this process; its services are imported when the first request for them comes."""

from __future__ import annotations

import importlib.util
import json
import os
import sys
import types
from typing import Any

# Host names of services whose endpoint does not begin with the signing name.
PREFIXES = {"cloudwatch": "monitoring", "bedrock": "bedrock", "tagging": "tagging"}


class Moto:
    def __init__(self, account: str):
        os.environ["MOTO_ACCOUNT_ID"] = account
        os.environ.setdefault("AWS_DEFAULT_REGION", "us-east-1")
        self.account = account
        self._stubber: Any = None

    def call(
        self, service: str, region: str, method: str, target: str, headers: list[tuple[str, str]], body: bytes
    ) -> tuple[int, list[tuple[str, str]], bytes]:
        """One request as AWS would get it; returns status, headers and body."""
        from botocore.awsrequest import AWSPreparedRequest
        from botocore.compat import HTTPHeaders

        if self._stubber is None:
            _leave_out_openapi()
            from moto.core.botocore_stubber import BotocoreStubber

            self._stubber = BotocoreStubber()
        host = f"{PREFIXES.get(service, service)}.{region}.amazonaws.com"
        given = HTTPHeaders()
        for name, value in headers:
            if name.lower() not in ("host", "transfer-encoding", "expect", "connection"):
                given[name] = value
        given["Host"] = host
        request = AWSPreparedRequest(method, f"https://{host}{target}", given, body, False)
        answer = self._stubber.process_request(request)
        if answer is None:
            return 501, [], json.dumps({"__type": "UnknownService", "message": service}).encode()
        status, answer_headers, data = answer
        pairs = answer_headers.items() if hasattr(answer_headers, "items") else answer_headers
        raw = data.encode() if isinstance(data, str) else bytes(data or b"")
        return status, [(str(key), str(value)) for key, value in pairs], raw

    def call_json(self, service: str, region: str, target: str, params: dict[str, Any]) -> tuple[int, Any]:
        """A JSON request made by the stand-in itself."""
        headers = [
            ("Content-Type", "application/x-amz-json-1.1"),
            ("X-Amz-Target", target),
            ("Authorization", f"AWS4-HMAC-SHA256 Credential=AKIA/20200101/{region}/{service}/aws4_request, "),
        ]
        status, _, body = self.call(service, region, "POST", "/", headers, json.dumps(params).encode())
        return status, json.loads(body or b"{}")

    def ecr_repository(self, region: str, name: str) -> Any:
        from moto.ecr.models import ecr_backends

        return ecr_backends[self.account][region].repositories.get(name)

    def bucket_region(self, name: str) -> str | None:
        from moto.s3.models import s3_backends

        bucket = s3_backends[self.account]["aws"].buckets.get(name)
        return bucket.region_name if bucket else None


def _leave_out_openapi() -> None:
    """CloudFormation imports API Gateway, which imports a checker of OpenAPI documents: large, and of no use here."""
    name = "openapi_spec_validator"
    if importlib.util.find_spec(name) is not None:
        return
    for part in (name, f"{name}.validation", f"{name}.validation.exceptions"):
        sys.modules[part] = types.ModuleType(part)
    sys.modules[name].validate_spec = lambda document: None  # type: ignore[attr-defined]
    sys.modules[f"{name}.validation.exceptions"].OpenAPIValidationError = ValueError  # type: ignore[attr-defined]

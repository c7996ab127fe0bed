"""Checks JSON requests against botocore's service models, member by member."""

from __future__ import annotations

import base64
import binascii
import json
import re
from typing import Any

from botocore.loaders import Loader
from botocore.model import ServiceModel, Shape

# Signing names that differ from the folder of the model.
FOLDERS = {
    "monitoring": "cloudwatch",
    "elasticloadbalancing": "elbv2",
    "email": "ses",
    "execute-api": "apigatewaymanagementapi",
    "states": "stepfunctions",
    "tagging": "resourcegroupstaggingapi",
}
NUMBERS = {"integer", "long", "float", "double"}


class ModelError(Exception):
    def __init__(self, code: str, text: str):
        super().__init__(text)
        self.code = code


class Models:
    def __init__(self) -> None:
        self._loader = Loader()
        self._cache: dict[str, ServiceModel | None] = {}

    def get(self, signing_name: str) -> ServiceModel | None:
        if signing_name not in self._cache:
            folder = FOLDERS.get(signing_name, signing_name)
            try:
                raw = self._loader.load_service_model(folder, "service-2")
                self._cache[signing_name] = ServiceModel(raw, folder)
            except Exception:
                self._cache[signing_name] = None
        return self._cache[signing_name]

    def check_json(
        self, signing_name: str, target: str, content_type: str, body: bytes
    ) -> tuple[dict[str, Any], list[str]]:
        """Return the parsed body and the warnings, or raise what AWS would answer."""
        model = self.get(signing_name)
        try:
            params = json.loads(body or b"{}")
        except ValueError:
            raise ModelError("SerializationException", "The body is not JSON.") from None
        if not isinstance(params, dict):
            raise ModelError("SerializationException", "The body is not a JSON object.")
        if model is None:
            return params, []
        prefix, _, name = target.rpartition(".")
        meta = model.metadata
        right_type = f"application/x-amz-json-{meta.get('jsonVersion', '1.1')}"
        if content_type.split(";")[0].strip() != right_type:
            raise ModelError("UnknownOperationException", f"Content-Type must be {right_type}")
        if prefix != meta.get("targetPrefix") or name not in model.operation_names:
            raise ModelError("UnknownOperationException", f"no operation {target}")
        shape = model.operation_model(name).input_shape
        problems: list[str] = []
        warnings: list[str] = []
        if shape is not None:
            _check(shape, params, "", problems, warnings)
        elif params:
            problems.append("the operation takes no members")
        if problems:
            text = f"{len(problems)} validation error(s) detected: " + "; ".join(problems)
            raise ModelError("ValidationException", text)
        return params, warnings

    def check_query(self, signing_name: str, form: dict[str, str]) -> None:
        """The form of a query service, rebuilt along the model and checked like JSON."""
        model = self.get(signing_name)
        if model is None or model.metadata.get("protocol") != "query":
            return
        if form.get("Version") != model.api_version:
            raise ModelError("NoSuchVersion", f"Version must be {model.api_version}")
        if form["Action"] not in model.operation_names:
            raise ModelError("InvalidAction", f"Could not find operation {form['Action']}")
        shape = model.operation_model(form["Action"]).input_shape
        left = {key: value for key, value in form.items() if key not in ("Action", "Version") and "X-Amz-" not in key}
        problems: list[str] = []
        if shape is not None:
            _check(shape, _from_form(shape, "", left), "", problems, [])
        problems += [f"{key} is not a member" for key in left]
        if problems:
            raise ModelError("ValidationError", f"{len(problems)} validation error(s) detected: " + "; ".join(problems))


def _from_form(shape: Shape, prefix: str, left: dict[str, str]) -> Any:
    """The value at a prefix of the form, None where there is none; what is used is taken out of `left`."""
    kind = shape.type_name
    if kind == "structure":
        dot = f"{prefix}." if prefix else ""
        if prefix and not any(key.startswith(dot) for key in left):
            return None
        found = {}
        for name, member in shape.members.items():
            value = _from_form(member, dot + member.serialization.get("name", name), left)
            if value is not None:
                found[name] = value
        return found
    if kind in ("list", "map"):
        flat = shape.serialization.get("flattened")
        word = shape.member.serialization.get("name", "member") if kind == "list" else "entry"
        where = prefix if flat else f"{prefix}.{word}"
        numbers = {re.match(rf"{re.escape(where)}\.(\d+)(\.|$)", key) for key in left}
        order = sorted({int(found.group(1)) for found in numbers if found})
        if not order:
            # An empty list is sent as its bare name.
            return ([] if kind == "list" else {}) if left.pop(prefix, None) == "" else None
        if kind == "list":
            return [_from_form(shape.member, f"{where}.{number}", left) for number in order]
        key_word = shape.key.serialization.get("name", "key")
        value_word = shape.value.serialization.get("name", "value")
        return {
            left.pop(f"{where}.{number}.{key_word}", ""): _from_form(shape.value, f"{where}.{number}.{value_word}", left)
            for number in order
        }
    return _scalar(kind, left.pop(prefix, None))


def _scalar(kind: str, text: str | None) -> Any:
    if text is None:
        return None
    if kind == "boolean":
        return {"true": True, "false": False}.get(text, text)
    if kind in NUMBERS:
        try:
            return int(text) if kind in ("integer", "long") else float(text)
        except ValueError:
            return text
    return text


def _check(shape: Shape, value: Any, where: str, problems: list[str], warnings: list[str]) -> None:
    kind = shape.type_name
    name = where or "input"
    if kind == "structure":
        if getattr(shape, "is_document_type", False):
            return
        if not isinstance(value, dict):
            problems.append(f"{name} must be an object")
            return
        _check_members(shape, value, where, problems, warnings)
    elif kind == "list":
        if not isinstance(value, list):
            problems.append(f"{name} must be a list")
            return
        _check_size(shape, len(value), name, problems)
        for index, item in enumerate(value):
            _check(shape.member, item, f"{where}[{index}]", problems, warnings)
    elif kind == "map":
        if not isinstance(value, dict):
            problems.append(f"{name} must be a map")
            return
        _check_size(shape, len(value), name, problems)
        for key, item in value.items():
            _check(shape.key, key, f"{where}.{key}(key)", problems, warnings)
            _check(shape.value, item, f"{where}.{key}", problems, warnings)
    else:
        _check_scalar(shape, kind, value, name, problems, warnings)


def _check_members(shape: Shape, value: dict, where: str, problems: list[str], warnings: list[str]) -> None:
    members = shape.members
    for name in shape.required_members:
        if value.get(name) is None:
            problems.append(f"{where + '.' if where else ''}{name} is required")
    for name, item in value.items():
        path = f"{where}.{name}" if where else name
        if name not in members:
            problems.append(f"{path} is not a member")
        elif item is not None:
            _check(members[name], item, path, problems, warnings)


def _check_size(shape: Shape, size: float, name: str, problems: list[str]) -> None:
    low, high = shape.metadata.get("min"), shape.metadata.get("max")
    if low is not None and size < low:
        problems.append(f"{name} is below the least of {low}")
    if high is not None and size > high:
        problems.append(f"{name} is above the most of {high}")


def _check_scalar(
    shape: Shape, kind: str, value: Any, name: str, problems: list[str], warnings: list[str]
) -> None:
    if kind == "boolean":
        if not isinstance(value, bool):
            problems.append(f"{name} must be true or false")
    elif kind in NUMBERS:
        whole = kind in ("integer", "long")
        if isinstance(value, bool) or not isinstance(value, int if whole else (int, float)):
            problems.append(f"{name} must be {'a whole number' if whole else 'a number'}")
        else:
            _check_size(shape, value, name, problems)
    elif kind == "timestamp":
        if isinstance(value, bool) or not isinstance(value, (int, float, str)):
            problems.append(f"{name} must be a timestamp")
    elif kind == "blob":
        try:
            _check_size(shape, len(base64.b64decode(value, validate=True)), name, problems)
        except (binascii.Error, TypeError, ValueError):
            problems.append(f"{name} must be base64")
    elif not isinstance(value, str):
        problems.append(f"{name} must be a string")
    else:
        _check_size(shape, len(value), name, problems)
        enum = getattr(shape, "enum", [])
        if enum and value not in enum:
            problems.append(f"{name} must be one of {', '.join(enum)}")
        pattern = shape.metadata.get("pattern")
        if pattern:
            try:
                if not re.search(pattern, value):
                    warnings.append(f"{name} does not match {pattern}")
            except re.error:
                pass

"""The control port: request log, fault rules, rollout rules, settings."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from .httpd import Request, Response
from .journal import Rule
from .sigv4 import Key, Verifier

if TYPE_CHECKING:
    from .codecommit import CodeCommit
    from .ecs import Ecs
    from .server import Cloud


def _answer(data: Any, status: int = 200) -> Response:
    return Response(status, {"Content-Type": "application/json"}, json.dumps(data) + "\n")


def _lines(items: list[dict[str, Any]]) -> Response:
    text = "".join(json.dumps(item) + "\n" for item in items)
    return Response(200, {"Content-Type": "application/x-ndjson"}, text)


class Control:
    def __init__(self, cloud: "Cloud", verifier: Verifier, codecommit: "CodeCommit", ecs: "Ecs"):
        self.cloud, self.verifier, self.codecommit, self.ecs = cloud, verifier, codecommit, ecs

    async def handle(self, request: Request) -> Response:
        journal = self.cloud.journal
        body = await request.read_all(1 << 20)
        where = f"{request.method} {request.path}"
        try:
            if where == "GET /log":
                return _lines(journal.lines)
            if where == "GET /mutating":
                return _lines(journal.mutating())
            if where == "POST /reset":
                journal.reset()
                self.ecs.rules.clear()
                return _answer({})
            if where == "POST /faults":
                journal.rules += [Rule.parse(each) for each in _many(body)]
                return _answer({"rules": len(journal.rules)})
            if where == "DELETE /faults":
                journal.rules.clear()
                return _answer({})
            if where == "GET /faults":
                return _answer([{"effect": rule.effect, "hits": rule.hits} for rule in journal.rules])
            if where == "POST /rollouts":
                for each in _many(body):
                    self.ecs.add_rule(each)
                return _answer({"rules": len(self.ecs.rules)})
            if where == "POST /settings":
                for name, value in json.loads(body).items():
                    self._set(name, value)
                return _answer({})
            if where == "POST /keys":
                raw = json.loads(body)
                key = Key(raw["secret"], raw.get("token", ""), float(raw.get("expires", 0)))
                self.verifier.keys[raw["access-key"]] = key
                return _answer({})
        except (ValueError, TypeError, KeyError, AttributeError) as problem:
            return _answer({"error": f"{type(problem).__name__}: {problem}"}, 400)
        return _answer({"error": f"no {where}"}, 404)

    def _set(self, name: str, value: Any) -> None:
        if name == "ecr-token-seconds":
            self.cloud.tokens.life = float(value)
        elif name == "clock-offset":
            self.cloud.clock_offset = float(value)
        elif name == "codecommit-page":
            self.codecommit.page = int(value)
        elif name == "mount":
            self.cloud.mount = bool(value)
            for registry in self.cloud.registries.values():
                registry.mount = bool(value)
        else:
            raise ValueError(f"no setting {name}")


def _many(body: bytes) -> list[dict[str, Any]]:
    raw = json.loads(body)
    return raw if isinstance(raw, list) else [raw]

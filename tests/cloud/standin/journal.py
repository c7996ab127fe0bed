"""The request log and the fault rules: what the control port reads and sets."""

from __future__ import annotations

import asyncio
import random
import re
import time
from dataclasses import dataclass, field
from typing import Any, Awaitable, Callable

from .httpd import Gone, Request, Response

READ_ONLY = re.compile(
    r"^(Get|List|Describe|BatchGet|BatchCheck|BatchDescribe|Head|Select|Lookup|Search|Check|Validate|Filter"
    r"|Preview|Simulate|Estimate|Query$|Scan$|AssumeRole|Decode|Test|Is|Detect)"
)
EFFECTS = ("status", "throttle", "cut-request", "cut-answer", "lost-answer", "latency")
MATCHED = ("service", "action", "region", "method", "path")


@dataclass
class Info:
    """What a front end knows of a request before it does the work; becomes the log line."""

    service: str
    action: str
    region: str
    mutating: bool
    auth: str = ""
    valid: str = ""
    warnings: list[str] = field(default_factory=list)
    error: Callable[[int, bool], Response] | None = None


@dataclass
class Rule:
    """One fault: where it applies, what it does, how often."""

    match: dict[str, re.Pattern[str]]
    effect: str
    status: int = 500
    bytes: int = 0
    ms: int = 0
    count: int | None = None
    skip: int = 0
    probability: float = 1.0
    hits: int = 0

    @staticmethod
    def parse(raw: dict[str, Any]) -> "Rule":
        known = set(MATCHED) | {"effect", "status", "bytes", "ms", "count", "skip", "probability"}
        unknown = set(raw) - known
        if unknown:
            raise ValueError(f"unknown members: {', '.join(sorted(unknown))}")
        if raw.get("effect") not in EFFECTS:
            raise ValueError(f"effect must be one of {', '.join(EFFECTS)}")
        rest = {key: value for key, value in raw.items() if key not in MATCHED}
        return Rule(match={key: re.compile(raw[key]) for key in MATCHED if key in raw}, **rest)

    def applies(self, facts: dict[str, str]) -> bool:
        if not all(pattern.search(facts[key]) for key, pattern in self.match.items()):
            return False
        if self.skip > 0:
            self.skip -= 1
            return False
        if self.count is not None and self.hits >= self.count:
            return False
        if self.probability < 1.0 and random.random() >= self.probability:
            return False
        self.hits += 1
        return True


class Journal:
    def __init__(self) -> None:
        self.lines: list[dict[str, Any]] = []
        self.rules: list[Rule] = []
        self.number = 0

    def reset(self) -> None:
        self.lines.clear()
        self.rules.clear()

    def mutating(self) -> list[dict[str, Any]]:
        return [line for line in self.lines if line["mutating"]]

    async def run(self, request: Request, info: Info, work: Callable[[], Awaitable[Response]]) -> Response:
        """Do the work under the fault rules and write the log line before the answer leaves."""
        started = time.time()
        self.number += 1
        line: dict[str, Any] = {"id": self.number, "time": round(started, 3)}
        line.update(service=info.service, action=info.action, region=info.region)
        line.update(method=request.method, path=request.target, status=0, request_bytes=0, answer_bytes=0, ms=0)
        line.update(auth=info.auth, valid=info.valid, mutating=info.mutating, fault="", warnings=[])
        self.lines.append(line)
        facts = {key: str(line[key]) for key in MATCHED}
        rules = [rule for rule in self.rules if rule.applies(facts)]
        line["fault"] = ",".join(rule.effect for rule in rules)
        response: Response | None = None
        try:
            response = await self._faulty(request, info, work, rules)
            return response
        finally:
            line["status"] = response.status if response else 0
            line["request_bytes"] = request.body_bytes
            line["answer_bytes"] = (response.length or 0) if response else 0
            line["ms"] = round((time.time() - started) * 1000)
            line.update(auth=info.auth, valid=info.valid, warnings=info.warnings, mutating=info.mutating)

    async def _faulty(
        self, request: Request, info: Info, work: Callable[[], Awaitable[Response]], rules: list[Rule]
    ) -> Response:
        answer: Response | None = None
        for rule in rules:
            if rule.effect == "latency":
                await asyncio.sleep(rule.ms / 1000)
            elif rule.effect == "cut-request":
                request.cut_after = rule.bytes
                async for _ in request.chunks():
                    pass
                raise Gone("cut by a fault rule")
            elif rule.effect in ("status", "throttle") and info.error and not answer:
                answer = info.error(rule.status, rule.effect == "throttle")
        if answer:
            return answer
        response = await work()
        for rule in rules:
            if rule.effect == "cut-answer":
                response.cut_after = rule.bytes
            elif rule.effect == "lost-answer":
                response.drop = True
        return response

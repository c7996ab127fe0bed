"""ECS rollouts: the deployments, events and tasks that moto's services never get."""

from __future__ import annotations

import re
import secrets
import time
import uuid
from dataclasses import dataclass, field
from typing import Any

from .awserrors import ApiError
from .ecs_history import History
from .ecs_tasks import Tasks
from .gateway import Gateway

PREFIX = "AmazonEC2ContainerServiceV20141113."
MODES = ("complete", "fail", "stuck")
BREAKER = "ECS deployment circuit breaker: "


@dataclass
class Rule:
    """How the rollouts of the matching services go; the first match counts."""

    region: re.Pattern[str]
    cluster: re.Pattern[str]
    service: re.Pattern[str]
    mode: str = "complete"
    polls: int = 0
    seconds: float = 0.0
    rollback: bool | None = None
    rollback_polls: int = 1
    failed_tasks: int = 3
    stop_code: str = "TaskFailedToStart"
    stopped_reason: str = "CannotPullContainerError: pull image manifest has been retried 5 time(s): not found"
    exit_code: int | None = None
    # The alarm that ends a failing rollout, instead of tasks that do not start.
    alarm: str = ""
    # The end shows in the service deployment alone.
    hidden: bool = False
    count: int | None = None


DEFAULT = Rule(re.compile(""), re.compile(""), re.compile(""))


@dataclass
class Deployment:
    id: str
    task_definition: str
    desired: int
    rule: Rule
    status: str = "PRIMARY"
    state: str = "IN_PROGRESS"
    reason: str = ""
    running: int = 0
    failed: int = 0
    created: float = field(default_factory=time.time)
    updated: float = field(default_factory=time.time)
    polls: int = 0
    history: str = ""

    @property
    def cause(self) -> str:
        return "alarm detected" if self.rule.alarm else "tasks failed to start"

    def shown(self, base: dict[str, Any]) -> dict[str, Any]:
        pending = max(self.desired - self.running, 0) if self.state == "IN_PROGRESS" else 0
        kept = {key: base[key] for key in ("launchType", "platformVersion", "networkConfiguration") if base.get(key)}
        return kept | {
            "id": self.id, "status": self.status, "taskDefinition": self.task_definition,
            "desiredCount": self.desired, "pendingCount": pending, "runningCount": self.running,
            "failedTasks": self.failed, "createdAt": self.created, "updatedAt": self.updated,
            "rolloutState": self.state, "rolloutStateReason": self.reason or f"ECS deployment {self.id} in progress.",
        }  # fmt: skip


@dataclass
class Service:
    region: str
    cluster: str
    name: str
    arn: str
    configuration: dict[str, Any] = field(default_factory=dict)
    deployments: list[Deployment] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)
    # The task definition that reached COMPLETED last: what a rollback goes to.
    good: str = ""
    stopped: list[dict[str, Any]] = field(default_factory=list)
    # ARN of the current service deployment.
    history: str = ""

    def say(self, text: str) -> None:
        event = {"id": str(uuid.uuid4()), "createdAt": time.time(), "message": f"(service {self.name}) {text}"}
        self.events.insert(0, event)
        del self.events[100:]


class Ecs:
    def __init__(self, gateway: Gateway):
        self.moto = gateway.moto
        self.services: dict[str, Service] = {}
        self.rules: list[Rule] = []
        self.inputs: dict[str, dict[str, Any]] = {}
        self.tasks = Tasks(self)
        self.history = History(self)
        hooks = {
            "CreateService": self.created,
            "UpdateService": self.updated,
            "DescribeServices": self.described,
            "DeleteService": self.deleted,
            "RegisterTaskDefinition": self.registered,
            "DescribeTaskDefinition": self.with_input,
        }
        for name, hook in hooks.items():
            gateway.after["ecs", name] = hook
        gateway.before["ecs", "DescribeServices"] = self.check_describe
        gateway.before["ecs", "UpdateService"] = self.check_update
        gateway.overrides["ecs", "ListTasks"] = self.tasks.list_all
        gateway.overrides["ecs", "DescribeTasks"] = self.tasks.describe_all
        gateway.overrides["ecs", "DescribeServiceDeployments"] = self.history.describe

    def add_rule(self, raw: dict[str, Any]) -> None:
        given = {key.replace("-", "_"): value for key, value in raw.items()}
        for name in ("region", "cluster", "service"):
            given[name] = re.compile(given.get(name, ""))
        rule = Rule(**given)
        if rule.mode not in MODES:
            raise ValueError(f"mode must be one of {', '.join(MODES)}")
        self.rules.append(rule)

    def _rule(self, service: Service) -> Rule:
        for rule in self.rules:
            if rule.count == 0 or not rule.region.search(service.region):
                continue
            if rule.cluster.search(service.cluster) and rule.service.search(service.name):
                if rule.count is not None:
                    rule.count -= 1
                return rule
        return DEFAULT

    def call(self, region: str, action: str, params: dict[str, Any]) -> dict[str, Any]:
        status, answer = self.moto.call_json("ecs", region, PREFIX + action, params)
        if status != 200:
            code = str(answer.get("__type", "ClientException")).rpartition("#")[2]
            raise ApiError(code, answer.get("message") or answer.get("Message") or "", status)
        return answer

    def definition(self, region: str, name: str) -> dict[str, Any]:
        return self.call(region, "DescribeTaskDefinition", {"taskDefinition": name})["taskDefinition"]

    # Requests that are refused before moto sees them.

    def check_describe(self, region: str, params: dict[str, Any]) -> None:
        if len(params.get("services", [])) > 10:
            raise ApiError("InvalidParameterException", "Services cannot have more than 10 elements.")

    def check_update(self, region: str, params: dict[str, Any]) -> None:
        if params.get("taskDefinition"):
            found = self.definition(region, params["taskDefinition"])
            if found.get("status") != "ACTIVE":
                raise ApiError("ClientException", "TaskDefinition is inactive")

    # What moto drops of a task definition is kept here.

    def registered(self, region: str, params: dict[str, Any], answer: dict[str, Any]) -> dict[str, Any]:
        self.inputs[answer["taskDefinition"]["taskDefinitionArn"]] = params
        return self.with_input(region, params, answer)

    def with_input(self, region: str, params: dict[str, Any], answer: dict[str, Any]) -> dict[str, Any]:
        shown = answer["taskDefinition"]
        given = self.inputs.get(shown["taskDefinitionArn"], {})
        for key, value in given.items():
            if key != "tags" and (key not in shown or key == "containerDefinitions"):
                shown[key] = value
        if answer.get("tags") == [] or ("TAGS" not in params.get("include", []) and "family" not in params):
            answer.pop("tags", None)
        return answer

    # Services.

    def created(self, region: str, params: dict[str, Any], answer: dict[str, Any]) -> dict[str, Any]:
        raw = answer["service"]
        cluster = raw["clusterArn"].rpartition("/")[2]
        service = Service(region, cluster, raw["serviceName"], raw["serviceArn"])
        service.configuration = params.get("deploymentConfiguration") or {}
        self.services[service.arn] = service
        if raw.get("taskDefinition"):
            arn = self.definition(region, raw["taskDefinition"])["taskDefinitionArn"]
            self._start(service, arn, params.get("desiredCount", 0))
        return {"service": self._shown(raw, service)}

    def updated(self, region: str, params: dict[str, Any], answer: dict[str, Any]) -> dict[str, Any]:
        raw = answer["service"]
        service = self.services.get(raw["serviceArn"])
        if service is None or not service.deployments:
            return answer
        primary = service.deployments[0]
        if params.get("deploymentConfiguration"):
            service.configuration = params["deploymentConfiguration"]
        desired = params.get("desiredCount", primary.desired)
        wanted = primary.task_definition
        if params.get("taskDefinition"):
            wanted = self.definition(region, params["taskDefinition"])["taskDefinitionArn"]
        if wanted != primary.task_definition or params.get("forceNewDeployment"):
            self._start(service, wanted, desired)
        elif desired != primary.desired:
            primary.desired = desired
            if primary.state == "COMPLETED":
                primary.running = desired
        return {"service": self._shown(raw, service)}

    def described(self, region: str, params: dict[str, Any], answer: dict[str, Any]) -> dict[str, Any]:
        shown = []
        for raw in answer.get("services", []):
            service = self.services.get(raw["serviceArn"])
            if service is not None:
                self._advance(service)
                raw = self._shown(raw, service)
            shown.append(raw)
        return answer | {"services": shown}

    def deleted(self, region: str, params: dict[str, Any], answer: dict[str, Any]) -> dict[str, Any]:
        service = self.services.pop(answer["service"]["serviceArn"], None)
        return {"service": self._shown(answer["service"], service)} if service else answer

    def _shown(self, raw: dict[str, Any], service: Service) -> dict[str, Any]:
        if not service.deployments:
            return raw
        primary = service.deployments[0]
        base = (raw.get("deployments") or [{}])[0]
        shown = [deployment.shown(base) for deployment in service.deployments]
        return raw | {
            "taskDefinition": primary.task_definition,
            "desiredCount": primary.desired,
            "runningCount": sum(deployment.running for deployment in service.deployments),
            "pendingCount": sum(deployment["pendingCount"] for deployment in shown),
            "deployments": shown,
            "deploymentConfiguration": service.configuration or {"maximumPercent": 200, "minimumHealthyPercent": 100},
            "events": service.events,
            "currentServiceDeployment": service.history,
        }

    # The state machine. It moves when somebody looks, so that a test decides how many looks a rollout takes.

    def _start(self, service: Service, task_definition: str, desired: int, rule: Rule | None = None) -> Deployment:
        for old in service.deployments:
            old.status = "ACTIVE"
        new = Deployment(
            f"ecs-svc/{secrets.randbelow(9 * 10**18) + 10**18}", task_definition, desired, rule or self._rule(service)
        )
        service.deployments.insert(0, new)
        if rule:  # the way back is part of the deployment that failed
            new.history = service.history
        else:
            self.history.begin(service, new)
        service.say(f"(deployment {new.id}) deployment started.")
        return new

    def _advance(self, service: Service) -> None:
        if not service.deployments:
            return
        primary = service.deployments[0]
        if primary.state != "IN_PROGRESS":
            return
        rule = primary.rule
        primary.polls += 1
        primary.updated = time.time()
        over = primary.polls > rule.polls and time.time() >= primary.created + rule.seconds
        if rule.mode == "complete":
            if over:
                self._complete(service, primary)
            elif rule.polls:
                primary.running = min(primary.desired, primary.desired * primary.polls // (rule.polls + 1))
        elif rule.mode == "fail":
            wanted = 0 if rule.alarm else rule.failed_tasks if over else min(primary.polls, rule.failed_tasks)
            primary.running = primary.desired if rule.alarm else 0
            while primary.failed < wanted:
                primary.failed += 1
                self.tasks.add_stopped(service, primary)
            if over:
                self._fail(service, primary)

    def _complete(self, service: Service, primary: Deployment) -> None:
        primary.state, primary.reason = "COMPLETED", f"ECS deployment {primary.id} completed."
        self.history.complete(primary)
        primary.running, primary.failed = primary.desired, 0
        for old in service.deployments[1:]:
            if old.running:
                service.say(f"has stopped {old.running} running tasks: (deployment {old.id}).")
        del service.deployments[1:]
        service.good = primary.task_definition
        service.say(f"has started {primary.running} tasks: (deployment {primary.id}).")
        service.say(f"(deployment {primary.id}) deployment completed.")
        service.say("has reached a steady state.")

    def _fail(self, service: Service, primary: Deployment) -> None:
        method = service.configuration.get("alarms" if primary.rule.alarm else "deploymentCircuitBreaker") or {}
        rollback = primary.rule.rollback
        if rollback is None:
            rollback = bool(method.get("rollback"))
        rollback = rollback and bool(service.good)
        self.history.fail(primary, rollback)
        if primary.rule.hidden:
            return
        what = "ECS deployment failed: " if primary.rule.alarm else BREAKER
        primary.state, primary.reason = "FAILED", f"{what}{primary.cause}."
        service.say(f"(deployment {primary.id}) deployment failed: {primary.cause}.")
        if not rollback:
            return
        rule = Rule(DEFAULT.region, DEFAULT.cluster, DEFAULT.service, polls=primary.rule.rollback_polls)
        back = self._start(service, service.good, primary.desired, rule)
        back.reason = primary.reason = f"{what}rolling back to deploymentId {back.id}."
        if primary.rule.alarm:
            primary.reason = f"{what}{primary.cause}."
        service.say(f"rolling back to deployment {back.id}.")
        for old in service.deployments[1:]:
            # The tasks of the good revision that still run belong to the rollback from now on.
            if old.task_definition == service.good:
                back.running, old.running = min(old.running, back.desired), 0
        service.deployments = [each for each in service.deployments if each in (back, primary)]

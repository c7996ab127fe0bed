"""The tasks of ECS services: running ones as the deployments say, stopped ones of failed rollouts."""

from __future__ import annotations

import hashlib
import time
from typing import TYPE_CHECKING, Any

from .awserrors import ApiError

if TYPE_CHECKING:
    from .ecs import Deployment, Ecs, Service


class Tasks:
    def __init__(self, ecs: "Ecs"):
        self.ecs = ecs

    @staticmethod
    def _arn(service: "Service", deployment: "Deployment", mark: str) -> str:
        name = hashlib.sha256(f"{service.arn} {deployment.id} {mark}".encode()).hexdigest()[:32]
        account = service.arn.split(":")[4]
        return f"arn:aws:ecs:{service.region}:{account}:task/{service.cluster}/{name}"

    def _task(self, service: "Service", deployment: "Deployment", mark: str) -> dict[str, Any]:
        definition = self.ecs.definition(service.region, deployment.task_definition)
        account = service.arn.split(":")[4]
        arn = self._arn(service, deployment, mark)
        containers = []
        for container in definition["containerDefinitions"]:
            shown = {"name": container["name"], "image": container["image"], "taskArn": arn, "lastStatus": "RUNNING"}
            shown["healthStatus"] = "UNKNOWN"
            if "@" in container["image"]:
                shown["imageDigest"] = container["image"].partition("@")[2]
            containers.append(shown)
        return {
            "taskArn": arn, "clusterArn": f"arn:aws:ecs:{service.region}:{account}:cluster/{service.cluster}",
            "taskDefinitionArn": deployment.task_definition, "group": f"service:{service.name}",
            "startedBy": deployment.id, "desiredStatus": "RUNNING", "lastStatus": "RUNNING",
            "createdAt": deployment.created, "startedAt": deployment.created, "containers": containers,
        }  # fmt: skip

    def add_stopped(self, service: "Service", deployment: "Deployment") -> None:
        task = self._task(service, deployment, f"stopped {deployment.failed}")
        rule, now = deployment.rule, time.time()
        task.update(desiredStatus="STOPPED", lastStatus="STOPPED", stopCode=rule.stop_code, stoppedAt=now, stoppingAt=now)
        task["stoppedReason"] = rule.stopped_reason
        for container in task["containers"]:
            container["lastStatus"] = "STOPPED"
            if rule.exit_code is not None:
                container["exitCode"] = rule.exit_code
            else:
                container["reason"] = rule.stopped_reason
        service.stopped.insert(0, task)
        del service.stopped[200:]
        service.say(f"(task {task['taskArn'].rpartition('/')[2]}) failed to start: {rule.stopped_reason}")

    def _all(self, service: "Service") -> list[dict[str, Any]]:
        running = [
            self._task(service, deployment, f"running {index}")
            for deployment in service.deployments
            for index in range(min(deployment.running, 100))
        ]
        return running + service.stopped

    def _services(self, region: str, cluster: str) -> list["Service"]:
        cluster = cluster.rpartition("/")[2]
        return [each for each in self.ecs.services.values() if each.region == region and each.cluster == cluster]

    def list_all(self, region: str, params: dict[str, Any]) -> dict[str, Any]:
        cluster = params.get("cluster", "default")
        services = self._services(region, cluster)
        found: list[str] = []
        wanted_service = params.get("serviceName", "").rpartition("/")[2]
        if wanted_service:
            services = [each for each in services if each.name == wanted_service]
            if not services:
                raise ApiError("ServiceNotFoundException", "Service not found.")
        else:
            rest = {key: value for key, value in params.items() if key not in ("nextToken", "maxResults")}
            found = self.ecs.call(region, "ListTasks", rest).get("taskArns", [])
        status = params.get("desiredStatus", "RUNNING")
        for service in services:
            for task in self._all(service):
                right = task["desiredStatus"] == status
                if right and params.get("startedBy", task["startedBy"]) == task["startedBy"]:
                    if params.get("family", "") in task["taskDefinitionArn"]:
                        found.append(task["taskArn"])
        size, start = params.get("maxResults", 100), int(params.get("nextToken") or 0)
        answer: dict[str, Any] = {"taskArns": found[start : start + size]}
        if start + size < len(found):
            answer["nextToken"] = str(start + size)
        return answer

    def describe_all(self, region: str, params: dict[str, Any]) -> dict[str, Any]:
        if len(params["tasks"]) > 100:
            raise ApiError("InvalidParameterException", "Tasks cannot have more than 100 elements.")
        ours: dict[str, dict[str, Any]] = {}
        for service in self._services(region, params.get("cluster", "default")):
            for task in self._all(service):
                ours[task["taskArn"]] = task
                ours[task["taskArn"].rpartition("/")[2]] = task
        found = [ours[name] for name in params["tasks"] if name in ours]
        rest = [name for name in params["tasks"] if name not in ours]
        failures: list[dict[str, Any]] = []
        if rest:
            answer = self.ecs.call(region, "DescribeTasks", params | {"tasks": rest})
            found += answer.get("tasks", [])
            failures = answer.get("failures", [])
        return {"tasks": found, "failures": failures}

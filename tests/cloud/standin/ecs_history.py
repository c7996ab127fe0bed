"""The history of ECS services: service deployments, which outlive the list in DescribeServices."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .ecs import Deployment, Ecs, Service


class History:
    def __init__(self, ecs: "Ecs"):
        self.ecs = ecs
        self.entries: dict[str, dict[str, Any]] = {}

    def begin(self, service: "Service", deployment: "Deployment") -> None:
        account, name = service.arn.split(":")[4], deployment.id.rpartition("/")[2]
        arn = f"arn:aws:ecs:{service.region}:{account}:service-deployment/{service.cluster}/{service.name}/{name}"
        before = self.entries.get(service.history)
        if before and before["status"] in ("PENDING", "IN_PROGRESS"):
            before.update(status="STOPPED", statusReason="A new service deployment was started.", stoppedAt=time.time())
        alarms = service.configuration.get("alarms") or {}
        breaker = service.configuration.get("deploymentCircuitBreaker") or {}
        self.entries[arn] = {
            "serviceDeploymentArn": arn, "serviceArn": service.arn, "status": "IN_PROGRESS",
            "clusterArn": f"arn:aws:ecs:{service.region}:{account}:cluster/{service.cluster}",
            "createdAt": time.time(), "startedAt": time.time(), "updatedAt": time.time(),
            "targetServiceRevision": {"arn": arn.replace(":service-deployment/", ":service-revision/")},
            "deploymentConfiguration": service.configuration,
            "deploymentCircuitBreaker": {
                "status": "MONITORING" if breaker.get("enable") else "DISABLED", "failureCount": 0, "threshold": 3,
            },
            "alarms": {
                "status": "MONITORING" if alarms.get("enable") else "DISABLED",
                "alarmNames": alarms.get("alarmNames", []), "triggeredAlarmNames": [],
            },
        }  # fmt: skip
        deployment.history = service.history = arn

    def complete(self, deployment: "Deployment") -> None:
        entry = self.entries.get(deployment.history)
        if entry and entry["status"] == "ROLLBACK_IN_PROGRESS":
            entry.update(status="ROLLBACK_SUCCESSFUL", finishedAt=time.time())
        elif entry and entry["status"] == "IN_PROGRESS":
            entry.update(status="SUCCESSFUL", finishedAt=time.time())

    def fail(self, deployment: "Deployment", rollback: bool) -> None:
        entry = self.entries[deployment.history]
        alarm = deployment.rule.alarm
        entry.update(status="ROLLBACK_IN_PROGRESS" if rollback else "STOPPED", statusReason=f"Service deployment failed: {deployment.cause}.")
        if alarm:
            entry["alarms"].update(status="TRIGGERED", triggeredAlarmNames=[alarm])
        else:
            entry["deploymentCircuitBreaker"].update(status="TRIGGERED", failureCount=deployment.failed)
        if rollback:
            entry["rollback"] = {"reason": f"Service deployment rolled back: {deployment.cause}.", "startedAt": time.time()}

    def describe(self, region: str, params: dict[str, Any]) -> dict[str, Any]:
        wanted = params["serviceDeploymentArns"]
        return {
            "serviceDeployments": [self.entries[arn] for arn in wanted if arn in self.entries],
            "failures": [{"arn": arn, "reason": "MISSING"} for arn in wanted if arn not in self.entries],
        }

"""The helpers of the s3 tests, and a cluster with a service in both regions."""

import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "s3" / "tests"))
from host import PRIMARY, SECONDARY, Host, cloud  # noqa: E402, F401


@pytest.fixture
def host(tmp_path):
    return Host(tmp_path, "ecs")


class Region:
    """One region of the stand-in through boto3, the second witness."""

    def __init__(self, name):
        import boto3

        self.name = name
        self.ecs = boto3.client("ecs", region_name=name)
        self.ecr = boto3.client("ecr", region_name=name)

    def service(self, name="core", cluster="prod"):
        return self.ecs.describe_services(cluster=cluster, services=[name])["services"][0]

    def taskdef(self, name):
        return self.ecs.describe_task_definition(taskDefinition=name)["taskDefinition"]

    def running(self, name="core", cluster="prod"):
        found = self.taskdef(self.service(name, cluster)["taskDefinition"])
        return {c["name"]: c["image"] for c in found["containerDefinitions"]}

    def revisions(self, family):
        return self.ecs.list_task_definitions(familyPrefix=family)["taskDefinitionArns"]

    def make(self, service, containers, cluster="prod", **more):
        """A cluster, a task definition and a service of a name that this test alone uses."""
        self.ecs.create_cluster(clusterName=cluster)
        definition = self.ecs.register_task_definition(
            family=service, networkMode="host", cpu="256", memory="512",
            tags=[{"key": "owner", "value": "us"}],
            containerDefinitions=[
                {
                    "name": name, "image": image, "essential": True, "portMappings": [{"containerPort": 8080}],
                    "environment": [{"name": "EMPTY", "value": ""}, {"name": "A", "value": "1"}],
                }
                for name, image in containers.items()
            ],
        )["taskDefinition"]["taskDefinitionArn"]  # fmt: skip
        options = {"desiredCount": 1, **more}
        self.ecs.create_service(cluster=cluster, serviceName=service, taskDefinition=definition, **options)
        self.service(service, cluster)
        return definition


@pytest.fixture(scope="session")
def regions():
    return Region(PRIMARY), Region(SECONDARY)


@pytest.fixture
def pair(regions, cloud, request):
    """A service in both regions, named after the test, with nothing in the log yet."""
    name = "".join(c if c.isalnum() else "-" for c in request.node.name)[:60].strip("-")
    for region in regions:
        region.make(name, {"web": "public.example/app:1", "sidecar": "public.example/side:1"})
    cloud.reset()
    return name


assert os.environ.get("MRPIPE_CLOUD_CONTROL"), "run inside tests/cloud/up --run"

"""ecs/deploy: what is written, in which order, and what counts as success."""

import json
import time

import pytest
from host import PRIMARY, SECONDARY

QUICK = {"cluster": "prod", "poll": "5ms", "timeout": "20s"}
WRITES = {"RegisterTaskDefinition", "UpdateService", "DeregisterTaskDefinition"}


def options(service, image="public.example/app:2", **more):
    return {**QUICK, "service": service, "images": {"web": image}, **more}


def writes(cloud):
    return [(e["region"], e["action"]) for e in cloud.log() if e["service"] == "ecs" and e["action"] in WRITES]


def results(done):
    return {region: one["result"] for region, one in done.outputs["regions"].items()}


def test_both_regions_then_nothing_to_do(host, regions, cloud, pair):
    planned = host("deploy", options(pair), "plan").ok("changed")
    assert any("web: public.example/app:1 -> public.example/app:2" in text for text in planned.changes)
    assert cloud.mutating() == []
    done = host("deploy", options(pair)).ok("changed")
    assert results(done) == {PRIMARY: "deployed", SECONDARY: "deployed"}
    assert done.outputs["result"] == "deployed"
    # the other region is the canary, the primary one comes after it
    assert writes(cloud) == [
        (region, action) for region in (SECONDARY, PRIMARY) for action in ("RegisterTaskDefinition", "UpdateService")
    ]
    for region in regions:
        assert region.running(pair) == {"web": "public.example/app:2", "sidecar": "public.example/side:1"}
        one = done.outputs["regions"][region.name]
        primary = region.service(pair)["deployments"][0]
        assert (one["deployment"], primary["rolloutState"]) == (primary["id"], "COMPLETED")
        assert one["task-definition"] == region.service(pair)["taskDefinition"]
        assert one["image"] == "public.example/app:2"
        new = region.taskdef(one["task-definition"])
        assert {"name": "EMPTY", "value": ""} in new["containerDefinitions"][0]["environment"]
    cloud.reset()
    again = host("deploy", options(pair)).ok("unchanged")
    assert results(again) == {PRIMARY: "unchanged", SECONDARY: "unchanged"}
    assert cloud.mutating() == []
    assert len([e for e in cloud.log() if e["service"] == "ecs"]) == 4
    host("deploy", options(pair), "plan").ok("unchanged")
    host("deploy", options(pair), "verify").ok("unchanged")


def test_rollout_takes_many_polls(host, regions, cloud, pair):
    cloud.rollout(service=pair, mode="complete", polls=6)
    done = host("deploy", options(pair)).ok("changed")
    assert results(done) == {PRIMARY: "deployed", SECONDARY: "deployed"}
    assert cloud.actions("ecs").count("DescribeServices") >= 12


def test_files_of_the_phases(host, regions, cloud, pair):
    host.write("imagedefinitions_primary.json", json.dumps([{"name": "web", "imageUri": "public.example/app:3"}]))
    opt = {**QUICK, "service": pair}
    missing = host("deploy", opt)
    assert missing.code == "not-found" and "imagedefinitions_secondary.json" in missing.message
    assert "known after run" in host("deploy", opt, "plan").ok("changed").changes[0]
    host.write("imagedefinitions_secondary.json", json.dumps([{"name": "web", "imageUri": "public.example/app:3"}]))
    host("deploy", opt).ok("changed")
    assert all(region.running(pair)["web"] == "public.example/app:3" for region in regions)


def test_images_of_the_copy_stage(host, regions, cloud, pair):
    images = [{
        "name": "web", "source": "public.example/app:5", "digest": "sha256:" + "a" * 64,
        "copies": [{"region": SECONDARY, "image": "mirror.example/app:5", "changed": True}],
    }]  # fmt: skip
    host("deploy", {**QUICK, "service": pair, "images": images}).ok("changed")
    assert [region.running(pair)["web"] for region in regions] == ["public.example/app:5", "mirror.example/app:5"]


@pytest.mark.parametrize("rollback", [True, False])
def test_circuit_breaker_in_the_first_wave(host, regions, cloud, pair, rollback):
    cloud.rollout(service=pair, region=SECONDARY, mode="fail", polls=2, rollback=rollback, **{
        "stopped-reason": "CannotPullContainerError: no such image", "rollback-polls": 2, "count": 1,
    })  # fmt: skip
    before = [region.service(pair)["taskDefinition"] for region in regions]
    done = host("deploy", options(pair, **{"fail-fast": 0}))
    assert done.code == "remote" and "circuit breaker" in done.message, done.message
    assert done.outputs["result"] == "rolled-back"
    assert results(done) == {PRIMARY: "skipped", SECONDARY: "rolled-back"}
    # the primary region was never written to
    assert {region for region, _ in writes(cloud)} == {SECONDARY}
    assert [region.service(pair)["taskDefinition"] for region in regions] == before
    assert regions[1].service(pair)["deployments"][0]["rolloutState"] == "COMPLETED"
    evidence = done.outputs["regions"][SECONDARY]["evidence"]
    assert any("CannotPullContainerError" in text for text in evidence["stopped-tasks"]), evidence
    assert evidence["events"]
    assert "CannotPullContainerError" in done.hint


@pytest.mark.parametrize("pad", ["", "x"])
def test_evidence_is_cut_between_characters(host, regions, cloud, pair, pad):
    cloud.rollout(service=pair, region=SECONDARY, mode="fail", polls=2, count=1, **{
        "stopped-reason": "CannotPullContainerError: " + pad + "\u00fc" * 300,
    })  # fmt: skip
    done = host("deploy", options(pair, **{"fail-fast": 0}))
    evidence = done.outputs["regions"][SECONDARY]["evidence"]
    assert any("CannotPullContainerError" in text for text in evidence["stopped-tasks"]), evidence


ALARMS = {"alarms": {"alarmNames": ["core-5xx", "core-slow"], "enable": True, "rollback": True}}


def configure(region, service, configuration):
    region.ecs.update_service(cluster="prod", service=service, deploymentConfiguration=configuration)


@pytest.mark.parametrize("rollback", [True, False])
@pytest.mark.parametrize("readable", [True, False])
def test_an_alarm_fails_the_rollout(host, regions, cloud, pair, rollback, readable):
    """ECS itself watches the alarms; the error names the one that went off, or else those of the service."""
    configure(regions[1], pair, ALARMS)
    cloud.rollout(service=pair, region=SECONDARY, mode="fail", polls=2, alarm="core-5xx", rollback=rollback, count=1)
    if not readable:
        cloud.fault(service="ecs", action="DescribeServiceDeployments", effect="status", status=403)
    done = host("deploy", options(pair))
    assert (done.code, "alarm detected" in done.message) == ("remote", True), done.message
    assert ("alarm went off: core-5xx" if readable else "alarms of the service: core-5xx, core-slow") in done.message
    assert done.outputs["result"] == "rolled-back"
    assert "core-5xx" in done.outputs["regions"][SECONDARY]["evidence"]["reason"]
    if not readable:
        asked = [e for e in cloud.log() if e["action"] == "DescribeServiceDeployments"]
        assert len(asked) == 1, "what may not be read is not asked for again"


@pytest.mark.parametrize("alarm", ["core-5xx", ""])
def test_a_failure_that_only_the_history_shows(host, regions, cloud, pair, alarm):
    """The list of deployments stays IN_PROGRESS: the wait ends all the same, long before its timeout."""
    cloud.rollout(service=pair, region=SECONDARY, mode="fail", polls=2, alarm=alarm, rollback=False, hidden=True, count=1)
    done = host("deploy", options(pair, **{"fail-fast": 0}))
    assert done.code == "remote" and "is STOPPED" in done.message, done.message
    assert ("alarm went off: core-5xx" if alarm else "circuit breaker: 3 failures, 3 are allowed") in done.message
    assert results(done)[SECONDARY] == "rolled-back"


def test_a_forced_deployment_that_ecs_takes_back(host, regions, cloud, pair):
    """The revision is the same before and after: only the history tells ECS's way back from another deployment."""
    cloud.rollout(service=pair, region=SECONDARY, mode="fail", polls=1, alarm="core-5xx", rollback=True, **{"rollback-polls": 0, "count": 1})
    done = host("deploy", options(pair, "public.example/app:1", force=True, poll="1ms"))
    assert done.code == "remote" and "core-5xx" in done.message, done.message
    assert done.outputs["result"] == "failed", "there is no revision to go back to"


def test_failed_too_late_to_see(host, regions, cloud, pair):
    """The breaker has failed and finished its rollback between two looks: my id is gone."""
    cloud.rollout(service=pair, region=SECONDARY, mode="fail", polls=1, rollback=True, **{"rollback-polls": 0, "count": 1})
    done = host("deploy", options(pair, **{"fail-fast": 0}))
    assert done.code == "remote"
    assert results(done)[SECONDARY] == "rolled-back"


def test_second_wave_fails_and_the_first_goes_back(host, regions, cloud, pair):
    cloud.rollout(service=pair, region=PRIMARY, mode="fail", polls=1, rollback=True, count=1)
    before = [region.service(pair)["taskDefinition"] for region in regions]
    done = host("deploy", options(pair))
    assert done.code == "remote" and "every region is back" in done.hint, done.hint
    assert results(done) == {PRIMARY: "rolled-back", SECONDARY: "rolled-back"}
    assert [region.service(pair)["taskDefinition"] for region in regions] == before
    updates = [region for region, action in writes(cloud) if action == "UpdateService"]
    assert updates[-1] == SECONDARY
    cloud.reset()
    # the revisions that the failed run left are used again
    host("deploy", options(pair)).ok("changed")
    assert [action for _, action in writes(cloud)] == ["UpdateService", "UpdateService"]


def test_leave_and_rollback_failed(host, regions, cloud, pair):
    for mode, secondary, primary in (("leave", "app:2", "app:2"), ("rollback-failed", "app:3", "app:2")):
        image = "public.example/" + secondary
        cloud.rollout(service=pair, region=PRIMARY, mode="fail", polls=1, rollback=False, count=1)
        done = host("deploy", options(pair, image, **{"on-failure": mode, "fail-fast": 0, "if-busy": "supersede"}))
        assert done.code == "remote"
        assert done.outputs["regions"][SECONDARY]["result"] == "deployed"
        assert regions[1].running(pair)["web"] == "public.example/" + secondary
        assert regions[0].running(pair)["web"] == "public.example/" + primary, mode


def test_fail_fast_and_stuck(host, regions, cloud, pair):
    cloud.rollout(service=pair, region=SECONDARY, mode="fail", polls=1000, **{"failed-tasks": 4, "count": 1})
    done = host("deploy", options(pair, timeout="3s"))
    assert done.code in ("remote", "timeout")
    assert results(done)[SECONDARY] == "rolled-back"
    cloud.reset()
    cloud.rollout(service=pair, region=SECONDARY, mode="stuck", count=1)
    done = host("deploy", options(pair, timeout="300ms"))
    assert done.code == "timeout" and "did not end in time" in done.message
    assert results(done) == {PRIMARY: "skipped", SECONDARY: "rolled-back"}


def test_superseded(host, regions, cloud, pair):
    cloud.rollout(service=pair, region=SECONDARY, mode="stuck", count=1)
    process = host.start("deploy", options(pair, **{"on-failure": "rollback"}))
    end = time.monotonic() + 20
    while ("us-east-1", "UpdateService") not in writes(cloud):
        assert time.monotonic() < end
    other = regions[1].taskdef(pair + ":1")
    other = {key: other[key] for key in ("family", "containerDefinitions", "networkMode", "cpu", "memory")}
    other["containerDefinitions"][0]["image"] = "public.example/theirs:9"
    arn = regions[1].ecs.register_task_definition(**other)["taskDefinition"]["taskDefinitionArn"]
    regions[1].ecs.update_service(cluster="prod", service=pair, taskDefinition=arn)
    from host import finish

    done = finish(process)
    assert done.code == "conflict" and done.outputs["result"] == "superseded"
    assert regions[1].running(pair)["web"] == "public.example/theirs:9"


def test_interrupted_then_resumed(host, regions, cloud, pair):
    cloud.rollout(service=pair, region=SECONDARY, mode="stuck", count=1)
    process = host.start("deploy", options(pair))
    end = time.monotonic() + 20
    while ("us-east-1", "UpdateService") not in writes(cloud):
        assert time.monotonic() < end
    process.terminate()
    from host import finish

    done = finish(process)
    assert done.code == "cancelled" and done.outputs["result"] == "cancelled"
    # still under way: the next run sees it to its end and starts no second one
    cloud.reset()
    regions[1].ecs.update_service(cluster="prod", service=pair, forceNewDeployment=True)
    cloud.reset()
    again = host("deploy", options(pair)).ok("changed")
    assert results(again)[PRIMARY] == "deployed"
    assert (SECONDARY, "RegisterTaskDefinition") not in writes(cloud)


@pytest.mark.parametrize(
    ("change", "code", "text"),
    [
        ({"images": {"nobody": "x"}}, "config", "no container `nobody`"),
        ({"service": "missing-service"}, "not-found", "MISSING"),
        ({"cluster": "missing-cluster"}, "not-found", "cluster"),
        ({"images": {"web": "111122223333.dkr.ecr.us-east-1.amazonaws.com/none:1"}}, "not-found", "not in the registry"),
        ({"per-region": {SECONDARY: {"service": "elsewhere"}}}, "not-found", "elsewhere"),
    ],
)
def test_refused_before_any_write(host, regions, cloud, pair, change, code, text):
    done = host("deploy", {**options(pair), **change})
    assert (done.code, text in done.message) == (code, True), (done.code, done.message)
    assert writes(cloud) == []
    assert done.outputs["result"] == "refused"


def test_busy(host, regions, cloud, pair):
    cloud.rollout(service=pair, region=SECONDARY, mode="complete", polls=30, count=1)
    current = regions[1].service(pair)["taskDefinition"]
    regions[1].ecs.update_service(cluster="prod", service=pair, taskDefinition=current, forceNewDeployment=True)
    cloud_before = len(writes(cloud))
    done = host("deploy", options(pair))
    assert done.code == "conflict" and "another deployment" in done.message
    assert len(writes(cloud)) == cloud_before
    host("deploy", options(pair, **{"if-busy": "wait"})).ok("changed")
    assert all(region.running(pair)["web"] == "public.example/app:2" for region in regions)


def test_settings_containers_force_and_prune(host, regions, cloud, pair):
    more = {
        "containers": {"web": {"environment": {"A": "2", "EMPTY": None, "B": "3"}, "memoryReservation": 128}},
        "min-healthy": 50, "max-percent": 200, "circuit-breaker": "rollback", "keep-revisions": 1,
    }  # fmt: skip
    host("deploy", options(pair, **more)).ok("changed")
    for region in regions:
        service = region.service(pair)
        web = region.taskdef(service["taskDefinition"])["containerDefinitions"][0]
        assert sorted((e["name"], e["value"]) for e in web["environment"]) == [("A", "2"), ("B", "3")]
        assert web["memoryReservation"] == 128
        assert service["deploymentConfiguration"]["deploymentCircuitBreaker"] == {"enable": True, "rollback": True}
        assert len(region.revisions(pair)) == 2, "the current one and the one before stay"
    cloud.reset()
    host("deploy", options(pair, **more)).ok("unchanged")
    assert cloud.mutating() == []
    host("deploy", options(pair, "public.example/app:3", **more)).ok("changed")
    assert [arn.rpartition(":")[2] for arn in regions[0].revisions(pair)] == ["2", "3"]
    cloud.reset()
    old = regions[0].service(pair)["deployments"][0]["id"]
    host("deploy", options(pair, "public.example/app:3", force=True, **more)).ok("changed")
    assert [action for _, action in writes(cloud)] == ["UpdateService", "UpdateService"]
    assert regions[0].service(pair)["deployments"][0]["id"] != old


def test_waves_and_several_services(host, regions, cloud, pair):
    for region in regions:
        region.make(pair + "-b", {"web": "public.example/app:1"})
    cloud.reset()
    opt = {**QUICK, "services": [pair, pair + "-b"], "images": {"web": "public.example/app:2"}}
    done = host("deploy", {**opt, "waves": [[PRIMARY], [SECONDARY]]}).ok("changed")
    assert len(done.outputs["targets"]) == 4
    order = [region for region, action in writes(cloud) if action == "UpdateService"]
    assert order == [PRIMARY, PRIMARY, SECONDARY, SECONDARY]


def test_verify_tells_the_difference(host, regions, cloud, pair):
    regions_only = {**options(pair), "regions": [PRIMARY]}
    host("deploy", regions_only).ok("changed")
    done = host("deploy", options(pair), "verify").ok("changed")
    assert any("app:2" in text and "app:1" in text for text in done.changes), done.changes


@pytest.mark.parametrize("index", [0, 1])
def test_verify_sees_a_container_of_one_region_only(host, regions, cloud, pair, index):
    region = regions[index]
    containers = region.taskdef(region.service(pair)["taskDefinition"])["containerDefinitions"]
    more = region.ecs.register_task_definition(
        family=pair, networkMode="host", cpu="256", memory="512",
        containerDefinitions=[*containers, {"name": "agent", "image": "public.example/agent:1"}],
    )["taskDefinition"]["taskDefinitionArn"]  # fmt: skip
    region.ecs.update_service(cluster="prod", service=pair, taskDefinition=more)
    while region.service(pair)["deployments"][0]["rolloutState"] != "COMPLETED":
        pass
    done = host("deploy", options(pair), "verify").ok("changed")
    assert len(done.changes) == 1 and "container agent: " in done.changes[0], done.changes
    assert "nothing in " in done.changes[0] and "public.example/agent:1 in " in done.changes[0]


@pytest.mark.parametrize("fault", [
    {"action": "RegisterTaskDefinition", "effect": "lost-answer"},
    {"action": "UpdateService", "effect": "lost-answer"},
    {"action": "DescribeServices", "effect": "throttle"},
    {"action": "UpdateService", "effect": "status", "status": 503},
])  # fmt: skip
def test_faults(host, regions, cloud, pair, fault):
    cloud.fault(service="ecs", count=2, **fault)
    host("deploy", options(pair)).ok("changed")
    for region in regions:
        assert region.running(pair)["web"] == "public.example/app:2"
        assert region.service(pair)["deployments"][0]["rolloutState"] == "COMPLETED"
    cloud.reset()
    host("deploy", options(pair)).ok("unchanged")


@pytest.mark.parametrize(("fault", "sent"), [
    ({"effect": "lost-answer", "count": 1}, 1),
    ({"effect": "cut-answer", "bytes": 20, "count": 1}, 1),
    ({"effect": "throttle", "count": 2}, 3),
    ({"effect": "cut-request", "bytes": 100, "count": 1}, 2),
    ({"effect": "status", "status": 500, "count": 1}, 2),
])  # fmt: skip
def test_a_revision_is_registered_once(host, regions, cloud, pair, fault, sent):
    cloud.fault(service="ecs", action="RegisterTaskDefinition", region=SECONDARY, **fault)
    done = host("deploy", options(pair)).ok("changed")
    assert writes(cloud).count((SECONDARY, "RegisterTaskDefinition")) == sent
    assert [len(region.revisions(pair)) for region in regions] == [2, 2]
    assert len([text for text in done.changes if text.startswith("registered")]) == 2
    assert regions[1].running(pair)["web"] == "public.example/app:2"


def test_a_revision_that_cannot_be_registered(host, regions, cloud, pair):
    cloud.fault(service="ecs", action="RegisterTaskDefinition", effect="status", status=500)
    done = host("deploy", options(pair))
    assert (done.code, "RegisterTaskDefinition" in done.message) == ("remote", True), done.message
    assert [action for _, action in writes(cloud)] == ["RegisterTaskDefinition"] * 3
    assert not any(text.startswith("registered") for text in done.changes)


@pytest.mark.parametrize(("effect", "sent"), [("lost-answer", 1), ("cut-request", 2), ("throttle", 2)])
def test_a_forced_deployment_is_started_once(host, regions, cloud, pair, effect, sent):
    old = regions[1].service(pair)["deployments"][0]["id"]
    cloud.rollout(service=pair, region=SECONDARY, mode="complete", polls=2)
    cloud.fault(service="ecs", action="UpdateService", region=SECONDARY, effect=effect, count=1)
    done = host("deploy", options(pair, "public.example/app:1", force=True)).ok("changed")
    assert writes(cloud) == [(SECONDARY, "UpdateService")] * sent + [(PRIMARY, "UpdateService")]
    assert done.outputs["regions"][SECONDARY]["deployment"] not in (None, old)
    events = [event["message"] for event in regions[1].service(pair)["events"]]
    assert len([text for text in events if "deployment started" in text]) == 2, "the service's first one, and ours"


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"service": None}, "no service"),
        ({"waves": "us-east-1"}, "waves"),
        ({"waves": [["nowhere"]]}, "no region"),
        ({"per-region": {SECONDARY: {"servce": "x"}}}, "servce"),
        ({"max-percent": 50}, "max-percent"),
        ({"images": "x"}, "images"),
        ({"containers": {"web": "512"}}, "containers.web"),
    ],
)
def test_check(host, change, text):
    opt = {key: value for key, value in {**options("core"), **change}.items() if value is not None}
    done = host("deploy", opt, "check")
    assert (done.code, text in done.message) == ("config", True), done.message

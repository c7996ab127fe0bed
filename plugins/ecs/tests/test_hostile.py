"""Answers that no ECS gives: an error with words, never a crash, never a success."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

ARN = "arn:aws:ecs:us-west-2:1:task-definition/web:1"


def service(**more):
    return {"services": [{"status": "ACTIVE", "taskDefinition": ARN, **more}]}


def definition(**more):
    return {"taskDefinition": {"taskDefinitionArn": ARN, "family": "web", **more}}


WEB = {"containerDefinitions": [{"name": "web", "image": "a:1"}]}
JUNK = [
    "", "null", "[]", "7", '"x"', "{", "<html>oops</html>", '{"services": null}', '{"services": {}}', '{"services": [7]}',
    '{"services": [[]], "failures": [[]]}', '{"failures": [{"reason": 1}]}', "[" * 5000, '{"a": ' * 3000, "\xff\xfe",
    json.dumps(service(taskDefinition=7)), json.dumps(service(deployments=7, status=[])),
    json.dumps(service(deployments=[None, [], {"status": "PRIMARY"}, {"id": "x" * 5000, "status": "PRIMARY"}])),
]  # fmt: skip


class Answers:
    def __init__(self):
        answers = self.answers = {}

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                self.rfile.read(int(self.headers.get("Content-Length", 0)))
                action = self.headers.get("X-Amz-Target", "").rpartition(".")[2]
                status, body = answers.get(action, (400, '{"__type": "ClientException", "message": "no"}'))
                data = body.encode("latin-1") if isinstance(body, str) else json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"


@pytest.fixture
def answers(monkeypatch):
    one = Answers()
    monkeypatch.setenv("AWS_ENDPOINT_URL", one.url)
    yield one.answers
    one.server.shutdown()
    one.server.server_close()


def deploy(host, how="run", **more):
    options = {"service": "web", "images": {"web": "a:2"}, "regions": ["us-west-2"], "poll": "1ms", "timeout": "2s"}
    return host("deploy", options | more, how)


@pytest.mark.parametrize("body", JUNK)
@pytest.mark.parametrize("status", [200, 400])
def test_describe_services(host, answers, status, body):
    answers["DescribeServices"] = (status, body)
    answers["DescribeTaskDefinition"] = (200, definition(**WEB))
    for how in ("run", "plan", "verify"):
        done = deploy(host, how)
        assert done.code != "ok" or how == "verify" or done.result == "changed", done.message
        assert len(done.message) < 480


@pytest.mark.parametrize(
    "body",
    [*JUNK, definition(), definition(containerDefinitions=7), definition(containerDefinitions=[7, None, {"name": []}]),
     {"taskDefinition": {"taskDefinitionArn": 7}}, {"taskDefinition": [], "tags": {}}],
)  # fmt: skip
def test_task_definition(host, answers, body):
    answers["DescribeServices"] = (200, service(deployments=[{"id": "o", "status": "PRIMARY", "rolloutState": "COMPLETED"}]))
    answers["DescribeTaskDefinition"] = (200, body)
    done = deploy(host)
    assert done.code != "ok" and done.message


@pytest.mark.parametrize("body", [*JUNK, {"taskDefinition": {"taskDefinitionArn": []}}])
@pytest.mark.parametrize("action", ["RegisterTaskDefinition", "UpdateService"])
def test_writes(host, answers, action, body):
    answers["DescribeServices"] = (200, service(deployments=[{"id": "o", "status": "PRIMARY", "rolloutState": "COMPLETED"}]))
    answers["DescribeTaskDefinition"] = (200, definition(**WEB))
    answers["RegisterTaskDefinition"] = (200, {"taskDefinition": {"taskDefinitionArn": ARN[:-1] + "2"}})
    answers[action] = (200, body)
    for name in ("ListTasks", "DescribeTasks"):
        answers[name] = (200, body)
    done = deploy(host)
    assert done.code != "ok" and done.message

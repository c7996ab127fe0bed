"""CodeCommit's API over bare repositories on disk; moto keeps the list of repositories."""

from __future__ import annotations

import datetime
import re
import shutil
import subprocess
import uuid
from pathlib import Path
from typing import Any, Callable

from .awserrors import ApiError
from .gateway import Gateway

PREFIX = "CodeCommit_20150413."
PAGE = 1000


def git(folder: Path, *words: str, check: bool = False) -> subprocess.CompletedProcess[str]:
    command = ["git", "-c", "safe.directory=*", f"--git-dir={folder}", *words]
    return subprocess.run(command, capture_output=True, text=True, check=check)


def set_default_branch(folder: Path) -> None:
    """The first branch pushed becomes the default one."""
    if git(folder, "rev-parse", "--verify", "-q", "HEAD").returncode == 0:
        return
    first = git(folder, "for-each-ref", "--count=1", "--format=%(refname)", "refs/heads").stdout.strip()
    if first:
        git(folder, "symbolic-ref", "HEAD", first)


class CodeCommit:
    def __init__(self, gateway: Gateway, root: Path):
        self.moto, self.root = gateway.moto, root
        self.page = PAGE
        # By region and name: what moto's repositories have no place for.
        self.tags: dict[tuple[str, str], dict[str, str]] = {}
        self.triggers: dict[tuple[str, str], dict[str, Any]] = {}
        self.descriptions: dict[tuple[str, str], str] = {}
        self.keys: dict[tuple[str, str], str] = {}
        actions: dict[str, Callable[[str, dict[str, Any]], dict[str, Any]]] = {
            "ListRepositories": self.list_repositories,
            "BatchGetRepositories": self.batch_get,
            "GetBranch": self.get_branch,
            "ListBranches": self.list_branches,
            "CreateBranch": self.create_branch,
            "DeleteBranch": self.delete_branch,
            "UpdateDefaultBranch": self.update_default,
            "GetCommit": self.get_commit,
            "ListTagsForResource": self.list_tags,
            "TagResource": self.tag,
            "UntagResource": self.untag,
            "UpdateRepositoryDescription": self.describe,
            "GetRepositoryTriggers": self.get_triggers,
            "PutRepositoryTriggers": self.put_triggers,
        }
        for name, function in actions.items():
            gateway.overrides["codecommit", name] = function
        gateway.after["codecommit", "CreateRepository"] = self.created
        gateway.after["codecommit", "GetRepository"] = self.got
        gateway.after["codecommit", "DeleteRepository"] = self.deleted

    def folder(self, region: str, name: str) -> Path:
        return self.root / region / f"{name}.git"

    def exists(self, region: str, name: str) -> bool:
        return re.fullmatch(r"[\w.-]+", name) is not None and (self.folder(region, name) / "HEAD").exists()

    def _known(self, region: str, params: dict[str, Any]) -> Path:
        name = params["repositoryName"]
        if not self.exists(region, name):
            raise ApiError("RepositoryDoesNotExistException", f"{name} does not exist")
        return self.folder(region, name)

    def created(self, region: str, params: dict[str, Any], answer: dict[str, Any]) -> dict[str, Any]:
        folder = self.folder(region, params["repositoryName"])
        subprocess.run(["git", "init", "-q", "--bare", "--initial-branch=main", str(folder)], check=True)
        git(folder, "config", "http.receivepack", "true", check=True)
        git(folder, "config", "receive.denyDeleteCurrent", "refuse", check=True)
        self.tags[region, params["repositoryName"]] = dict(params.get("tags") or {})
        if params.get("kmsKeyId"):
            self.keys[region, params["repositoryName"]] = params["kmsKeyId"]
        return self.got(region, params, answer)

    def got(self, region: str, params: dict[str, Any], answer: dict[str, Any]) -> dict[str, Any]:
        meta = answer["repositoryMetadata"]
        for member in ("creationDate", "lastModifiedDate"):
            if isinstance(meta.get(member), str):
                text = meta[member].replace("Z", "+00:00")
                meta[member] = datetime.datetime.fromisoformat(text).timestamp()
        described = self.descriptions.get((region, meta["repositoryName"]))
        if described is not None:
            meta["repositoryDescription"] = described
        if (region, meta["repositoryName"]) in self.keys:
            meta["kmsKeyId"] = self.keys[region, meta["repositoryName"]]
        default = self._default(self.folder(region, meta["repositoryName"]))
        if default:
            meta["defaultBranch"] = default
        return {"repositoryMetadata": {key: value for key, value in meta.items() if value is not None}}

    def deleted(self, region: str, params: dict[str, Any], answer: dict[str, Any]) -> dict[str, Any]:
        shutil.rmtree(self.folder(region, params["repositoryName"]), ignore_errors=True)
        for kept in (self.tags, self.triggers, self.descriptions, self.keys):
            kept.pop((region, params["repositoryName"]), None)
        return answer

    @staticmethod
    def _default(folder: Path) -> str:
        if git(folder, "rev-parse", "--verify", "-q", "HEAD").returncode != 0:
            return ""
        return git(folder, "symbolic-ref", "--short", "HEAD").stdout.strip()

    def _metadata(self, region: str, name: str) -> dict[str, Any]:
        status, answer = self.moto.call_json("codecommit", region, PREFIX + "GetRepository", {"repositoryName": name})
        if status != 200:
            raise ApiError("RepositoryDoesNotExistException", f"{name} does not exist")
        return self.got(region, {}, answer)["repositoryMetadata"]

    def _names(self, region: str) -> list[str]:
        folder = self.root / region
        return sorted(entry.name.removesuffix(".git") for entry in folder.iterdir()) if folder.is_dir() else []

    def _slice(self, params: dict[str, Any], items: list[Any]) -> tuple[list[Any], dict[str, str]]:
        start = int(params.get("nextToken") or 0)
        more = {"nextToken": str(start + self.page)} if start + self.page < len(items) else {}
        return items[start : start + self.page], more

    def list_repositories(self, region: str, params: dict[str, Any]) -> dict[str, Any]:
        names = self._names(region)
        if params.get("order") == "descending":
            names.reverse()
        page, more = self._slice(params, names)
        found = [self._metadata(region, name) for name in page]
        short = [{key: meta[key] for key in ("repositoryName", "repositoryId")} for meta in found]
        return {"repositories": short, **more}

    def batch_get(self, region: str, params: dict[str, Any]) -> dict[str, Any]:
        names = params["repositoryNames"]
        if len(names) > 100:
            raise ApiError("MaximumRepositoryNamesExceededException", "at most 100 names")
        found = [self._metadata(region, name) for name in names if self.exists(region, name)]
        absent = [name for name in names if not self.exists(region, name)]
        return {"repositories": found, "repositoriesNotFound": absent, "errors": []}

    def _tip(self, folder: Path, branch: str) -> str:
        answer = git(folder, "rev-parse", "--verify", "-q", f"refs/heads/{branch}")
        if answer.returncode != 0:
            raise ApiError("BranchDoesNotExistException", f"Could not find branch {branch}")
        return answer.stdout.strip()

    def get_branch(self, region: str, params: dict[str, Any]) -> dict[str, Any]:
        folder = self._known(region, params)
        name = params.get("branchName", "")
        return {"branch": {"branchName": name, "commitId": self._tip(folder, name)}}

    def list_branches(self, region: str, params: dict[str, Any]) -> dict[str, Any]:
        folder = self._known(region, params)
        lines = git(folder, "for-each-ref", "--format=%(refname)", "refs/heads").stdout.splitlines()
        page, more = self._slice(params, [line.removeprefix("refs/heads/") for line in lines])
        return {"branches": page, **more}

    def create_branch(self, region: str, params: dict[str, Any]) -> dict[str, Any]:
        folder, name, commit = self._known(region, params), params["branchName"], params["commitId"]
        if git(folder, "rev-parse", "--verify", "-q", f"refs/heads/{name}").returncode == 0:
            raise ApiError("BranchNameExistsException", f"branch {name} exists")
        if git(folder, "cat-file", "-e", f"{commit}^{{commit}}").returncode != 0:
            raise ApiError("CommitDoesNotExistException", f"no commit {commit}")
        if git(folder, "update-ref", f"refs/heads/{name}", commit).returncode != 0:
            raise ApiError("InvalidBranchNameException", f"not a branch name: {name}")
        set_default_branch(folder)
        return {}

    def delete_branch(self, region: str, params: dict[str, Any]) -> dict[str, Any]:
        folder, name = self._known(region, params), params["branchName"]
        if name == self._default(folder):
            raise ApiError("DefaultBranchCannotBeDeletedException", f"{name} is the default branch")
        if git(folder, "rev-parse", "--verify", "-q", f"refs/heads/{name}").returncode != 0:
            return {}
        tip = self._tip(folder, name)
        git(folder, "update-ref", "-d", f"refs/heads/{name}")
        return {"deletedBranch": {"branchName": name, "commitId": tip}}

    def update_default(self, region: str, params: dict[str, Any]) -> dict[str, Any]:
        folder, name = self._known(region, params), params["defaultBranchName"]
        self._tip(folder, name)
        git(folder, "symbolic-ref", "HEAD", f"refs/heads/{name}", check=True)
        return {}

    def get_commit(self, region: str, params: dict[str, Any]) -> dict[str, Any]:
        folder, commit = self._known(region, params), params["commitId"]
        form = "%H%x00%T%x00%P%x00%an%x00%ae%x00%ad%x00%cn%x00%ce%x00%cd%x00%B"
        shown = git(folder, "log", "-1", "--date=raw", f"--format={form}", commit, "--")
        if shown.returncode != 0:
            raise ApiError("CommitIdDoesNotExistException", f"no commit {commit}")
        parts = shown.stdout.split("\0")
        author = {"name": parts[3], "email": parts[4], "date": parts[5]}
        committer = {"name": parts[6], "email": parts[7], "date": parts[8]}
        found = {"commitId": parts[0], "treeId": parts[1], "parents": parts[2].split(), "message": parts[9].rstrip("\n")}
        return {"commit": found | {"author": author, "committer": committer, "additionalData": ""}}

    def _of_arn(self, region: str, params: dict[str, Any]) -> dict[str, str]:
        name = params["resourceArn"].rpartition(":")[2]
        self._known(region, {"repositoryName": name})
        return self.tags.setdefault((region, name), {})

    def list_tags(self, region: str, params: dict[str, Any]) -> dict[str, Any]:
        return {"tags": self._of_arn(region, params)}

    def tag(self, region: str, params: dict[str, Any]) -> dict[str, Any]:
        self._of_arn(region, params).update(params["tags"])
        return {}

    def untag(self, region: str, params: dict[str, Any]) -> dict[str, Any]:
        tags = self._of_arn(region, params)
        for key in params["tagKeys"]:
            tags.pop(key, None)
        return {}

    def describe(self, region: str, params: dict[str, Any]) -> dict[str, Any]:
        self._known(region, params)
        self.descriptions[region, params["repositoryName"]] = params.get("repositoryDescription", "")
        return {}

    def get_triggers(self, region: str, params: dict[str, Any]) -> dict[str, Any]:
        self._known(region, params)
        return self.triggers.get((region, params["repositoryName"]), {"triggers": []})

    def put_triggers(self, region: str, params: dict[str, Any]) -> dict[str, Any]:
        self._known(region, params)
        for trigger in params["triggers"]:
            if f":{region}:" not in trigger["destinationArn"]:
                raise ApiError("InvalidRepositoryTriggerRegionException", "the destination is in another region")
        kept = {"configurationId": str(uuid.uuid4()), "triggers": params["triggers"]}
        self.triggers[region, params["repositoryName"]] = kept
        return {"configurationId": kept["configurationId"]}

"""ECR's API over what the registries hold; moto keeps the repositories and their settings."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import uuid
from typing import Any, Callable

from .awserrors import ApiError
from .gateway import Gateway
from .registry import Registry, Tokens, is_immutable
from .store import DIGEST, Image, digest_of

PREFIX = "AmazonEC2ContainerRegistry_V20150921."
PART_SIZE = 10 * 1024 * 1024


class Ecr:
    def __init__(self, gateway: Gateway, registry: Callable[[str], Registry], tokens: Tokens):
        self.moto, self.registry, self.tokens = gateway.moto, registry, tokens
        self.loop = asyncio.get_running_loop()
        self.uploads: dict[str, tuple[str, bytearray]] = {}
        self.replication: dict[str, list[dict[str, Any]]] = {}
        actions: dict[str, Callable[[str, dict[str, Any]], dict[str, Any]]] = {
            "GetAuthorizationToken": self.token,
            "DeleteRepository": self.delete_repository,
            "ListImages": self.list_images,
            "DescribeImages": self.describe_images,
            "BatchGetImage": self.batch_get_image,
            "BatchDeleteImage": self.batch_delete_image,
            "BatchCheckLayerAvailability": self.check_layers,
            "GetDownloadUrlForLayer": self.layer_url,
            "PutImage": self.put_image,
            "InitiateLayerUpload": self.start_upload,
            "UploadLayerPart": self.upload_part,
            "CompleteLayerUpload": self.complete_upload,
            "PutReplicationConfiguration": self.put_replication,
            "DescribeRegistry": self.describe_registry,
            "DescribeImageReplicationStatus": self.replication_status,
        }
        for name, function in actions.items():
            gateway.overrides["ecr", name] = function

    def _known(self, region: str, params: dict[str, Any]) -> tuple[str, Registry]:
        name = params["repositoryName"]
        if self.moto.ecr_repository(region, name) is None:
            raise ApiError(
                "RepositoryNotFoundException",
                f"The repository with name '{name}' does not exist in the registry with id '{self.moto.account}'",
            )
        return name, self.registry(region)

    def _not_found(self, name: str, image_id: dict[str, str]) -> ApiError:
        text = ", ".join(f"{key}:'{image_id.get(key, 'null')}'" for key in ("imageDigest", "imageTag"))
        return ApiError(
            "ImageNotFoundException",
            f"The image with imageId {{{text}}} does not exist within the repository with name '{name}'"
            f" in the registry with id '{self.moto.account}'",
        )

    def token(self, region: str, params: dict[str, Any]) -> dict[str, Any]:
        accounts = params.get("registryIds") or [self.moto.account]
        data = []
        for account in accounts:
            password, end = self.tokens.make(region)
            data.append(
                {
                    "authorizationToken": base64.b64encode(f"AWS:{password}".encode()).decode(),
                    "expiresAt": end,
                    "proxyEndpoint": f"https://{account}.dkr.ecr.{region}.amazonaws.com",
                }
            )
        return {"authorizationData": data}

    def delete_repository(self, region: str, params: dict[str, Any]) -> dict[str, Any]:
        name, registry = self._known(region, params)
        if registry.store.images(name) and not params.get("force"):
            raise ApiError(
                "RepositoryNotEmptyException",
                f"The repository with name '{name}' in registry with id '{self.moto.account}' cannot be deleted"
                " because it still contains images",
            )
        status, answer = self.moto.call_json("ecr", region, PREFIX + "DeleteRepository", params)
        if status != 200:
            raise ApiError(answer.get("__type", "ServerException"), answer.get("message", ""), status)
        registry.store.drop_repository(name)
        return answer

    def _ids(self, region: str, params: dict[str, Any]) -> tuple[str, Registry, list[Image]]:
        name, registry = self._known(region, params)
        images = registry.store.images(name)
        wanted = (params.get("filter") or {}).get("tagStatus", "ANY")
        if wanted != "ANY":
            images = [image for image in images if bool(image.tags) == (wanted == "TAGGED")]
        return name, registry, images

    def list_images(self, region: str, params: dict[str, Any]) -> dict[str, Any]:
        _, _, images = self._ids(region, params)
        ids = []
        for image in images:
            ids += [{"imageDigest": image.digest, "imageTag": tag} for tag in image.tags]
            if not image.tags:
                ids.append({"imageDigest": image.digest})
        return _page(params, "imageIds", ids)

    def describe_images(self, region: str, params: dict[str, Any]) -> dict[str, Any]:
        name, registry, images = self._ids(region, params)
        if params.get("imageIds"):
            chosen: dict[str, Image] = {}
            for image_id in params["imageIds"]:
                image = self._find(images, image_id)
                if image is None:
                    raise self._not_found(name, image_id)
                chosen[image.digest] = image
            images = list(chosen.values())
        details = [self._detail(name, registry, image) for image in images]
        return _page(params, "imageDetails", details)

    def _detail(self, name: str, registry: Registry, image: Image) -> dict[str, Any]:
        manifest = image.manifest
        detail: dict[str, Any] = {
            "registryId": self.moto.account,
            "repositoryName": name,
            "imageDigest": image.digest,
            "imageSizeInBytes": registry.store.size(name, image),
            "imagePushedAt": image.pushed_at,
            "imageManifestMediaType": image.media_type,
        }
        if image.tags:
            detail["imageTags"] = image.tags
        kind = manifest.get("artifactType") or (manifest.get("config") or {}).get("mediaType")
        if kind:
            detail["artifactMediaType"] = kind
        return detail

    @staticmethod
    def _find(images: list[Image], image_id: dict[str, str]) -> Image | None:
        digest, tag = image_id.get("imageDigest"), image_id.get("imageTag")
        if not digest and not tag:
            raise ApiError("InvalidParameterException", "an image id needs a digest or a tag")
        for image in images:
            if (not digest or image.digest == digest) and (not tag or tag in image.tags):
                return image
        return None

    def batch_get_image(self, region: str, params: dict[str, Any]) -> dict[str, Any]:
        name, registry = self._known(region, params)
        images = registry.store.images(name)
        found, failures = [], []
        for image_id in params["imageIds"]:
            digest = image_id.get("imageDigest")
            failure = ("ImageNotFound", "Requested image not found")
            if not digest and not image_id.get("imageTag"):
                failure = ("MissingDigestAndTag", "Invalid request parameters: both tag and digest cannot be null")
                image = None
            elif digest and not DIGEST.match(digest):
                failure = ("InvalidImageDigest", "Invalid request parameters: image digest should satisfy the regex")
                image = None
            else:
                image = self._find(images, image_id)
            if image is None:
                failures.append({"imageId": image_id, "failureCode": failure[0], "failureReason": failure[1]})
                continue
            found.append(self._image(name, image, image_id.get("imageTag")))
        return {"images": found, "failures": failures}

    def _image(self, name: str, image: Image, tag: str | None) -> dict[str, Any]:
        image_id = {"imageDigest": image.digest} | ({"imageTag": tag} if tag else {})
        return {
            "registryId": self.moto.account,
            "repositoryName": name,
            "imageId": image_id,
            "imageManifest": image.raw.decode(),
            "imageManifestMediaType": image.media_type,
        }

    def batch_delete_image(self, region: str, params: dict[str, Any]) -> dict[str, Any]:
        name, registry = self._known(region, params)
        deleted, failures = [], []
        for image_id in params["imageIds"]:
            image = self._find(registry.store.images(name), image_id)
            if image is None:
                code, text = "ImageNotFound", "Requested image not found"
                failures.append({"imageId": image_id, "failureCode": code, "failureReason": text})
                continue
            tag = image_id.get("imageTag")
            if tag and not image_id.get("imageDigest"):
                registry.store.untag(name, tag)
                deleted.append({"imageDigest": image.digest, "imageTag": tag})
                if len(image.tags) > 1:
                    continue
            else:
                deleted += [{"imageDigest": image.digest, "imageTag": each} for each in image.tags]
                deleted += [] if image.tags else [{"imageDigest": image.digest}]
            registry.store.remove(name, image.digest)
        return {"imageIds": deleted, "failures": failures}

    def check_layers(self, region: str, params: dict[str, Any]) -> dict[str, Any]:
        name, registry = self._known(region, params)
        layers, failures = [], []
        for digest in params["layerDigests"]:
            if not DIGEST.match(digest):
                failure = {"failureCode": "InvalidLayerDigest", "failureReason": "Invalid layer digest"}
                failures.append({"layerDigest": digest} | failure)
            elif registry.store.has_layer(name, digest):
                size = registry.store.blob_path(digest).stat().st_size
                layers.append({"layerDigest": digest, "layerAvailability": "AVAILABLE", "layerSize": size})
            else:
                layers.append({"layerDigest": digest, "layerAvailability": "UNAVAILABLE"})
        return {"layers": layers, "failures": failures}

    def layer_url(self, region: str, params: dict[str, Any]) -> dict[str, Any]:
        name, registry = self._known(region, params)
        digest = params["layerDigest"]
        if not registry.store.has_layer(name, digest):
            raise ApiError("LayersNotFoundException", f"The layer with digest '{digest}' does not exist")
        return {"downloadUrl": registry.blobs.url(region, digest), "layerDigest": digest}

    def _forward(self, registry: Registry, method: str, target: str, headers: Any, body: bytes) -> Any:
        work = registry.forward(method, target, headers, body, len(body))
        return asyncio.run_coroutine_threadsafe(work, self.loop).result()

    def put_image(self, region: str, params: dict[str, Any]) -> dict[str, Any]:
        name, registry = self._known(region, params)
        raw = params["imageManifest"].encode()
        digest, tag = digest_of(raw), params.get("imageTag")
        if params.get("imageDigest", digest) != digest:
            raise ApiError("ImageDigestDoesNotMatchException", f"The calculated digest is {digest}")
        held = registry.store.tags(name).get(tag or "")
        known = registry.store.image(name, digest)
        if known is not None and (tag is None or held == digest):
            raise ApiError("ImageAlreadyExistsException", f"Image with digest '{digest}' and tag '{tag}' already exists")
        if held is not None and is_immutable(self.moto.ecr_repository(region, name)):
            raise ApiError(
                "ImageTagAlreadyExistsException",
                f"The image tag '{tag}' already exists in the '{name}' repository"
                " and cannot be overwritten because the repository is immutable.",
            )
        kind = params.get("imageManifestMediaType") or Image(digest, raw, 0).media_type
        target = f"/v2/{name}/manifests/{tag or digest}"
        answer = self._forward(registry, "PUT", target, [("Content-Type", kind), ("Host", "registry")], raw)
        if answer.status >= 400:
            text = bytes(answer.body).decode("utf-8", "replace")
            unknown = "BLOB_UNKNOWN" in text or "MANIFEST_UNKNOWN" in text
            raise ApiError("LayersNotFoundException" if unknown else "InvalidParameterException", text)
        return {"image": self._image(name, Image(digest, raw, 0), tag)}

    def start_upload(self, region: str, params: dict[str, Any]) -> dict[str, Any]:
        name, _ = self._known(region, params)
        upload = str(uuid.uuid4())
        self.uploads[upload] = (name, bytearray())
        return {"uploadId": upload, "partSize": PART_SIZE}

    def _upload(self, params: dict[str, Any]) -> bytearray:
        held = self.uploads.get(params["uploadId"])
        if held is None or held[0] != params["repositoryName"]:
            raise ApiError("UploadNotFoundException", f"no upload {params['uploadId']}")
        return held[1]

    def upload_part(self, region: str, params: dict[str, Any]) -> dict[str, Any]:
        self._known(region, params)
        data, part = self._upload(params), base64.b64decode(params["layerPartBlob"])
        first, last = params["partFirstByte"], params["partLastByte"]
        if first != len(data) or last != first + len(part) - 1:
            raise ApiError("InvalidLayerPartException", f"the last byte received is {len(data) - 1}")
        data += part
        return {"uploadId": params["uploadId"], "lastByteReceived": len(data) - 1}

    def complete_upload(self, region: str, params: dict[str, Any]) -> dict[str, Any]:
        name, registry = self._known(region, params)
        data = bytes(self._upload(params))
        if not data:
            raise ApiError("EmptyUploadException", "The upload is empty")
        digest = "sha256:" + hashlib.sha256(data).hexdigest()
        if digest not in params["layerDigests"]:
            raise ApiError("InvalidLayerException", f"The layer's digest is {digest}")
        del self.uploads[params["uploadId"]]
        if registry.store.has_layer(name, digest):
            raise ApiError("LayerAlreadyExistsException", f"Layer {digest} already exists")
        host = [("Host", "registry"), ("Content-Type", "application/octet-stream")]
        started = self._forward(registry, "POST", f"/v2/{name}/blobs/uploads/", host, b"")
        location = dict(started.headers)["Location"]
        mark = "&" if "?" in location else "?"
        self._forward(registry, "PUT", f"{location}{mark}digest={digest}", host, data)
        return {"uploadId": params["uploadId"], "layerDigest": digest, "repositoryName": name}

    def put_replication(self, region: str, params: dict[str, Any]) -> dict[str, Any]:
        rules = params["replicationConfiguration"]["rules"]
        for rule in rules:
            for destination in rule["destinations"]:
                if destination["region"] == region and destination["registryId"] == self.moto.account:
                    text = "Replication destination cannot be the same as the source registry"
                    raise ApiError("InvalidParameterException", text)
        self.replication[region] = rules
        return {"replicationConfiguration": {"rules": rules}}

    def describe_registry(self, region: str, params: dict[str, Any]) -> dict[str, Any]:
        rules = self.replication.get(region, [])
        return {"registryId": self.moto.account, "replicationConfiguration": {"rules": rules}}

    def replication_status(self, region: str, params: dict[str, Any]) -> dict[str, Any]:
        """COMPLETE where the destination holds the digest, however it came there; else IN_PROGRESS."""
        name, registry = self._known(region, params)
        image = self._find(registry.store.images(name), params["imageId"])
        if image is None:
            raise self._not_found(name, params["imageId"])
        statuses = []
        for rule in self.replication.get(region, []):
            filters = [each["filter"] for each in rule.get("repositoryFilters", [])]
            if filters and not any(name.startswith(prefix) for prefix in filters):
                continue
            for destination in rule["destinations"]:
                there = self.registry(destination["region"]).store.image(name, image.digest)
                statuses.append(dict(destination, status="COMPLETE" if there else "IN_PROGRESS"))
        image_id = {"imageDigest": image.digest} | {key: params["imageId"][key] for key in params["imageId"]}
        return {"repositoryName": name, "imageId": image_id, "replicationStatuses": statuses}


def _page(params: dict[str, Any], member: str, items: list[dict[str, Any]]) -> dict[str, Any]:
    size = params.get("maxResults", 100)
    start = int(base64.b64decode(params["nextToken"])) if params.get("nextToken") else 0
    answer: dict[str, Any] = {member: items[start : start + size]}
    if start + size < len(items):
        answer["nextToken"] = base64.b64encode(str(start + size).encode()).decode()
    return answer

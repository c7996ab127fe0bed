"""Reads and edits what a docker-registry keeps on disk: tags, revisions, manifests, blobs."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

DIGEST = re.compile(r"^sha256:[0-9a-f]{64}$")
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEXES = {OCI_INDEX, "application/vnd.docker.distribution.manifest.list.v2+json"}


@dataclass
class Image:
    digest: str
    raw: bytes
    pushed_at: float
    tags: list[str] = field(default_factory=list)

    @property
    def manifest(self) -> dict[str, Any]:
        return json.loads(self.raw)

    @property
    def media_type(self) -> str:
        manifest = self.manifest
        guess = OCI_INDEX if "manifests" in manifest else OCI_MANIFEST
        return manifest.get("mediaType") or guess


class Store:
    """One region's registry storage; the registry keeps no cache, so edits count at once."""

    def __init__(self, root: Path):
        self.root = root / "docker" / "registry" / "v2"

    def _repository(self, name: str) -> Path:
        return self.root / "repositories" / name

    def blob_path(self, digest: str) -> Path:
        return self.root / "blobs" / "sha256" / digest[7:9] / digest[7:] / "data"

    def has_layer(self, name: str, digest: str) -> bool:
        link = self._repository(name) / "_layers" / "sha256" / digest[7:] / "link"
        return bool(DIGEST.match(digest)) and link.exists() and self.blob_path(digest).exists()

    def tags(self, name: str) -> dict[str, str]:
        folder = self._repository(name) / "_manifests" / "tags"
        found = {}
        if folder.is_dir():
            for tag in folder.iterdir():
                try:
                    found[tag.name] = (tag / "current" / "link").read_text().strip()
                except FileNotFoundError:
                    continue
        return dict(sorted(found.items()))

    def image(self, name: str, digest: str) -> Image | None:
        link = self._repository(name) / "_manifests" / "revisions" / "sha256" / digest[7:] / "link"
        try:
            return Image(digest, self.blob_path(digest).read_bytes(), link.stat().st_mtime)
        except FileNotFoundError:
            return None

    def images(self, name: str) -> list[Image]:
        folder = self._repository(name) / "_manifests" / "revisions" / "sha256"
        names = sorted(entry.name for entry in folder.iterdir()) if folder.is_dir() else []
        found = [image for image in (self.image(name, f"sha256:{each}") for each in names) if image]
        tags = self.tags(name)
        for image in found:
            image.tags = [tag for tag, digest in tags.items() if digest == image.digest]
        return found

    def resolve(self, name: str, reference: str) -> Image | None:
        """The image of a tag or a digest."""
        digest = reference if DIGEST.match(reference) else self.tags(name).get(reference)
        return self.image(name, digest) if digest else None

    def size(self, name: str, image: Image) -> int:
        """What ECR shows: the layers' sum; of an index, that of its largest image."""
        manifest = image.manifest
        if "manifests" in manifest:
            parts = [self.image(name, each["digest"]) for each in manifest["manifests"]]
            return max((self.size(name, part) for part in parts if part), default=0)
        return sum(int(layer.get("size", 0)) for layer in manifest.get("layers", []))

    def untag(self, name: str, tag: str) -> None:
        shutil.rmtree(self._repository(name) / "_manifests" / "tags" / tag, ignore_errors=True)

    def remove(self, name: str, digest: str) -> None:
        for tag, target in self.tags(name).items():
            if target == digest:
                self.untag(name, tag)
        folder = self._repository(name) / "_manifests" / "revisions" / "sha256" / digest[7:]
        shutil.rmtree(folder, ignore_errors=True)

    def drop_repository(self, name: str) -> None:
        """Not the folders of repositories whose names begin with this one's."""
        for part in ("_manifests", "_layers", "_uploads"):
            shutil.rmtree(self._repository(name) / part, ignore_errors=True)


def digest_of(raw: bytes) -> str:
    return "sha256:" + hashlib.sha256(raw).hexdigest()

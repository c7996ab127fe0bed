"""Makes image layouts out of pseudo-random layers, byte for byte the same for the same seed."""

import hashlib
import json
import random
from pathlib import Path

OCI = "application/vnd.oci.image."
DOCKER = "application/vnd.docker."


CHUNK = 64 << 20


def noise(rng, size):
    """Random bytes; more than randbytes can make at once."""
    return b"".join(rng.randbytes(min(CHUNK, size - at)) for at in range(0, size, CHUNK))


class Layout:
    def __init__(self, folder):
        self.folder = Path(folder)
        self.blobs = self.folder / "blobs" / "sha256"
        self.blobs.mkdir(parents=True, exist_ok=True)
        self.tags = []

    def blob(self, data, media_type):
        name = hashlib.sha256(data).hexdigest()
        (self.blobs / name).write_bytes(data)
        return {"mediaType": media_type, "digest": "sha256:" + name, "size": len(data)}

    def image(self, sizes, seed, arch="amd64", docker=False, **extra):
        rng = random.Random(seed)
        layer = DOCKER + "image.rootfs.diff.tar.gzip" if docker else OCI + "layer.v1.tar+gzip"
        layers = [self.blob(noise(rng, size), layer) for size in sizes]
        config = {"architecture": arch, "os": "linux", "config": {}, "seed": str(seed),
                  "rootfs": {"type": "layers", "diff_ids": ["sha256:" + "0" * 64] * len(sizes)}}
        kind = DOCKER + "container.image.v1+json" if docker else OCI + "config.v1+json"
        manifest = {"schemaVersion": 2,
                    "mediaType": DOCKER + "distribution.manifest.v2+json" if docker else OCI + "manifest.v1+json",
                    "config": self.blob(json.dumps(config).encode(), kind), "layers": layers, **extra}
        # Odd white space: a client that writes the JSON anew changes the digest.
        return self.blob(json.dumps(manifest, indent=1).encode() + b"\n", manifest["mediaType"])

    def index(self, entries, **extra):
        index = {"schemaVersion": 2, "mediaType": OCI + "index.v1+json", "manifests": entries, **extra}
        return self.blob(json.dumps(index, indent=3).encode(), index["mediaType"])

    def platforms(self, seed=1, size=400_000):
        shared = [size]
        rows = []
        for arch, variant in (("amd64", None), ("arm64", "v8")):
            platform = {"os": "linux", "architecture": arch} | ({"variant": variant} if variant else {})
            rows.append({**self.image(shared + [3000], seed, arch), "platform": platform})
        return self.index(rows)

    def tag(self, name, entry):
        self.tags.append({**entry, "annotations": {"org.opencontainers.image.ref.name": name}})
        (self.folder / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": self.tags}))
        (self.folder / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
        return entry["digest"]

"""A small registry in memory for thousands of tags: lists in pages, manifests, one blob."""

import asyncio
import hashlib
import json
import re
import threading
from urllib.parse import parse_qs, urlsplit

PAGE = 1000
TYPE = "application/vnd.oci.image.manifest.v1+json"


CONFIG = "sha256:" + hashlib.sha256(b"{}").hexdigest()


def manifest(seed):
    config = {"mediaType": "application/vnd.oci.image.config.v1+json", "size": 2, "digest": CONFIG}
    return json.dumps({"schemaVersion": 2, "mediaType": TYPE, "config": config, "layers": [], "annotations":
                       {"seed": str(seed)}}).encode()


def digest_of(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


class Many(asyncio.Protocol):
    def __init__(self, registry):
        self.registry, self.data = registry, b""

    def connection_made(self, transport):
        self.transport = transport
        self.registry.open += 1
        self.registry.most = max(self.registry.most, self.registry.open)

    def connection_lost(self, why):
        self.registry.open -= 1

    def data_received(self, data):
        self.data += data
        while True:
            head, found, rest = self.data.partition(b"\r\n\r\n")
            if not found:
                return
            length = re.search(rb"\r\ncontent-length: *(\d+)", head, re.I)
            length = int(length[1]) if length else 0
            if len(rest) < length:
                return
            self.data = rest[length:]
            method, target, _ = head.split(b"\r\n", 1)[0].decode().split(" ")
            code, headers, body = self.registry.answer(method, urlsplit(target), rest[:length])
            lines = [f"HTTP/1.1 {code} X", f"Content-Length: {len(body)}", *(f"{k}: {v}" for k, v in headers.items())]
            self.transport.write("\r\n".join(lines).encode() + b"\r\n\r\n" + (b"" if method == "HEAD" else body))


class ManyTags:
    """`tags` is {tag: digest}, `manifests` {digest: bytes}, of the one repository it has."""

    def __init__(self, tags, manifests, page=PAGE):
        self.tags, self.manifests, self.seen, self.page = dict(tags), dict(manifests), [], page
        self.open = self.most = 0
        self.loop = asyncio.new_event_loop()
        self.server = self.loop.run_until_complete(self.loop.create_server(lambda: Many(self), "127.0.0.1", 0))
        self.host = f"127.0.0.1:{self.server.sockets[0].getsockname()[1]}"
        self.thread = threading.Thread(target=self.loop.run_forever)
        self.thread.start()

    def list(self, url):
        query = parse_qs(url.query)
        names = [name for name in sorted(self.tags) if name > query.get("last", [""])[0]]
        page = names[:min(self.page, int(query.get("n", [PAGE])[0]))]
        link = {"Link": f'<{url.path}?n={PAGE}&last={page[-1]}>; rel="next"'} if len(names) > len(page) else {}
        return 200, link, json.dumps({"name": "x", "tags": page}).encode()

    def manifest(self, method, ref, body):
        if method == "PUT":
            digest = digest_of(body)
            self.manifests[digest] = body
            if ":" not in ref:
                self.tags[ref] = digest
            return 201, {"Docker-Content-Digest": digest}, b""
        digest = ref if ":" in ref else self.tags.get(ref)
        data = self.manifests.get(digest)
        return (200, {"Docker-Content-Digest": digest, "Content-Type": TYPE}, data) if data else (404, {}, b"")

    def answer(self, method, url, body):
        self.seen.append((method, url.path))
        if url.path.endswith("/tags/list"):
            return self.list(url)
        if "/manifests/" in url.path:
            return self.manifest(method, url.path.rpartition("/")[2], body)
        if method == "POST":  # the one configuration: mounted
            return 201, {"Location": "/v2/x/blobs/" + CONFIG}, b""
        return (200, {}, b"{}") if url.path.endswith(CONFIG) else (404, {}, b"")

    def stop(self):
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.server.close()
        self.loop.close()

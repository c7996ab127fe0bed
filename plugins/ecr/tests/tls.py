"""nginx with TLS in front of registries, with a certificate of its own."""

import contextlib
import os
import shutil
import socket
import subprocess
import time
from pathlib import Path

NGINX = """daemon off; pid {dir}/pid; error_log {dir}/error.log; worker_processes 1;
events {{ worker_connections 2048; }}
http {{ access_log off; client_max_body_size 0; client_body_temp_path {dir}/b; proxy_temp_path {dir}/p;
 fastcgi_temp_path {dir}/f; uwsgi_temp_path {dir}/u; scgi_temp_path {dir}/s;
 ssl_protocols TLSv1.2 TLSv1.3; ssl_certificate {dir}/cert.pem; ssl_certificate_key {dir}/key.pem;
{servers} }}
"""
SERVER = """ server {{ listen 127.0.0.1:{port} ssl; location / {{ proxy_pass http://{host}; proxy_http_version 1.1;
  proxy_set_header Host $http_host; proxy_set_header X-Forwarded-Proto https; proxy_set_header Connection "";
  proxy_request_buffering off; proxy_buffering off; proxy_redirect off; }} }}
"""


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_for(port, process):
    deadline = time.monotonic() + 20
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.02)


@contextlib.contextmanager
def tls_front(hosts, work):
    """nginx with a certificate of its own; yields the new hosts and the environment that trusts it."""
    folder = Path(work) / "tls"
    folder.mkdir(exist_ok=True)
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                    "-keyout", folder / "key.pem", "-out", folder / "cert.pem", "-days", "2", "-subj", "/CN=localhost",
                    "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"], check=True, capture_output=True)
    ports = [free_port() for _ in hosts]
    servers = "".join(SERVER.format(port=port, host=host) for port, host in zip(ports, hosts))
    (folder / "nginx.conf").write_text(NGINX.format(dir=folder, servers=servers))
    nginx = shutil.which("nginx", path=os.environ["PATH"] + ":/usr/sbin")
    process = subprocess.Popen([nginx, "-c", str(folder / "nginx.conf")], stderr=subprocess.DEVNULL)
    try:
        for port in ports:
            wait_for(port, process)
        yield [f"localhost:{port}" for port in ports], {"SSL_CERT_FILE": str(folder / "cert.pem"),
                                                        "AWS_CA_BUNDLE": str(folder / "cert.pem")}
    finally:
        process.terminate()
        process.wait()

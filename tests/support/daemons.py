# SPDX-License-Identifier: Apache-2.0
"""Debian's nginx and haproxy, in the foreground, on free ports, with a configuration of their own."""
import os
import shutil
import socket
import subprocess
import textwrap

from support.maitred import folder
from support.ports import free_port
from support.wait import eventually, seconds


class Daemon:
    """A foreground process with a folder; ready when its port accepts."""

    def __init__(self, command, port, path):
        self.port, self.dir = port, path
        self.address = f"127.0.0.1:{port}"
        with open(os.path.join(path, "output"), "wb") as output:
            self.popen = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
        eventually(self._accepts, 10, f"{command[0]} accepts")

    def _accepts(self):
        if self.popen.poll() is not None:
            with open(os.path.join(self.dir, "output")) as file:
                raise AssertionError(file.read())
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def stop(self):
        self.popen.terminate()
        try:
            self.popen.wait(seconds(10))
        except subprocess.TimeoutExpired:
            self.popen.kill()
            self.popen.wait()
        shutil.rmtree(self.dir, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.stop()


def nginx(server, http="", listen=""):
    """nginx with one server block; @dir@ in it is a folder, its www/ the document root."""
    port, path = free_port(), folder()
    os.mkdir(os.path.join(path, "www"))
    for name in ("body", "proxy", "fastcgi", "uwsgi", "scgi"):
        os.mkdir(os.path.join(path, name))
    user = "user root;" if os.getuid() == 0 else ""
    text = f"""
        {user}
        daemon off; worker_processes 1; pid @dir@/pid; error_log @dir@/error.log;
        events {{ worker_connections 2048; }}
        http {{
            access_log off; default_type application/octet-stream; keepalive_requests 1000000;
            client_body_temp_path @dir@/body; proxy_temp_path @dir@/proxy; fastcgi_temp_path @dir@/fastcgi;
            uwsgi_temp_path @dir@/uwsgi; scgi_temp_path @dir@/scgi;
            {http}
            server {{ listen 127.0.0.1:{port} {listen}; root @dir@/www; {server} }}
        }}""".replace("@dir@", path)
    config = os.path.join(path, "nginx.conf")
    with open(config, "w") as file:
        file.write(text)
    return Daemon(["nginx", "-p", path, "-e", os.path.join(path, "error.log"), "-c", config], port, path)


def haproxy(text):
    """haproxy in front of something: @port@ in the configuration is the port it listens on."""
    port, path = free_port(), folder()
    config = os.path.join(path, "haproxy.cfg")
    with open(config, "w") as file:
        file.write(textwrap.dedent(text).replace("@port@", str(port)) + "\n")
    return Daemon(["haproxy", "-db", "-f", config], port, path)

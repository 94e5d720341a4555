# SPDX-License-Identifier: Apache-2.0
"""gRPC servers as processes of their own, and calls to them, by Debian's python3-grpcio.

    server = stage.use(GrpcServer("a"))
    call(proxy.address, "Unary", b"hello").response

Messages are plain bytes, and lists of what a server has seen are JSON: nothing has to be compiled.
Run as a program it is the server; its methods are at the end of this file.
"""
import json
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent import futures

os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")  # tests start programs while channels are open

import grpc  # noqa: E402

SERVICE = "/test.Service/"
CHECK = "/grpc.health.v1.Health/Check"
OPTIONS = [("grpc.enable_http_proxy", 0), ("grpc.enable_retries", 0), ("grpc.use_local_subchannel_pool", 1),
           ("grpc.max_metadata_size", 1 << 20)]
HOLD = 0.05  # seconds between two messages of Forever

if __name__ != "__main__":
    from support.ports import free_port
    from support.wait import readable, seconds


# ---------------------------------------------------------------- the server, from outside

class GrpcServer:
    """tls: a certificate as support.certs makes them."""

    def __init__(self, name="a", tls=None, port=None):
        self.name, self.tls, self.port = name, tls, port or free_port()
        self.address = f"127.0.0.1:{self.port}"
        self.popen = None
        self.start()

    def start(self):
        files = [self.tls.key, self.tls.chain] if self.tls else []
        env = {k: v for k, v in os.environ.items() if not k.lower().endswith("_proxy")}
        self.popen = subprocess.Popen([sys.executable, "-P", os.path.abspath(__file__), self.address, self.name, *files],
                                      stdout=subprocess.PIPE, stdin=subprocess.PIPE, env=env)
        ready = readable(self.popen.stdout, seconds(20))
        assert ready and self.popen.stdout.readline() == b"ready\n", f"gRPC server {self.name} does not start"

    def say(self, **wish):
        """What it has seen, after a wish was carried out: health="NOT_SERVING"."""
        self.popen.stdin.write(json.dumps(wish).encode() + b"\n")
        self.popen.stdin.flush()
        ready = readable(self.popen.stdout, seconds(10))
        assert ready, f"gRPC server {self.name} says nothing"
        return json.loads(self.popen.stdout.readline())

    def calls(self, method):
        return self.say()["calls"].get(method, 0)

    def cancelled(self, method):
        return self.say()["cancelled"].get(method, 0)

    def kill(self):
        self.popen.kill()
        self._forget()

    def _forget(self):
        self.popen.wait(seconds(10))
        self.popen.stdin.close()
        self.popen.stdout.close()

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        if self.popen.poll() is None:
            self.popen.send_signal(signal.SIGKILL)
        self._forget()


# ---------------------------------------------------------------- calls

def channel(address, ca=None, name=None):
    if ca is None:
        return grpc.insecure_channel(address, OPTIONS)
    with open(ca, "rb") as file:
        trusted = grpc.ssl_channel_credentials(file.read())
    return grpc.secure_channel(address, trusted, OPTIONS + [("grpc.ssl_target_name_override", name)])


class Outcome:
    """How a call without streams ended."""

    def __init__(self, call, response):
        self.call, self.response = call, response
        self.code, self.details = call.code(), call.details()
        self.head, self.trailers = call.initial_metadata() or (), call.trailing_metadata() or ()

    def get(self, name, which="trailers"):
        return next((value for key, value in getattr(self, which) if key == name), None)

    @property
    def told(self):
        return json.loads(self.response)


def unary(on, method, data=b"", timeout=10, metadata=None, service=SERVICE):
    """A call over an open channel; never raises for a status."""
    stub = on.unary_unary(service + method)
    try:
        response, done = stub.with_call(data, timeout=seconds(timeout), metadata=metadata)
        return Outcome(done, response)
    except grpc.RpcError as error:
        return Outcome(error, None)


def call(address, method, data=b"", **more):
    """A call over a channel of its own."""
    with channel(address) as on:
        return unary(on, method, data, **more)


# ---------------------------------------------------------------- the server, from inside

class Service(grpc.GenericRpcHandler):
    def __init__(self, name):
        self.name, self.lock = name, threading.Lock()
        self.seen = {"calls": {}, "cancelled": {}, "health": {"": "SERVING"}, "left": None}

    def note(self, what, method):
        with self.lock:
            self.seen[what][method] = self.seen[what].get(method, 0) + 1

    def service(self, details):
        if details.method == CHECK:
            return grpc.unary_unary_rpc_method_handler(self.check)
        kinds = {"Unary": grpc.unary_unary_rpc_method_handler, "Fail": grpc.unary_unary_rpc_method_handler,
                 "Metadata": grpc.unary_unary_rpc_method_handler, "Large": grpc.unary_unary_rpc_method_handler,
                 "Sleep": grpc.unary_unary_rpc_method_handler, "Collect": grpc.stream_unary_rpc_method_handler,
                 "Count": grpc.unary_stream_rpc_method_handler, "FailLate": grpc.unary_stream_rpc_method_handler,
                 "Reject": grpc.stream_unary_rpc_method_handler, "First": grpc.stream_stream_rpc_method_handler,
                 "Forever": grpc.unary_stream_rpc_method_handler, "Chat": grpc.stream_stream_rpc_method_handler}
        name = details.method.rpartition("/")[2]
        if not details.method.startswith(SERVICE) or name not in kinds:
            return None
        return kinds[name](self.watched(name))

    def watched(self, name):
        method = getattr(self, name)

        def run(request, context):
            self.note("calls", name)
            done = [False]
            context.add_callback(lambda: done[0] or self.note("cancelled", name))
            try:
                answer = method(request, context)
            except Exception:  # abort()
                done[0] = True
                raise
            if hasattr(answer, "__next__"):
                return self.stream(answer, done)
            done[0] = True
            return answer

        return run

    @staticmethod
    def stream(answer, done):
        try:
            yield from answer
            done[0] = True
        except Exception:  # abort(), not the client's end
            done[0] = True
            raise

    # grpc.health.v1: HealthCheckRequest{string service = 1}, HealthCheckResponse{enum status = 1}
    def check(self, request, context):
        self.note("calls", "Check")
        name = request[2:].decode() if request else ""
        status = self.seen["health"].get(name)
        if status is None:
            context.abort(grpc.StatusCode.NOT_FOUND, "unknown service")
        number = ["UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN"].index(status)
        return bytes([8, number]) if number else b""

    def Unary(self, request, context):
        """The same bytes, with a name in front of the answer and behind it."""
        context.send_initial_metadata([("by", self.name)])
        context.set_trailing_metadata([("behind", self.name), ("bytes-bin", b"\x00\xff\x01")])
        return request

    def Fail(self, request, context):
        """NUMBER DETAILS."""
        number, _, details = request.decode().partition(" ")
        context.set_trailing_metadata([("behind", self.name)])
        context.abort(next(c for c in grpc.StatusCode if c.value[0] == int(number)), details)

    def Metadata(self, request, context):
        return json.dumps([[k, v.hex() if isinstance(v, bytes) else v]
                           for k, v in context.invocation_metadata()]).encode()

    def Large(self, request, context):
        """N: so many bytes of metadata in front and behind."""
        n = int(request)
        context.send_initial_metadata([("front", "f" * n)])
        context.set_trailing_metadata([("behind", "b" * n)])
        return b"large"

    def Sleep(self, request, context):
        """Seconds; says how long the client would have waited."""
        self.seen["left"] = context.time_remaining()
        end = time.monotonic() + float(request)
        while time.monotonic() < end and context.is_active():
            time.sleep(0.01)
        return b"slept"

    def Collect(self, requests, context):
        sizes = [len(message) for message in requests]
        return json.dumps({"messages": len(sizes), "bytes": sum(sizes)}).encode()

    def Count(self, request, context):
        """N [BYTES]: so many messages."""
        n, _, size = request.decode().partition(" ")
        for i in range(int(n)):
            yield (b"%d " % i).ljust(int(size or 0), b".")

    def FailLate(self, request, context):
        yield b"one"
        context.set_trailing_metadata([("behind", self.name)])
        context.abort(grpc.StatusCode.DATA_LOSS, "half of it")

    def Forever(self, request, context):
        while context.is_active():
            yield self.name.encode()
            time.sleep(HOLD)
        yield b"never read"  # so that `done` is not reached by the client's end

    def Reject(self, requests, context):
        """At once, whatever may come."""
        context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "enough")

    def First(self, requests, context):
        """Answers the first message, and ends the call before its client does."""
        yield next(requests).upper()

    def Chat(self, requests, context):
        """Each message at once, in capitals."""
        for message in requests:
            yield message.upper()


def main(address, name, key=None, chain=None):
    service = Service(name)
    server = grpc.server(futures.ThreadPoolExecutor(64), [service], options=OPTIONS + [("grpc.so_reuseport", 0)])
    if key:
        with open(key, "rb") as k, open(chain, "rb") as c:
            server.add_secure_port(address, grpc.ssl_server_credentials([(k.read(), c.read())]))
    else:
        server.add_insecure_port(address)
    server.start()
    print("ready", flush=True)
    for line in sys.stdin:
        wish = json.loads(line)
        if "health" in wish:
            service.seen["health"][wish.get("service", "")] = wish["health"]
        with service.lock:
            print(json.dumps(service.seen), flush=True)
    os._exit(0)


if __name__ == "__main__":
    main(*sys.argv[1:])

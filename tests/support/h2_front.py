# SPDX-License-Identifier: Apache-2.0
"""A proxy in front of servers of HTTP/2 (support.h2_server), and crowds of clients."""
import concurrent.futures

from support.client import get
from support.h2_server import H2Server

HTTP2 = {"http": "http2"}


def front(stage, *servers, upstream=None, workers=1, **more):
    return stage.proxy(*servers, upstream={**HTTP2, **(upstream or {})}, workers=workers, **more)


def serve(stage, part=None, **more):
    return stage.use(H2Server(part, **more))


def many(proxy, n, target="/", **more):
    """n requests at once, each from a client of its own."""
    with concurrent.futures.ThreadPoolExecutor(n) as pool:
        return list(pool.map(lambda i: get(proxy.address, target, **more), range(n)))


def statuses(responses):
    return sorted(r.status for r in responses)


def reason(proxy, n=1):
    """Of the n-th record in the log."""
    return proxy.wait_log(n).get("reason")

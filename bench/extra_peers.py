# SPDX-License-Identifier: Apache-2.0
"""maitred as a peer of the harness: one entry."""


def maitred(c):
    log = c.opts.get("log")
    routes = "routes: [{to: origin}]\n"
    upstreams = "upstreams:\n  origin: {servers: ['127.0.0.1:%d'], max_idle: 4096}\n" % c.origin
    if c.kind == "vhosts":
        rows = []
        if c.opts.get("own"):
            upstreams = "upstreams:\n"
        for i, h in enumerate(c.hosts()):
            to = "origin"
            if c.opts.get("own"):
                to = "o%d" % i
                upstreams += "  o%d: {servers: ['127.0.0.1:%d']}\n" % (i, c.origin)
            rows.append("  - {host: %s, use: [{headers: {request: {set: {X-Vhost: %s}}}}], to: %s}\n" % (h, h, to))
        routes = "routes:\n" + "".join(rows)
    conf = ("process: {workers: 1, user: root}\n"
            "listeners: [{address: '127.0.0.1:%d', idle_timeout: 300s}]\n" % c.port) + upstreams + routes
    if log:
        conf += "access_log: {to: %s, format: %s}\n" % (c.path("access.log"), log)
    return Launch([c.bin, "run", "-c", c.path("maitred.yaml")], files={"maitred.yaml": conf},
                  reload=["signal", 1])


PEERS.append(Peer("maitred", "MAITRED", "maitred", F("plain vhosts vhosts-own reload"), maitred, ("version",)))

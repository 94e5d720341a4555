# SPDX-License-Identifier: Apache-2.0
"""
An admin API that answers out of a dictionary, for the dashboard's tests: states that a real proxy gets into
rarely, always the same.  What the page sends is noted in `calls`.

    with AdminMock(folder) as api:       # folder: a bundle of tools/web
        browse(api.url)

Tokens: "admin-token", "operate-token", "read-token".
"""
import copy
import http.server
import json
import math
import os
import re
import sys
import threading
import time
import urllib.parse

import yaml

from support.ports import free_port

RIGHTS = {"read-token": "read", "operate-token": "operate", "admin-token": "admin"}
RANKS = ["read", "operate", "admin"]
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
DAY = 86400

CONFIG = {
    "listeners": [{"name": "public", "address": ":443", "tls": {"acme": {"email": "ops@example.com"}}},
                  {"name": "plain", "address": ":80", "redirect": "https"}],
    "upstreams": {
        "app": {"balance": "least_connections", "servers": ["10.0.0.1:8080", {"address": "10.0.0.2:8080", "weight": 2}],
                "health": {"path": "/healthz", "every": "2s"}},
        "images": {"servers": ["10.0.1.1:80"]},
    },
    "routes": [
        {"name": "shop", "host": "example.com", "path": "/shop/", "use": [{"cache": {"ttl": {"200": "60s"}}}, "compress"], "to": "app"},
        {"name": "images", "host": "img.example.com", "use": ["cache"], "to": "images"},
        {"name": "hello", "path": "/hello", "use": [{"respond": {"text": "hello"}}]},
    ],
    "admin": {"listen": "127.0.0.1:9900", "tokens": [{"name": "ops", "token": "***", "right": "admin"}]},
}


def server(address, state="up", **more):
    return {"address": address, "state": state, "usable": state == "up", "stale": False, "weight": 1, "tier": 0, "share": 1.0,
            "inflight": 3, "waiting": 0, "connections": 5, "idle": 2, "connections_made": 41, "exchanges": 12843, "failures": 0,
            "latency_us": 8420, "max_connections": 0, "learned_idle_ms": 0, "why": "", **more}


def upstream(name, *servers):
    return {"name": name, "exchanges": sum(s["exchanges"] for s in servers), "clients": 731, "connections_made": 96, "reused": 25120,
            "retries": 17, "hedges": 0, "waited": 4, "requests_per_connection": 267.3, "clients_per_connection": 7.6,
            "guard": {"breaker": "closed", "inflight": 6, "pending": 0, "connections": 10, "retries": 0, "refused": 0, "limit": 0},
            "unresolved": False, "servers": list(servers)}


def upstreams():
    return [
        upstream("app", server("10.0.0.1:8080"), server("10.0.0.2:8080", weight=2, exchanges=25630),
                 server("10.0.0.3:8080", "down", why="GET /healthz: 503, three times running, since 14 s", failures=212, latency_us=0)),
        upstream("images", server("10.0.1.1:80", "draining", inflight=1), server("10.0.1.2:80")),
    ]


def routes():
    out = []
    for i, (name, host, path, to, use) in enumerate([
            ("shop", ["example.com"], ["/shop/"], ["app"], ["cache", "compress"]),
            ("images", ["img.example.com"], [], ["images"], ["cache"]),
            ("hello", [], ["/hello"], [], ["respond"])]):
        out.append({"name": name, "host": host, "path": path, "to": to, "use": use, "where": f"site.yaml:{20 + 4 * i}:5",
                    "requests": 48213 // (i + 1), "errors": 31 * (2 - i), "p50_us": 3100 * (i + 1), "p99_us": 48000 * (i + 1),
                    "bytes_in": 9100000, "bytes_out": 733000000 // (i + 1), "hits": 0})
    return out


def certificates(now):
    common = {"key": "ecdsa", "not_before": now - 30 * DAY, "listener": "public", "stapled": True, "error": ""}
    return [
        {**common, "names": ["example.com", "www.example.com", "img.example.com"], "issuer": "R11, Let's Encrypt",
         "not_after": now + 60 * DAY, "source": "acme", "file": ""},
        {**common, "names": ["intranet.example.com"], "issuer": "Example CA", "key": "rsa", "not_after": now + 9 * DAY,
         "source": "file", "file": "/etc/maitred/intranet.pem", "stapled": False},
        {**common, "names": ["old.example.com"], "issuer": "R10, Let's Encrypt", "not_after": now + DAY, "source": "acme", "file": "",
         "error": "the challenge for old.example.com failed: DNS says NXDOMAIN"},
    ]


def caches():
    return {"stores": [{"name": "memory", "objects": 5210, "memory_bytes": 201326592, "memory_max": 268435456, "disk_objects": 91100,
                        "disk_bytes": 6442450944, "disk_max": 21474836480, "hits": 90211, "misses": 11010, "shared": 312, "evicted": 2204,
                        "purged": 12, "declined": 0, "broken": 0, "refused": 0}],
            "caches": [{"name": name, "store": "memory", "hits": hits, "stale": 41, "shared": 17, "misses": misses, "passed": 120,
                        "confirmed": 61, "excused": 0, "stored": misses, "refreshed": 12, "purged": 3, "hit_bytes": hits * 8000,
                        "saved_seconds": hits * 0.021} for name, hits, misses in (("shop", 31200, 9800), ("images", 59011, 1210))]}


def exchanges():
    return [{"id": 7000 + i, "request_id": f"9f3a{i:04x}", "trace_id": "", "method": method, "host": "example.com", "target": target,
             "client": f"198.51.100.{i}", "route": "shop", "server": "10.0.0.1:8080", "state": state, "status": status, "version": 20,
             "age_us": 1900000 // (i + 1), "request_bytes": 120 * i, "response_bytes": 90000 * i}
            for i, (method, target, state, status) in enumerate([
                ("GET", "/shop/export.csv?everything=yes", "sending", 200), ("POST", "/shop/cart", "waiting for the response", 0),
                ("GET", "/shop/item/42", "middleware cache", 0)])]


def traces(now):
    events = [
        (0, 0, "route", "shop: host example.com, path /shop/ holds", "site.yaml:20:5"),
        (40, 0, "cache", "miss: nothing is stored for this URL", "site.yaml:22:12"),
        (60, 900, "server", "10.0.0.3:8080 is down, 10.0.0.1:8080 has 3 in flight, 10.0.0.2:8080 has 5: 10.0.0.1:8080", "site.yaml:9:5"),
        (980, 42000, "wait", "for the head of the response", ""),
        (43100, 0, "middleware", "compress: gzip, text/html", "site.yaml:22:30"),
    ]
    return [{"trace_id": f"{i:032x}", "request_id": f"9f3a{i:04x}", "method": "GET", "host": "example.com", "target": f"/shop/item/{i}",
             "client": "198.51.100.7", "route": "shop", "upstream": "app", "server": "10.0.0.1:8080", "status": [200, 200, 503][i % 3],
             "reason": ["none", "none", "no_server"][i % 3], "began": now - i * 3, "took_us": 44100 + i, "in_flight": False, "lost": 0,
             "events": [dict(zip(("at_us", "took_us", "what", "detail", "where"), e)) for e in events]} for i in range(1, 13)]


def listing(*items):
    return {"unseen": 0, "items": [{"name": name, "requests": n, "within": 0, "errors": n // 90, "bytes": n * 9000, "mean_us": 4000 + n % 977}
                                   for name, n in items]}


def analytics(query):
    spread = {"took": {"mean_us": 9100, "p50_us": 3200, "p90_us": 14000, "p99_us": 61000, "p999_us": 210000}}
    return {"from": int(query.get("from", 0)), "to": int(query.get("to", 0)),
            "totals": {"multiplexing": 41.2, "visitors": 18211, "requests": 902113, "errors": 1204, "client_errors": 8811, "threats": 93,
                       "secure": 899000, "bytes_in": 91000000, "bytes_out": 10200000000, "hits": 611000, "saved_us": 8100000000,
                       "client_connections": 88000, "server_requests": 281000, "server_connections": 6800, "missed": 0,
                       **spread, "origin": spread["took"]},
            "paths": listing(("/shop/", 210113), ("/", 120412), ("/shop/cart", 64010), ("/img/logo.svg", 51200), ("/hello", 8121)),
            "hosts": listing(("example.com", 700113), ("img.example.com", 202000)),
            "clients": listing(("198.51.100.7", 8112), ("2001:db8::17", 5210)),
            "agents": listing(("Mozilla/5.0 (X11; Linux x86_64)", 512113), ("curl/8.5", 9120)),
            "referrers": listing(("https://news.example.net/", 4120)), "routes": listing(("shop", 601113), ("images", 301000)),
            "upstreams": listing(("app", 181113)), "statuses": listing(("200", 880113), ("404", 8811), ("503", 1204)),
            "countries": listing(("DE", 310113), ("US", 210412), ("FR", 88010), ("IN", 61200), ("BR", 31200), ("JP", 28121), ("GB", 22110),
                                 ("ZA", 4100), ("NZ", 900), ("CA", 12000), ("NO", 3000), ("PL", 8000), ("AU", 5100)),
            "threats": listing(("rate_limit", 61), ("waf", 32)), "methods": listing(("GET", 850113), ("POST", 52000)),
            "versions": listing(("2", 700000), ("1.1", 202113))}


def analytics_series(query):
    begin, end = int(query["from"]), int(query["to"])
    step = max(60, (end - begin) // 120)
    points = [{"at": at, "requests": int(step * (240 + 60 * math.sin(at / 700))), "errors": step // 30, "visitors": 900, "bytes_out": 9000000,
               "mean_us": 6000, "p50_us": 3200 + at % 400, "p90_us": 12000, "p99_us": 48000 + at % 9000} for at in range(begin, end, step)]
    return {"from": begin, "to": end, "step": step, "points": points}


def tick(at, total):
    wave = math.sin(at / 23) + 0.4 * math.sin(at / 5.3)
    rate = 840 + 160 * wave
    return {"at": at, "requests": total, "rate": round(rate, 1), "errors": max(0, int(4 * wave)), "p50_us": int(3200 + 300 * wave),
            "p90_us": int(14000 + 2500 * wave), "p99_us": int(52000 + 16000 * math.sin(at / 11)), "bytes_in": 410000 + 30000 * wave,
            "bytes_out": 9.1e6 + 1.4e6 * wave, "connections": int(2210 + 30 * wave), "tunnels": 211, "hits": int(500 + 90 * wave),
            "misses": int(90 + 20 * math.cos(at / 9)), "statuses": {"1xx": 0, "2xx": int(rate * .93), "3xx": int(rate * .04),
                                                                      "4xx": int(rate * .025), "5xx": max(0, int(4 * wave))},
            "reasons": {"none": int(rate), "no_server": 2, "response_timeout": max(0, int(2 * wave)), "client_gone": 1},
            "upstreams": {"app": {"usable": 2, "of": 3, "exchanges": total, "inflight": 11},
                          "images": {"usable": 1, "of": 2, "exchanges": total // 3, "inflight": 2}}}


class Problem(Exception):
    def __init__(self, status, detail, errors=()):
        super().__init__(detail)
        self.status, self.detail, self.errors = status, detail, list(errors)


def patched(config, steps):
    """RFC 6902, as far as the page uses it."""
    config = copy.deepcopy(config)
    for step in steps:
        parts = [p.replace("~1", "/").replace("~0", "~") for p in step["path"].split("/")[1:]]
        at = config
        for part in parts[:-1]:
            at = at[int(part)] if isinstance(at, list) else at[part]
        key = int(parts[-1]) if isinstance(at, list) else parts[-1]
        if step["op"] == "remove":
            del at[key]
        elif step["op"] == "add" and isinstance(at, list):
            at.insert(key, step["value"])
        else:
            at[key] = step["value"]
    return config


class AdminMock:
    """state is what it answers from: tests may change it while it runs."""

    def __init__(self, folder):
        with open(os.path.join(folder, "manifest.json"), encoding="utf-8") as file:
            self.manifest = json.load(file)
        self.folder = folder
        self.lock = threading.RLock()
        self.calls = []
        self.streams = set()
        self.past_s = 300       # ticks that a new stream begins with
        self.flood = 0          # ... and so many more, of the future
        self.down = False
        self.reset()

    def reset(self):
        now = int(time.time())
        self.config, self.version = copy.deepcopy(CONFIG), 3
        self.upstreams, self.caches, self.exchanges = upstreams(), caches(), exchanges()
        self.level, self.trial, self.faults = "info", None, []
        self.revisions = [{"number": n, "at": now - 4000 * (4 - n), "cause": cause, "who": who, "comment": comment,
                           "hash": f"{n:016x}", "current": n == 3,
                           "text": yaml.safe_dump({**CONFIG, "process": {"drain": f"{n}0s"}}, sort_keys=False)}
                          for n, cause, who, comment in ((1, "start", "", ""), (2, "reload", "signal", ""),
                                                         (3, "change", "ops", "More time to drain"))]
        self.calls.clear()

    # ---------------------------------------------------------------- serving

    def __enter__(self):
        mock = self

        class Handler(_Handler):
            api = mock

        self.server = _Server(("127.0.0.1", free_port()), Handler)
        self.url = "http://127.0.0.1:%d" % self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_):
        self.drop_streams()
        self.server.shutdown()
        self.server.server_close()

    def drop_streams(self):
        with self.lock:
            for stop in self.streams:
                stop.set()
            self.streams.clear()

    def called(self, method, path):
        """Bodies of such calls."""
        return [body for m, p, body in self.calls if m == method and p == path]

    # ---------------------------------------------------------------- answers

    def answer(self, method, path, query, body, kind):
        now = int(time.time())
        plain = {
            "/v1": lambda: {"version": "0.1.0", "pid": 4711, "started": now - 93211, "uptime_s": 93211, "workers": 4, "faults": self.faults,
                            "config": {"path": "/etc/maitred/site.yaml", "revision": 3, "hash": "ab", "loaded_at": now - 4000}, "links": {}},
            "/v1/upstreams": lambda: {"upstreams": self.upstreams}, "/v1/routes": lambda: {"routes": routes()},
            "/v1/certificates": lambda: {"certificates": certificates(now)}, "/v1/caches": lambda: self.caches,
            "/v1/exchanges": lambda: {"exchanges": self.exchanges}, "/v1/traces": lambda: {"traces": traces(now)},
            "/v1/log": lambda: {"level": self.level}, "/v1/analytics": lambda: analytics(query),
            "/v1/analytics/series": lambda: analytics_series(query), "/v1/config": lambda: self.config,
            "/v1/config-sources": lambda: {"files": ["/etc/maitred/site.yaml"], "patch": [{"op": "replace", "path": "/process/drain"}]},
            "/v1/revisions": lambda: {"revisions": sorted(self.revisions, key=lambda r: -r["number"])},
            "/v1/audit": lambda: {"entries": [{"number": 9, "at": now - 99, "who": "ops", "from": "192.0.2.4", "action": "PATCH",
                                               "target": "/v1/config", "outcome": "200"},
                                              {"number": 8, "at": now - 300, "who": "ci", "from": "192.0.2.9", "action": "DELETE",
                                               "target": "/v1/config/routes/shop", "outcome": "403"}]},
            "/v1/listeners": lambda: {"listeners": [
                {"name": "public", "address": "0.0.0.0:443", "tls": True, "open": 2104, "connections": 88123, "requests": 901233},
                {"name": "plain", "address": "0.0.0.0:80", "tls": False, "open": 12, "connections": 9123, "requests": 9200}]},
            "/v1/connections": lambda: {"connections": [{"id": 3, "client": "198.51.100.7:5123", "listener": "public", "protocol": "h2",
                                                         "state": "idle", "tls": True, "requests": 12}]},
        }
        if method == "GET" and path in plain:
            return 200, plain[path]()
        for pattern, handle in self.patterns():
            found = re.fullmatch(pattern, f"{method} {path}")
            if found:
                return handle(*[urllib.parse.unquote(g) for g in found.groups()], body, query, kind)
        raise Problem(404, f"there is nothing at {path}")

    def patterns(self):
        return [
            (r"GET /v1/schema\.json", self.schema), (r"GET /v1/trial", self.trial_get), (r"POST /v1/trial/(confirm|abort)", self.trial_post),
            (r"PATCH /v1/upstreams/([^/]+)/servers/([^/]+)", self.server_patch), (r"POST /v1/upstreams/([^/]+)/servers", self.server_post),
            (r"DELETE /v1/upstreams/([^/]+)/servers/([^/]+)", self.server_delete), (r"POST /v1/caches/([^/]+)/purge", self.purge),
            (r"DELETE /v1/exchanges/([^/]+)", self.cancel), (r"PUT /v1/log", self.log_put), (r"POST /v1/plan", self.plan),
            (r"PATCH /v1/config", self.config_patch), (r"POST /v1/apply", self.apply), (r"GET /v1/traces/([^/]+)", self.trace),
            (r"GET /v1/revisions/(\d+)", self.revision), (r"GET /v1/revisions/(\d+)/diff", self.revision_diff),
            (r"POST /v1/revisions/(\d+)/restore", self.restore), (r"POST /v1/(?:rollback|reload|reset|upgrade)", lambda *_: (200, self.written())),
        ]

    def schema(self, *_):
        with open(os.path.join(ROOT, "docs", "reference", "maitred.schema.json"), encoding="utf-8") as file:
            return 200, json.load(file)

    def trial_get(self, *_):
        if not self.trial:
            raise Problem(404, "nothing has been on trial since the process began")
        return 200, self.trial

    def trial_post(self, what, *_):
        self.trial = {**self.trial, "state": "kept" if what == "confirm" else "reverted"}
        return 200, self.trial

    def find(self, name, address):
        servers = next(u for u in self.upstreams if u["name"] == name)["servers"]
        for s in servers:
            if s["address"] == address:
                return servers, s
        raise Problem(404, f"the upstream `{name}` has no server `{address}`")

    def server_patch(self, name, address, body, *_):
        _, s = self.find(name, address)
        s["weight"] = body.get("weight", s["weight"])
        if "state" in body:
            s["state"] = {"ready": "up"}.get(body["state"], body["state"])
            s["usable"], s["why"] = s["state"] == "up", ""
        return 200, s

    def server_post(self, name, body, *_):
        if any(s["address"] == body["address"] for u in self.upstreams if u["name"] == name for s in u["servers"]):
            raise Problem(409, f"the server `{body['address']}` is there already")
        next(u for u in self.upstreams if u["name"] == name)["servers"].append(server(body["address"], weight=body["weight"], exchanges=0))
        return 201, body

    def server_delete(self, name, address, *_):
        servers, s = self.find(name, address)
        servers.remove(s)
        return 204, None

    def purge(self, *_):
        return 200, {"rules": 1}

    def cancel(self, number, *_):
        self.exchanges = [x for x in self.exchanges if str(x["id"]) != number]
        return 204, None

    def log_put(self, body, *_):
        self.level = body["level"]
        return 200, {"level": self.level}

    def checked(self, body, kind):
        config = patched(self.config, body) if "json-patch" in kind else yaml.safe_load(body) if "yaml" in kind else body
        drain = (config.get("process") or {}).get("drain", "30s")
        if not re.fullmatch(r"\d+(ms|s|m|h)", str(drain)):
            raise Problem(422, "the configuration is wrong", [{"file": "request body", "line": 1, "column": json.dumps(body).replace(": ", ":").replace(", ", ",").find(drain) + 1,
                                                               "detail": f"`{drain}` is not a duration", "hint": "write 30s, or 5m"}])
        return config

    def plan(self, body, _, kind):
        self.checked(body, kind)
        return 200, {"changes": [{"kind": "changed", "what": "process", "name": "drain", "before": "30s", "after": "45s", "where": "change:1:1"},
                                 {"kind": "unreachable", "what": "route", "name": "hello", "where": "site.yaml:28:5"}],
                     "replayed": 212, "different": [{"method": "GET", "url": "https://example.com/hello", "count": 7,
                                                     "before": {"route": "hello"}, "after": {"route": "shop", "upstream": "app"}}],
                     "warnings": ["the route hello can never be reached"]}

    def written(self, query=None):
        self.version += 1
        if query and "confirm" in query:
            self.trial = {"state": "running", "until": int(time.time()) + 60, "guard": query.get("guard", ""), "verdict": "too_early",
                          "why": "41 of 100 requests were seen", "who": "ops", "revision": None}
        return {"revision": None if query and "confirm" in query else self.version, "hash": f"{self.version:016x}", "warnings": [], "trial": self.trial}

    def config_patch(self, body, query, kind):
        self.config = self.checked(body, kind)
        return 200, self.written(query)

    def apply(self, body, query, kind):
        self.config = self.checked(body, kind)
        return 200, self.written(query)

    def trace(self, number, *_):
        for t in traces(int(time.time())):
            if number in (t["request_id"], t["trace_id"]):
                return 200, t
        raise Problem(404, f"no trace of `{number}` is kept: set tracing.sample or tracing.when")

    def revision(self, number, *_):
        return 200, next(r for r in self.revisions if r["number"] == int(number))

    def revision_diff(self, number, body, query, kind):
        return 200, {"patch": [{"op": "replace", "path": "/process/drain", "value": f"{query.get('to')}0s"}]}

    def restore(self, number, body, query, kind):
        return 200, self.written(query)


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request, client_address):
        # A page that is left does not wait for what it asked.
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    api = None

    def log_message(self, *_):
        pass

    def send(self, status, data, fields):
        self.send_response(status)
        for name, value in fields.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def send_json(self, status, value, kind="application/json", **fields):
        data = b"" if value is None else json.dumps(value).encode()
        self.send(status, data, {"Content-Type": kind, "Cache-Control": "no-store", **fields})

    def asset(self, path):
        for entry in self.api.manifest["files"]:
            if entry["path"] == path:
                with open(os.path.join(self.api.folder, entry["file"]), "rb") as file:
                    self.send(200, file.read(), {"Content-Type": entry["type"], "Content-Security-Policy": self.api.manifest["policy"]})
                return True
        return False

    def body(self):
        text = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
        kind = self.headers.get("Content-Type", "")
        return (json.loads(text) if text and "json" in kind else text), kind

    def serve(self):
        url = urllib.parse.urlsplit(self.path)
        query = dict(urllib.parse.parse_qsl(url.query))
        body, kind = self.body()
        if self.asset(url.path):
            return
        if url.path.startswith("/mock/"):
            self.order(url.path[6:], body)
            return
        if self.api.down:
            self.send_json(503, {"title": "Unavailable", "detail": "the state store is locked"}, "application/problem+json")
            return
        right = RIGHTS.get(self.headers.get("Authorization", "").removeprefix("Bearer "))
        if right is None:
            self.send_json(401, {"title": "Unauthorized", "detail": "say who you are"}, "application/problem+json")
            return
        if url.path == "/v1/whoami":
            self.send_json(200, {"name": "ops", "right": right})
        elif url.path == "/v1/events":
            self.stream()
        else:
            self.operate(url.path, query, body, kind, right)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = serve

    def operate(self, path, query, body, kind, right):
        needed = "read" if self.command == "GET" or path == "/v1/plan" else "operate" if re.match(r"/v1/(upstreams|caches|exchanges|log)", path) else "admin"
        with self.api.lock:
            if self.command != "GET":
                self.api.calls.append((self.command, self.path, body))
            tag = f'"{self.api.version:016x}"'
            try:
                if RANKS.index(right) < RANKS.index(needed):
                    raise Problem(403, f"`ops` has the right `{right}`; this needs `{needed}`")
                if self.headers.get("If-Match") not in (None, tag):
                    raise Problem(412, "somebody has changed it since you read it")
                status, value = self.api.answer(self.command, path, query, body, kind)
            except Problem as p:
                self.send_json(p.status, {"title": str(p.status), "status": p.status, "detail": p.detail, "errors": p.errors},
                               "application/problem+json")
                return
        if "yaml" in self.headers.get("Accept", "") and path == "/v1/config":
            self.send(200, yaml.safe_dump(value, sort_keys=False).encode(), {"Content-Type": "application/yaml", "ETag": tag})
        else:
            self.send_json(status, value, ETag=tag)

    # ---------------------------------------------------------------- what tests want to happen

    def order(self, what, body):
        api = self.api
        with api.lock:
            if what == "drop":
                api.drop_streams()
            elif what == "set":
                for name, value in body.items():
                    setattr(api, name, value)
            elif what == "reset":
                api.reset()
            elif what == "calls":
                self.send_json(200, api.calls)
                return
        self.send_json(200, {})

    def stream(self):
        stop, api = threading.Event(), self.api
        with api.lock:
            api.streams.add(stop)
            past, flood = api.past_s, api.flood
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        at = int(time.time()) - past
        try:
            self.wfile.write(b": welcome\n\n")
            while not stop.is_set():
                behind = at < time.time() + flood
                if behind:
                    block = []
                    for _ in range(500):
                        if at >= time.time() + flood:
                            break
                        at += 1
                        block.append(f"event: tick\ndata: {json.dumps(tick(at, 840 * (at % 1000000)))}\n\n")
                    self.wfile.write("".join(block).encode())
                    self.wfile.flush()
                stop.wait(0 if behind else 0.1)
        except OSError:
            pass
        self.close_connection = True

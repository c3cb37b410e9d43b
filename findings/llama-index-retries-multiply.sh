#!/usr/bin/env bash
# llama-index's OpenAI repeats a call in two loops, one around the other: max_retries=3 makes 12 requests, and a denial that
# the server forbids to repeat is repeated all the same.
#
# Seen with llama-index-llms-openai 0.8.3, openai 2.54.0 and Python 3.11, with the default max_retries=3. The number is given to
# OpenAI's client, which makes 1 + 3 requests, and also to a decorator around it, which makes 3 tries: 12 requests of one
# call for a rate limit. With `x-should-retry: false` OpenAI's client makes one; the decorator does not know the header, and
# makes 3. An agent in a loop so multiplies the load on an upstream that has just asked for less.
#
# What works: OpenAI(max_retries=0): one request, as our docs/CLIENTS.md says.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet llama-index-llms-openai==0.8.3 llama-index-core==0.14.25 openai==2.54.0

cat >look.py <<'PY'
import json, sys, threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from llama_index.llms.openai import OpenAI

def look(headers, **options):
    requests = 0

    class Refusing(BaseHTTPRequestHandler):
        def do_POST(self):
            nonlocal requests
            requests += 1
            self.rfile.read(int(self.headers["content-length"]))
            body = json.dumps({"error": {"message": "no", "type": "requests", "code": "rate_limit_exceeded"}}).encode()
            self.send_response(429)
            for name, value in {"content-type": "application/json", "content-length": str(len(body)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = HTTPServer(("127.0.0.1", 0), Refusing)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        OpenAI(model="gpt-4o-mini", api_key="k", api_base=f"http://127.0.0.1:{server.server_port}/v1", **options).complete("hi")
    except Exception:
        pass
    server.shutdown()
    return requests

changed = False
for what, headers, options, expected in [
    ("a rate limit, defaults", {"retry-after-ms": "10"}, {}, 12),
    ("a denial with x-should-retry: false, defaults", {"x-should-retry": "false"}, {}, 3),
    ("a rate limit, max_retries=0", {"retry-after-ms": "10"}, {"max_retries": 0}, 1),
]:
    seen = look(headers, **options)
    print(f"{what}: {seen} request{'' if seen == 1 else 's'}")
    if seen != expected:
        print(f"  CHANGED: this finding says {expected}")
        changed = True
sys.exit(changed)
PY
venv/bin/python look.py 2>/dev/null

#!/usr/bin/env bash
# agno returns the text of an upstream's refusal as the agent's answer, without an exception.
#
# Seen with agno 3.1.10, openai 3.57.0 and Python 3.11: the server refuses the one request with 429 `insufficient_quota`.
# Agent.run() returns normally, and `content` of what it returns, which every example prints or stores as the answer, is the
# error's message ("The budget of this team is used up."). OpenAI's own client, which is inside, raises RateLimitError; of the
# other agent frameworks for Python that we tried, none swallows it.
#
# What works: look at `run.status` (RunStatus.error) before `run.content` is used, as our docs/CLIENTS.md says.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet agno==3.1.10 openai==3.57.0

cat >look.py <<'PY'
import json, sys, threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from importlib.metadata import version

MESSAGE = "The budget of this team is used up."
ERROR = {"message": MESSAGE, "type": "insufficient_quota", "param": None, "code": "insufficient_quota"}
requests = 0

class Refusing(BaseHTTPRequestHandler):
    def do_POST(self):
        global requests
        requests += 1
        self.rfile.read(int(self.headers["content-length"]))
        body = json.dumps({"error": ERROR}).encode()
        self.send_response(429)
        self.send_header("content-type", "application/json")
        self.send_header("x-should-retry", "false")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass

server = HTTPServer(("127.0.0.1", 0), Refusing)
threading.Thread(target=server.serve_forever, daemon=True).start()

from agno.agent import Agent
from agno.models.openai import OpenAIResponses

model = OpenAIResponses(id="gpt-5-mini", api_key="k", base_url=f"http://127.0.0.1:{server.server_port}/v1")
try:
    run = Agent(model=model, telemetry=False).run("How many apples are left?")
    seen = f"{requests} request, returned: status {run.status.value}, content {run.content!r}"
except Exception as error:
    seen = f"{requests} request, raised {type(error).__name__}"
expected = f"1 request, returned: status ERROR, content {MESSAGE!r}"
print(f"agno {version('agno')}: {seen}")
if seen != expected:
    print(f"CHANGED: this finding says {expected}")
    sys.exit(1)
PY
venv/bin/python look.py 2>/dev/null

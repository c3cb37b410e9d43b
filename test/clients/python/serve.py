"""Reads commands, one JSON object a line, runs each on a client of a module, and writes what came of it."""

import asyncio
import importlib
import json
import sys


def main() -> None:
    clients = importlib.import_module(sys.argv[1]).CLIENTS
    # One for all calls: clients keep their connections from one to the next.
    loop = asyncio.new_event_loop()
    for line in sys.stdin:
        command = json.loads(line)
        run = getattr(clients[command["client"]], command["scenario"])
        try:
            result = run(command["place"], command["input"])
            if asyncio.iscoroutine(result):
                result = loop.run_until_complete(result)
            answer = {"result": result}
        except Exception as error:  # As a person would see it.
            answer = {"error": f"{type(error).__name__}: {error}"}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()

"""Puts on the device what the document's examples name: the function `hello`, and a module.

    prepare.py PORT MODULES    MODULES is the directory of prebuilt components, one of the agent's WASM_ROOTS

Prints the id of an asynchronous invocation.
"""

import http.client
import json
import sys

port, modules = int(sys.argv[1]), sys.argv[2]


def ask(method, path, body):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=180)
    connection.request(method, path, body)
    answer = connection.getresponse()
    text = answer.read().decode()
    if answer.status != 200:
        sys.exit(f"{method} {path}: {answer.status} {text}")
    return json.loads(text)


with open(f"{modules}/hello-http.wasm", "rb") as component:
    ask("PUT", "/twinlet/functions/hello?route=/hello", component.read())
module = {
    "name": "auth",
    "file_path": f"{modules}/auth.wasm",
    "module_type": "Middleware",
    "attach_points": [{"Middleware": "OnRequest"}],
}
ask("POST", "/wasm", json.dumps({"modules": [module]}))
print(ask("POST", "/invoke/hello", json.dumps({"Params": {}, "Async": True}))["ReqId"])

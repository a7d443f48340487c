"""Lends the agent's local socket an address on loopback, since schemathesis speaks TCP alone.

    bridge.py SOCKET

Prints the port, and passes bytes on until it is ended. Whoever runs on this machine can reach the agent meanwhile.
"""

import socket
import sys
import threading


def pass_on(source, target):
    """Copies until one side ends, and tells the other side so."""
    try:
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        # The other direction ends by itself: what broke is closed for both.
        for side in (source, target):
            try:
                side.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass


def serve(client, path):
    with client, socket.socket(socket.AF_UNIX) as agent:
        agent.connect(path)
        back = threading.Thread(target=pass_on, args=(agent, client), daemon=True)
        back.start()
        pass_on(client, agent)
        back.join()


def main():
    with socket.create_server(("127.0.0.1", 0), backlog=64) as door:
        print(door.getsockname()[1], flush=True)
        while True:
            client, _ = door.accept()
            threading.Thread(target=serve, args=(client, sys.argv[1]), daemon=True).start()


main()

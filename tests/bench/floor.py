# SPDX-License-Identifier: MIT
"""The floor: what `control.c` does, in as little Python as that takes.

    python -m tests.bench.floor SOCKET WIDTHxHEIGHT HZ

No engine, no leases, no checks, no second output: what stands between this and the daemon is the
daemon's work, and what stands between this and the control is the interpreter's.
"""

from __future__ import annotations

import contextlib
import gc
import select
import socket
import struct
import sys
import time

from capturectl import protocol
from captured.capture.pattern import PatternFence, PatternMemory, parse_geometry

POOL = 6
REST_MS = 1
_FLAGS = socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
_code_and_slot = struct.Struct("<H22xI").unpack_from
_RELEASE, _PATTERN = protocol.RELEASE.code, int(protocol.Source.PATTERN)
_pack_frame = protocol.FRAME.layout.pack_into


class Client:
    """One connection."""

    __slots__ = ("credits", "held", "known", "send", "socket", "take")

    def __init__(self, connection: socket.socket) -> None:
        connection.setblocking(False)
        self.socket = connection
        self.send, self.take = connection.send, connection.recv_into
        self.credits = 0
        self.known = [False] * POOL
        self.held = [False] * POOL


class Floor:
    """The server; runs until it is killed. Owns its pool, its clock and its connections."""

    def __init__(self, path: str, size: str) -> None:
        self.geometry = parse_geometry(size)
        self.period_ns = 10**12 // self.geometry.refresh_mhz
        self.pool = [PatternMemory(self.geometry) for _ in range(POOL)]
        self.holders = [0] * POOL
        self.newest, self.sequence = -1, 0
        self.clients: dict[int, Client] = {}
        self.room = bytearray(protocol.MAX_MESSAGE)
        self.packet = bytearray(protocol.FRAME.pack(protocol.Frame(*[0] * 10), stream=1))
        self.door = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | _FLAGS)
        self.door.bind(path)
        self.door.listen(64)
        self.fence = PatternFence(self.period_ns)
        self.epoll = select.epoll()
        for fd in (self.door.fileno(), self.fence.fileno()):
            self.epoll.register(fd, select.EPOLLIN)

    def run(self) -> None:
        """Serve; fences first, as the daemon's loop has it."""
        alone = select.poll()
        alone.register(self.fence.fileno(), select.POLLIN)
        wait, clients, tick = self.epoll.poll, self.clients, self.fence.fileno()
        due = self.draw()
        while True:
            ready, has_ticked = wait(), False
            for fd, _ in ready:
                if fd == tick and self.fence.read_result()[0]:
                    self.publish(due)
                    due, has_ticked = self.draw(), True
            for fd, _ in ready:
                if (client := clients.get(fd)) is not None:
                    self.serve(fd, client)
                elif fd != tick:
                    self.accept()
            if has_ticked:
                alone.poll(REST_MS)

    def draw(self) -> int:
        """Draw into a buffer that nobody has, but for the newest: these clients leave one."""
        slot = next(n for n, held in enumerate(self.holders) if not held and n != self.newest)
        self.pool[slot].draw(self.sequence + 1)
        self.fence.asked_ns = time.monotonic_ns()
        return slot

    def publish(self, slot: int) -> None:
        """Send the frame to all who have credit."""
        self.newest, self.sequence = slot, self.sequence + 1
        packet, due_ns = self.packet, self.fence.tick_ns
        _pack_frame(
            packet, protocol.HEADER_SIZE, self.sequence, due_ns // self.period_ns, 0,
            self.fence.asked_ns, due_ns, due_ns, slot, 1, _PATTERN, 0,
        )  # fmt: skip
        for client in self.clients.values():
            if not client.credits:
                continue
            if not client.known[slot]:
                self.send_buffer(client, slot)
            try:
                client.send(packet)
            except OSError:
                continue  # it does not read, or is gone, which the loop sees
            client.credits -= 1
            client.held[slot] = True
            self.holders[slot] += 1

    def send_buffer(self, client: Client, slot: int) -> None:
        """Send a buffer's descriptor, once."""
        (plane,), look = self.pool[slot].planes, self.geometry
        body = protocol.Buffer(
            0, self.pool[slot].size, slot, 1, look.fourcc, look.width, look.height, 1,
            (0, 0, 0, 0), (plane.pitch, 0, 0, 0),
        )  # fmt: skip
        message = protocol.BUFFER.pack(body, stream=1)
        socket.send_fds(client.socket, [message], [plane.dmabuf.fileno()])
        client.known[slot] = True

    def serve(self, fd: int, client: Client) -> None:
        """Take one message of a client."""
        try:
            size = client.take(self.room)
        except ConnectionResetError:
            size = 0
        code, slot = _code_and_slot(self.room)
        if not size:
            self.hang_up(fd, client)
        elif code == _RELEASE:
            client.held[slot] = False
            client.credits += 1
            self.holders[slot] -= 1
        elif code == protocol.HELLO.code:
            self.greet(client)
        elif code == protocol.SUBSCRIBE.code:
            client.credits = protocol.SUBSCRIBE.unpack(bytes(self.room[:size])).credits

    def greet(self, client: Client) -> None:
        """Answer a HELLO as the control does."""
        look = self.geometry
        welcome = protocol.Welcome(
            protocol.VERSION_MAX, 1, protocol.Capability(0), 1, protocol.MAX_CREDITS,
            protocol.LEASE_MS, "floor", "Python",
        )  # fmt: skip
        stream = protocol.Stream(
            protocol.State.READY, protocol.Source.PATTERN, look.width, look.height,
            look.refresh_mhz, look.fourcc, 0, 0, 0, "Pattern-1", "", "", "", "", "", "",
        )  # fmt: skip
        client.send(protocol.WELCOME.pack(welcome))
        client.send(protocol.STREAM.pack(stream, stream=1))
        client.send(protocol.DONE.pack(protocol.Done(), stream=1))

    def accept(self) -> None:
        """Let a client in."""
        with contextlib.suppress(BlockingIOError):
            connection, _ = self.door.accept()
            self.clients[connection.fileno()] = Client(connection)
            self.epoll.register(connection.fileno(), select.EPOLLIN)

    def hang_up(self, fd: int, client: Client) -> None:
        """Let it go, and what it holds."""
        self.epoll.unregister(fd)
        self.clients.pop(fd).socket.close()
        for slot, is_held in enumerate(client.held):
            self.holders[slot] -= is_held


def main() -> None:
    """Serve until SIGTERM."""
    path, size, rate = sys.argv[1:]
    floor = Floor(path, f"{size}@{rate}")
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    gc.freeze()
    gc.disable()
    floor.run()


if __name__ == "__main__":
    main()

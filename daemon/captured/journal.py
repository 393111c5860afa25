# SPDX-License-Identifier: MIT
"""The journal's own protocol: one datagram an entry, with fields that programs can ask for.

https://systemd.io/JOURNAL_NATIVE_PROTOCOL/
"""

from __future__ import annotations

import _socket as socket  # as in capturectl.transport

from captured.message_ids import MESSAGE_IDS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

SOCKET = "/run/systemd/journal/socket"
PREFIX = "CAPTURED_"


class Journal:
    """A way to the journal. Open until `close()`; owns its socket."""

    def __init__(self, path: str = SOCKET) -> None:
        """Get ready; whether anybody reads is seen with each entry."""
        self._path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)

    def send(self, priority: int, message: str, fields: Mapping[str, object]) -> bool:
        """Send an entry; return whether the journal has it.

        A journal that is full for the moment loses the entry: the loop does not wait for it.
        """
        try:
            # With the address each time: the journal may have been started again.
            self._socket.sendto(entry(priority, message, fields), self._path)
        except BlockingIOError:
            return True
        except OSError:  # it is too long, or the journal is not there: standard error may do
            return False
        return True

    def close(self) -> None:
        """Leave. Twice is fine."""
        self._socket.close()


def entry(priority: int, message: str, fields: Mapping[str, object]) -> bytes:
    """Return the datagram of an entry.

    Args:
        priority: As in syslog: 7 is debug, 3 is error.
        message: What people read.
        fields: `code` brings its MESSAGE_ID with it; each becomes CAPTURED_name.
    """
    lines = {"MESSAGE": message, "PRIORITY": priority, "SYSLOG_IDENTIFIER": "captured"}
    if (message_id := MESSAGE_IDS.get(str(fields.get("code", "")))) is not None:
        lines["MESSAGE_ID"] = message_id
    lines.update({PREFIX + name.upper(): value for name, value in fields.items()})
    return b"".join(_field(name, str(value)) for name, value in lines.items())


def _field(name: str, value: str) -> bytes:
    raw = value.encode(errors="replace")
    if "\n" not in value:
        return b"%s=%s\n" % (name.encode(), raw)
    return b"%s\n%s%s\n" % (name.encode(), len(raw).to_bytes(8, "little"), raw)

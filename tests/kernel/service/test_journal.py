# SPDX-License-Identifier: MIT
"""What the journal says of the service."""

from __future__ import annotations

import pytest

from tests.support import kernel, service

pytestmark = pytest.mark.slow

READY_ID = "43bf5460c4805ba88333003f3c1ab43c"


def test_a_client_is_named_by_its_fields(running: None) -> None:
    service.capturectl_as(service.INSIDE, "snapshot", "/tmp/shot.png")
    (entry,) = service.entries("CAPTURED_CODE=connected")
    assert entry["CAPTURED_UID"] == service.run("id", "-u", service.INSIDE).stdout.strip()
    assert entry["CAPTURED_PID"].isdecimal()
    assert entry["CAPTURED_CLIENT"] == "capturectl"
    assert (entry["PRIORITY"], entry["SYSLOG_IDENTIFIER"]) == ("6", "captured")
    assert entry["_SYSTEMD_UNIT"] == "captured.service"


def test_what_concerns_an_output_is_found_by_its_name(running: None) -> None:
    service.capturectl_as(service.INSIDE, "snapshot", "/tmp/shot.png")
    said = [entry["MESSAGE"] for entry in service.entries("CAPTURED_OUTPUT=Virtual-1")]
    assert any(line.startswith("attached Writeback-1") for line in said)


def test_an_error_has_its_code_its_priority_and_its_explanation(stopped: None) -> None:
    service.settle("")  # the display stays dark
    kernel.put_out()
    service.start()
    done = service.capturectl_as(service.INSIDE, "snapshot", "/tmp/shot.png")
    assert done.returncode == 5
    (entry,) = service.entries("CAPTURED_CODE=output-off", "PRIORITY=6")[-1:]
    explained = service.run("journalctl", "-x", "-o", "short", f"MESSAGE_ID={entry['MESSAGE_ID']}")
    assert "Subject: The output is off" in explained.stdout
    assert "`modeset`" in explained.stdout


def test_a_start_is_one_entry_with_a_message_id(running: None) -> None:
    (entry,) = service.entries("CAPTURED_CODE=ready")
    assert entry["MESSAGE_ID"] == READY_ID

# SPDX-License-Identifier: MIT
"""capturectl.doctor.redact: what a report must not tell."""

from __future__ import annotations

import pytest

from capturectl.doctor.redact import HIDDEN, harmless_arguments, redact

NAMES = {"alice": "USER", "ann": "USER", "lab-board-7": "HOST", "lab-board": "HOST"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("/home/alice/bin/captured runs", "/home/REDACTED runs"),
        ('"/root/.venv/bin/captured",', '"/root/REDACTED",'),
        ("eth0 link 52:54:00:ab:CD:ef up", "eth0 link REDACTED up"),
        ("machine-id 0123456789abcdef0123456789abcdef", "machine-id REDACTED"),
        ("root=0a1b2c3d-0000-1111-2222-333344445555", "root=REDACTED"),
        ("Serial Number: X1-99/7 found", "Serial Number: REDACTED found"),
        ('"serial": "ABC123"', '"serial": "REDACTED"'),
        ("edid 00 ff ff ff ff ff ff 00 4c 2d 01 end", "edid REDACTED end"),
        ("\t00ffffffffffff004c2d\n\t0102\nend", "\tREDACTED\nend"),
        ("from 192.168.1.20 port 22", "from REDACTED port 22"),
        ("from fe80::1ff:fe23:4567 and 2001:db8:1:2:3:4:5:6", "from REDACTED and REDACTED"),
        ("user alice on lab-board-7", "user USER on HOST"),
        ("lab-board.example", "HOST.example"),
    ],
)
def test_what_tells_who_and_where_is_taken_out(text: str, expected: str) -> None:
    assert redact(text, NAMES) == expected


@pytest.mark.parametrize(
    "text",
    [
        "Linux 6.12.117 on x86_64",
        "/dev/dri/card0 is driven by vkms",
        "scanner and annex",
        "Nov 24 12:34:56 pci 0000:00:02.0 bus",
        "5.10.0-38-arm64",
        "Writeback-1 writes AR24 XR24",
        "root:video 0660",
        '"commit_to_fence_p50_us": 19850',
    ],
)
def test_what_helps_stays(text: str) -> None:
    assert redact(text, NAMES) == text


def test_of_the_kernels_command_line_display_settings_stay() -> None:
    line = "console=ttyS0,115200 vc4.x=1 drm.debug=0x14 video=HDMI-A-1:1080p cma=256M quiet"
    assert harmless_arguments(line) == line


def test_of_the_kernels_command_line_nothing_unknown_stays() -> None:
    line = 'root=UUID=1-2 wifi.password=x token rd.luks.key="a b=quiet drm.x=1" quiet'
    assert harmless_arguments(line) == (
        f"root={HIDDEN} wifi.password={HIDDEN} {HIDDEN} rd.luks.key={HIDDEN} quiet"
    )


def test_a_quoted_name_cannot_smuggle_a_value_through() -> None:
    assert harmless_arguments('"quiet secret"=1 cma="x') == f'{HIDDEN} cma="x'

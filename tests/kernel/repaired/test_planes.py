# SPDX-License-Identifier: MIT
"""What the daemon says of the planes on a CRTC, against what the scene has put there."""

from __future__ import annotations

from typing import TYPE_CHECKING

import capturectl as library
from capturectl.fourcc import fourcc_code
from tests.support import picture

if TYPE_CHECKING:
    from tests.support.processes import DaemonProcess, SceneProcess


def test_the_planes_of_the_scene_are_listed_with_who_made_them(
    daemon: DaemonProcess, scene: SceneProcess
) -> None:
    with library.connect(str(daemon.socket)) as client:
        planes = client.planes()
    places = {(plane.x, plane.y, plane.width, plane.height) for plane in planes}
    layers = picture.layers_for(640, 480)
    assert places == {(layer.x, layer.y, layer.width, layer.height) for layer in layers}
    assert {plane.fourcc for plane in planes} == {fourcc_code("XR24")}
    assert [plane.kind for plane in planes].count("Primary") == 1
    assert {plane.setter for plane in planes} == {"python"}

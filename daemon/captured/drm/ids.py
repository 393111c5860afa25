# SPDX-License-Identifier: MIT
"""The kernel's object numbers, one type each: a crtc id is neither an index nor a plane id."""

from __future__ import annotations

from capturectl.typed import NewType

ConnectorId = NewType("ConnectorId", int)
EncoderId = NewType("EncoderId", int)
CrtcId = NewType("CrtcId", int)
PlaneId = NewType("PlaneId", int)
FbId = NewType("FbId", int)
BlobId = NewType("BlobId", int)
PropId = NewType("PropId", int)
LesseeId = NewType("LesseeId", int)

CrtcIndex = NewType("CrtcIndex", int)
"""Place of a CRTC in GETRESOURCES; `possible_crtcs` masks count in these."""

GemHandle = NewType("GemHandle", int)
"""A buffer object's number in one open file; means nothing in another."""

ObjectId = ConnectorId | EncoderId | CrtcId | PlaneId | FbId | BlobId
"""Any mode object; they share one number space in a card."""

# SPDX-License-Identifier: MIT
"""The capture daemon: writeback frames of an embedded display, for many clients."""

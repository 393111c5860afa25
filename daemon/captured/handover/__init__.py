# SPDX-License-Identifier: MIT
"""From one daemon to the next: what is kept by the service manager over a restart.

`docs/architecture.md`, "Restart without a trace", has the whole story.
"""

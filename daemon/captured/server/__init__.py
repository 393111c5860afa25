# SPDX-License-Identifier: MIT
"""The socket's side: who is connected, what they asked for, what they hold."""

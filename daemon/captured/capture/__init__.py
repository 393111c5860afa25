# SPDX-License-Identifier: MIT
"""Capture policy, pure Python: what is captured when, into which slot, for whom.

It sees hardware only through `source.Source`, clients only through `engine.Subscriber`, and
time only through `engine.Clock`.
"""

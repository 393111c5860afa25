# SPDX-License-Identifier: MIT
"""What can be captured on this machine, and why not: facts, then checks, then the verdict."""

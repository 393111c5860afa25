# SPDX-License-Identifier: MIT
"""A small typed binding of KMS on libdrm.so.2: the only room that touches /dev/dri.

Names follow pykms where it has one. One module holds one kernel concept; `card.Card` is the
open file that all of them take as their first argument.
"""

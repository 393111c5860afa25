# SPDX-License-Identifier: MIT
"""site-packages for the commands that want numpy or Pillow; `site` costs every start otherwise."""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType


class LateSite:
    """Does what the interpreter was told not to (-S), as soon as a module is not found without.

    The last of `sys.meta_path`, until it is asked for a module.
    """

    @classmethod
    def find_spec(
        cls, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Find a module as if `site` had been there from the start."""
        if path is not None:
            return None  # a part of a package that was found: it would be beside the others
        import site
        from importlib.machinery import PathFinder

        sys.meta_path.remove(cls)
        site.main()
        return PathFinder.find_spec(name, None, target)


def install() -> None:
    """Make it the last that is asked."""
    sys.meta_path.append(LateSite)

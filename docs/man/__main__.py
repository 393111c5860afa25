# SPDX-License-Identifier: MIT
"""Write the manual pages.

    python -m docs.man DIRECTORY

SOURCE_DATE_EPOCH dates them, for builds that must be the same twice.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from docs.man.pages import pages


def main(directory: Path) -> None:
    """Write NAME.SECTION files and say so."""
    seconds = int(os.environ.get("SOURCE_DATE_EPOCH") or time.time())
    date = time.strftime("%Y-%m-%d", time.gmtime(seconds))
    directory.mkdir(parents=True, exist_ok=True)
    for page in pages(date):
        path = directory / f"{page.name}.{page.section}"
        path.write_text(page.text, encoding="ascii")
        sys.stdout.write(f"{path}\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))

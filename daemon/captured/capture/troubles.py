# SPDX-License-Identifier: MIT
"""What an engine tells its subscribers when pictures stop, and what to do then."""

from __future__ import annotations

from capturectl.errors import CaptureBusyError, CaptureError, CaptureLostError, CaptureTimeoutError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from captured.capture.retired import Retired
    from captured.capture.source import Geometry


def mode_changed(name: str, geometry: Geometry | None) -> CaptureError:
    """The output has another mode; no reason to go."""
    size = f"{geometry.width}x{geometry.height}" if geometry else "another mode"
    return CaptureLostError(
        f"{name} has changed to {size}", "frames of the new size follow", code="mode-changed"
    )


def attach_failed(name: str, error: OSError) -> CaptureError:
    """The kernel refused to attach."""
    return CaptureError(
        f"{name}: cannot attach: {error.filename or 'the card'}: {error.strerror}",
        "see the kernel's log with drm.debug=0x14",
        code="attach-failed",
    )


def commit_failed(name: str, error: OSError) -> CaptureError:
    """The kernel refused a capture."""
    lost = CaptureLostError(
        f"{name}: the kernel refused the capture ({error.strerror})",
        "the output may have changed or another program may have become master; try again",
    )
    lost.__cause__ = error
    return lost


def too_busy(name: str, seconds: float) -> CaptureError:
    """The kernel put captures off all the time."""
    return CaptureTimeoutError(
        f"{name}: the CRTC took no commit for {seconds:g} s",
        "another program commits all the time; see who holds the card",
    )


def all_failed(name: str, count: int) -> CaptureError:
    """Fence after fence carried an error."""
    return CaptureLostError(
        f"{name}: {count} captures in a row failed in the driver", "see the kernel's log"
    )


def lost(name: str, deadline_s: float) -> CaptureError:
    """A capture was lost, and proofs follow."""
    return CaptureLostError(
        f"{name}: the driver lost a capture (no fence within {deadline_s:g} s, or not its own)",
        "frames go on once the next ones are proved; see the kernel's log if they do not",
        code="out-of-step",
    )


def out_of_step(name: str, deadline_s: float) -> CaptureError:
    """A capture was lost, and proofs failed."""
    return CaptureLostError(
        f"{name}: the driver loses captures (no fence within {deadline_s:g} s), "
        "and none that follows could be proved",
        "see the kernel's log; a slower mode or a reload of the driver may help",
        code="out-of-step",
    )


def no_memory(name: str, reason: str) -> CaptureError:
    """There is none for buffers."""
    return CaptureError(f"{name}: {reason}", "lower `buffers` in captured.toml", code="no-memory")


def all_kept(name: str, retired: Retired) -> CaptureError:
    """There is none for buffers, because of clients."""
    return CaptureError(
        f"{name}: clients keep {len(retired)} former buffers, {retired.size >> 20} MiB",
        "end the programs that have them open (see /proc/*/fdinfo)",
        code="no-memory",
    )


def kept(name: str, uid: int, count: int) -> CaptureError:
    """One user has more former buffers than his share."""
    return CaptureBusyError(
        f"{name}: programs of user {uid} keep {count} former buffers open",
        "let them close what BUFFER_GONE names, or end them (see /proc/*/fdinfo)",
        code="capacity",
    )

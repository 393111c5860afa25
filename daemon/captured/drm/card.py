# SPDX-License-Identifier: MIT
"""An open /dev/dri/cardN: capabilities, master, and the door for every ioctl."""

from __future__ import annotations

import errno
import os
import stat

from capturectl.errors import CaptureBusyError, CaptureUnsupportedError, NotAllowedError
from capturectl.fd import OwnedFd
from capturectl.typed import NamedTuple
from captured.drm import libdrm, uapi

TYPE_CHECKING = False
if TYPE_CHECKING:
    import ctypes
    from typing import Self


DRM_DIRECTORY = "/dev/dri"
_DRM_MAJOR = 226  # Kernel: Documentation/admin-guide/devices.txt
_PRIMARY_MINORS = 64


class Version(NamedTuple):
    """What DRM_IOCTL_VERSION says of the driver."""

    name: str
    """The driver's short name, such as "vkms"; quirks are looked up by it."""
    major: int
    minor: int
    patch: int
    description: str


class Card:
    """A card's open file. Open until `close()`; one thread at a time.

    Ownership: owns its fd, whether opened here or adopted. Mode objects made through it
    (framebuffers, blobs, dumb buffers) die with it at the latest.
    Kernel: drivers/gpu/drm/drm_file.c, drm_auth.c.
    """

    def __init__(self, fd: OwnedFd, path: str, *, is_kept: bool = False) -> None:
        """Adopt an open card. Use `Card.open` for a path.

        Args:
            fd: Of a card, a lease, or another's DRM file; owned from here on.
            path: Its name for messages.
            is_kept: Whether it comes from a former process, which was master through it. So is
                this one then, until it drops that.
        """
        self._fd = fd
        self.is_kept = is_kept
        self._owner: OwnedFd | None = None
        self._is_removed = False
        self.path = path

    @classmethod
    def open(cls, path: str) -> Card:
        """Open a card without becoming its master.

        Args:
            path: A primary node, such as /dev/dri/card0.

        Raises:
            CaptureUnsupportedError: It does not exist or is no card's primary node.
            NotAllowedError: EACCES or EPERM on the node.
            OSError: Any other errno, with the path.
        """
        try:
            # Kernel: events are read from this file; a read must never wait.
            fd = OwnedFd(os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK), path)
        except OSError as error:
            raise _open_error(path, error) from error
        try:
            if not is_card(os.fstat(fd.fileno())):
                raise CaptureUnsupportedError(f"{path} is not a DRM card", _card_hint())
            card = cls(fd, path)
            # Kernel: the first opener of a card becomes its master (drm_auth.c,
            # drm_master_open) and would lock a compositor out that starts later.
            card.drop_master()
        except BaseException:
            fd.close()
            raise
        return card

    def share(self, owner: OwnedFd) -> None:
        """Commit through another program's open file from now on; it is master, or a lessee.

        Everything else goes on through our own file: what is set or read there is the other's.

        Args:
            owner: Its DRM file; owned from here on.

        Kernel: framebuffer numbers are the card's, so ours are good in another file's commits.
        """
        self._owner = owner

    def removed(self) -> None:
        """Hear that the kernel has removed it: no commit of ours reaches the driver any more.

        Kernel: only after drm_dev_unplug does the kernel answer ENODEV itself (drm_ioctl.c,
        drm_ioctl). rcar-du, mali-dp, komeda, msm and vkms call drm_dev_unregister when they are
        unbound, and a commit that comes later finds their registers unmapped.
        """
        self._is_removed = True

    def duplicate(self) -> Card:
        """Return the same open file once more, for a thread of its own.

        Ownership: the caller owns it; closing it leaves the file as it is for this one.

        Raises:
            OSError: EMFILE.
        """
        return Card(self._fd.duplicate(), self.path)

    @property
    def is_shared(self) -> bool:
        """Whether commits go through another program's file."""
        return self._owner is not None

    def fileno(self) -> int:
        """Lend the fd; polls readable when an event is waiting."""
        return self._fd.fileno()

    @property
    def minor(self) -> int:
        """Its number under debugfs and /dev/dri."""
        return os.minor(os.fstat(self.fileno()).st_rdev)

    def close(self) -> None:
        """Close the card; what was made through it goes with it. Twice is fine."""
        self._fd.close()
        if self._owner is not None:
            self._owner.close()

    def ioctl(
        self, request: uapi.Request, argument: ctypes.Structure | None = None, what: str = ""
    ) -> None:
        """Do one ioctl on the card.

        Args:
            request: From `uapi`.
            argument: Its structure, changed by the kernel.
            what: The object it is about; the card's path when empty.

        Raises:
            OSError: The kernel's errno, with the object's name as filename; ENODEV of a card that
                was removed.
        """
        self._check_there(what or self.path)
        libdrm.ioctl(self.fileno(), request, argument, what or self.path)

    def commit(self, argument: uapi.Atomic) -> None:
        """Do an atomic commit, through the owner's file if there is one.

        Raises:
            OSError: The kernel's errno, with the card's path.
        """
        self._check_there(self.path)
        fd = self._owner.fileno() if self._owner else self.fileno()
        libdrm.ioctl(fd, uapi.ATOMIC, argument, self.path)

    def _check_there(self, what: str) -> None:
        if self._is_removed:
            raise OSError(errno.ENODEV, os.strerror(errno.ENODEV), what)

    # -- what the driver is and can do --------------------------------------------------------

    def version(self) -> Version:
        """Read the driver's name and version."""
        with libdrm.fetched(
            "drmGetVersion", uapi.Version, self.fileno(), what=self.path
        ) as version:
            return Version(
                (version.name or b"").decode(),
                version.version_major,
                version.version_minor,
                version.version_patchlevel,
                (version.desc or b"").decode(),
            )

    def capability(self, number: int) -> int:
        """Return a DRM_CAP_... value; 0 where the driver does not know it.

        Raises:
            OSError: Any errno but EINVAL.
        """
        argument = uapi.Capability(number, 0)
        try:
            self.ioctl(uapi.GET_CAP, argument)
        except OSError as error:
            if error.errno == errno.EINVAL:
                return 0
            raise
        return int(argument.value)

    def enable_client_capabilities(self) -> None:
        """Ask for atomic properties, all planes and the writeback connectors.

        Raises:
            CaptureUnsupportedError: The driver has no atomic modesetting, so no writeback; or the
                kernel does not know it.

        Kernel: a card remembers this per open file. Writeback connectors need ATOMIC first
        (drm_ioctl.c, drm_setclientcap).
        """
        for number in (
            uapi.DRM_CLIENT_CAP_UNIVERSAL_PLANES,
            uapi.DRM_CLIENT_CAP_ATOMIC,
            uapi.DRM_CLIENT_CAP_WRITEBACK_CONNECTORS,
        ):
            try:
                self.ioctl(uapi.SET_CLIENT_CAP, uapi.ClientCapability(number, 1))
            except OSError as error:
                if error.errno not in {errno.EINVAL, errno.EOPNOTSUPP}:
                    raise
                if number == uapi.DRM_CLIENT_CAP_WRITEBACK_CONNECTORS:
                    raise CaptureUnsupportedError(
                        f"{self.path}: this kernel knows no writeback connectors",
                        "Linux does since 4.19", code="no-writeback",
                    ) from error  # fmt: skip
                raise CaptureUnsupportedError(
                    f"{self.path} ({self.version().name}) has no atomic modesetting",
                    "writeback connectors need an atomic KMS driver; choose another --card",
                ) from error

    # -- master -------------------------------------------------------------------------------

    def take_master(self) -> None:
        """Become the card's master, or stay it; a shared card's owner is master for us.

        Raises:
            CaptureBusyError: EBUSY or EACCES, another open file is master.
            OSError: Any other errno.
        """
        if self._owner is not None or self.is_kept:
            return
        try:
            self._set_master()
        except OSError as error:
            if error.errno not in {errno.EBUSY, errno.EACCES}:
                raise
            raise CaptureBusyError(
                f"{self.path} has another master",
                "stop that program, or give the daemon another way to the card",
                code="another-master",
            ) from error

    def _set_master(self) -> None:
        """Become master, in a new open file if this one may not.

        Kernel: without CAP_SYS_ADMIN only a file that was master once may become it again. It is
        from the start when it was opened while nobody else was (drm_auth.c, drm_master_open); so
        EACCES for a new file means that somebody else is.
        """
        try:
            self.ioctl(uapi.SET_MASTER)
        except PermissionError:
            self._renew()
            self.ioctl(uapi.SET_MASTER)

    def _renew(self) -> None:
        """Go on with a new open file; nothing may be left that was made through the old one."""
        fresh = Card.open(self.path)
        try:
            fresh.enable_client_capabilities()
        except BaseException:
            fresh.close()
            raise
        before, self._fd = self._fd, fresh._fd
        before.close()

    def drop_master(self) -> None:
        """Stop being master; does nothing when the card's file is not, or not ours.

        Kernel: EINVAL means not master, EACCES not master and never was, or that another process
        opened the file (drm_auth.c): one that was kept is given up for a new one.

        Raises:
            CaptureUnsupportedError: One that was kept cannot be opened anew.
            NotAllowedError: The same.
            OSError: ENODEV when the card is gone.
        """
        if self._owner is not None:
            return
        try:
            self.ioctl(uapi.DROP_MASTER)
        except OSError as error:
            if error.errno not in {errno.EINVAL, errno.EACCES}:
                raise
        if self.is_kept:
            self._renew()
            self.is_kept = False  # until then it is master, whatever was asked of it

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def __bool__(self) -> bool:
        """Whether it is open, and there: else what was made through it is gone already."""
        return bool(self._fd) and not self._is_removed

    def __repr__(self) -> str:
        return f"<Card {self.path}{'' if self._fd else ' closed'}>"


def card_paths() -> list[str]:
    """Return the primary nodes of this machine, by number."""
    try:
        names = os.listdir(DRM_DIRECTORY)
    except FileNotFoundError:
        return []
    numbers = [name.removeprefix("card") for name in names if name.startswith("card")]
    return [
        f"{DRM_DIRECTORY}/card{number}"
        for number in sorted(int(n) for n in numbers if n.isdigit())
    ]


def is_card(status: os.stat_result) -> bool:
    """Whether a file is the primary node of a card, such as /dev/dri/card0."""
    is_drm = stat.S_ISCHR(status.st_mode) and os.major(status.st_rdev) == _DRM_MAJOR
    return is_drm and os.minor(status.st_rdev) < _PRIMARY_MINORS


def _card_hint() -> str:
    names = ", ".join(card_paths())
    return f"cards here: {names}" if names else f"there is no card under {DRM_DIRECTORY}"


def _open_error(name: str, error: OSError) -> Exception:
    if error.errno in {errno.ENOENT, errno.ENXIO, errno.ENODEV, errno.ENOTDIR}:
        return CaptureUnsupportedError(f"{name} does not exist", _card_hint(), code="no-card")
    if error.errno in {errno.EACCES, errno.EPERM}:
        return NotAllowedError(
            f"{name}: permission denied",
            "run as root, or join the group video (usermod -aG video)",
        )
    return error

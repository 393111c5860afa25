# SPDX-License-Identifier: MIT
"""OwnedFd: one descriptor, one owner."""

from __future__ import annotations

import os

import pytest

from capturectl.errors import CaptureClosedError
from capturectl.fd import OwnedFd


def open_null(name: str = "null") -> OwnedFd:
    return OwnedFd(os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC), name)


def is_open(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:
        return False
    return True


def test_close_closes_the_descriptor() -> None:
    fd = open_null()
    number = fd.fileno()
    fd.close()
    assert not is_open(number)


def test_a_second_close_does_not_close_a_reused_number() -> None:
    fd = open_null()
    number = fd.fileno()
    fd.close()
    with open_null() as successor:
        assert successor.fileno() == number
        fd.close()
        assert is_open(number)


def test_it_is_true_while_open() -> None:
    fd = open_null()
    assert fd
    fd.close()
    assert not fd


def test_leaving_its_block_closes_it() -> None:
    with open_null() as fd:
        number = fd.fileno()
    assert not is_open(number)


def test_an_exception_in_its_block_closes_it_too() -> None:
    fd = open_null()
    number = fd.fileno()
    with pytest.raises(ZeroDivisionError), fd:
        raise ZeroDivisionError
    assert not is_open(number)


def test_detach_gives_the_open_number_away() -> None:
    fd = open_null()
    number = fd.detach()
    fd.close()
    assert is_open(number)
    os.close(number)


def test_a_closed_one_lends_no_number() -> None:
    fd = open_null("lease")
    fd.close()
    with pytest.raises(CaptureClosedError, match="lease is closed"):
        fd.fileno()


def test_it_cannot_be_detached_twice() -> None:
    fd = open_null()
    os.close(fd.detach())
    with pytest.raises(CaptureClosedError):
        fd.detach()


def test_a_duplicate_lives_longer_than_its_original() -> None:
    fd = open_null()
    with fd.duplicate() as other:
        fd.close()
        assert is_open(other.fileno())


def test_a_duplicate_is_close_on_exec() -> None:
    with open_null() as fd, fd.duplicate() as other:
        assert not os.get_inheritable(other.fileno())


def test_a_duplicate_has_the_same_name() -> None:
    with open_null("card") as fd, fd.duplicate() as other:
        assert other.name == "card"


def test_a_negative_number_cannot_be_owned() -> None:
    with pytest.raises(ValueError, match="fence: -1 is not a file descriptor"):
        OwnedFd(-1, "fence")


def test_repr_names_it_and_its_number() -> None:
    with open_null("card") as fd:
        assert repr(fd) == f"<OwnedFd card {fd.fileno()}>"


def test_repr_of_a_closed_one_says_so() -> None:
    fd = open_null("card")
    fd.close()
    assert repr(fd) == "<OwnedFd card closed>"

# SPDX-License-Identifier: MIT
"""capturectl.doctor: the verdict on machines that are not here, from facts written by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from capturectl import protocol
from capturectl.doctor.cards import Problem
from capturectl.doctor.examination import STAGES, examine, summary
from capturectl.doctor.facts import Daemon, Memory, SocketFile, Unit
from capturectl.doctor.verdict import Level, exit_status, root_cause
from tests.support import patients
from tests.support.patients import (
    ALICE,
    CARD,
    bare_card,
    card,
    crtc,
    daemon,
    display,
    engine,
    examination,
    machine,
    output,
    pair,
    without_daemon,
    writeback,
)

if TYPE_CHECKING:
    from capturectl.doctor.facts import Facts
    from capturectl.doctor.verdict import Check

LOSES = {"word": "loses-captures", "sentence": "it loses some", "remedy": "take another kernel"}


def checks_of(facts: Facts, topic: str) -> list[Check]:
    return [check for check in examine(facts) if check.topic == topic]


def levels(facts: Facts, topic: str) -> list[Level]:
    return [check.level for check in checks_of(facts, topic)]


def cause(facts: Facts) -> tuple[str, str, int]:
    """Return topic, word and exit status of the root cause."""
    found = root_cause(examine(facts))
    assert found is not None
    return found.topic, found.code, found.exit_code


def failures(facts: Facts) -> list[str]:
    return [check.topic for check in examine(facts) if check.level is Level.FAIL]


# -- a healthy machine ------------------------------------------------------------------------


def test_on_a_healthy_machine_every_check_passes() -> None:
    bad = [check for check in examine(machine()) if check.level is not Level.PASS]
    assert [(check.topic, check.sentence) for check in bad] == [
        ("unit", "systemd does not run here")
    ]


def test_a_healthy_machine_is_summed_up_with_its_way_and_status_0() -> None:
    facts = machine()
    checks = examine(facts)
    assert exit_status(checks) == 0
    assert summary(facts, checks) == (
        "This machine can be captured: HDMI-A-1 through Writeback-1 of /dev/dri/card0."
    )


def test_checks_are_numbered_from_1_in_the_order_of_cause_and_effect() -> None:
    checks = examine(machine())
    assert [check.number for check in checks] == list(range(1, len(checks) + 1))
    assert [*dict.fromkeys(check.topic for check in checks)] == [stage.topic for stage in STAGES]


def test_every_stage_stands_on_earlier_ones() -> None:
    topics = [stage.topic for stage in STAGES]
    for place, stage in enumerate(STAGES):
        assert set(stage.needs) | set(stage.after) <= set(topics[:place]), stage.topic


# -- the root cause of a machine that cannot be captured --------------------------------------

TXP = card(
    "vc4",
    displays=[display()],
    crtcs=[crtc(0), crtc(1, active=False)],
    pairs=[
        pair(reaches=False, is_tested=False),
        pair(crtc="crtc-1", displays=[], possible_displays=[], clones=None, is_tested=False),
    ],
    quirks=[{"word": "own-crtc", "sentence": "it sees no HDMI", "remedy": ""}],
)
"""vc4: the writeback connector's encoder can use a CRTC of its own alone."""

NO_CLONES = card("rcar-du", pairs=[pair(clones=False, refusal=patients.REFUSED)])
OFF = card(
    displays=[display(crtc=None, lit=False)], crtcs=[crtc(active=False)],
    pairs=[pair(displays=[], is_tested=False)],
)  # fmt: skip
MASTER = {"pid": 789, "name": "weston", "is_certain": True, "fds": [12]}
HELD = card(
    mastery={"state": "other", "master": MASTER, "error": None}, pairs=[pair(is_tested=False)]
)

CAUSES = [
    (without_daemon(examination()), ("card", "no-card", 4)),
    (without_daemon(examination(patients.closed_card()), user=ALICE),
     ("permission", "not-allowed", 7)),
    (without_daemon(examination(bare_card(CARD, "vgem has no atomic modesetting"))),
     ("capabilities", "unsupported", 4)),
    (without_daemon(examination(card(writebacks=[], pairs=[]))),
     ("writeback", "no-writeback", 4)),
    (without_daemon(examination(TXP)), ("reach", "wrong-crtc", 4)),
    (without_daemon(examination(NO_CLONES)), ("clones", "clone-refused", 4)),
    (without_daemon(examination(OFF)), ("display", "output-off", 5)),
    (without_daemon(examination(HELD)), ("master", "another-master", 1)),
    (without_daemon(), ("socket", "unreachable", 3)),
    (without_daemon(examination(card(), group="video2")), ("group", "no-group", 1)),
    (without_daemon(memory=Memory(available=10_000_000)), ("memory", "no-memory", 1)),
]  # fmt: skip


@pytest.mark.parametrize(("facts", "expected"), CAUSES, ids=lambda v: v[1] if len(v) == 3 else "")
def test_the_first_failure_is_the_root_cause(facts: Facts, expected: tuple[str, str, int]) -> None:
    assert cause(facts) == expected
    assert exit_status(examine(facts)) == expected[2]


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        (without_daemon(examination()), ["card"]),
        (without_daemon(examination(TXP)), ["reach"]),
        (without_daemon(examination(card(writebacks=[], pairs=[]))), ["writeback"]),
        (without_daemon(examination(card(), group="nosuch")), ["group"]),
    ],
)
def test_a_daemon_that_could_not_start_is_no_failure_of_its_own(
    facts: Facts, expected: list[str]
) -> None:
    assert failures(facts) == expected
    (socket,) = checks_of(facts, "socket")
    number = checks_of(facts, expected[0])[0].number
    assert socket.sentence.endswith(f"that follows from {number}")


def test_what_was_not_looked_at_names_the_check_that_says_why() -> None:
    facts = without_daemon(examination())
    (number,) = [check.number for check in examine(facts) if check.level is Level.FAIL]
    for topic in ("permission", "writeback", "test", "daemon", "latency"):
        assert checks_of(facts, topic)[0].sentence == f"not looked at: see {number}"


def test_what_the_daemon_says_of_a_refused_clone_follows_from_the_masks() -> None:
    said = output(state=protocol.State.BLOCKED, code="clone-refused", reason="no clones")
    facts = machine(examination(NO_CLONES), daemon=daemon(said))
    assert failures(facts) == ["clones"]


# -- permission -------------------------------------------------------------------------------


def test_a_user_is_told_the_group_that_would_do() -> None:
    facts = without_daemon(examination(patients.closed_card()), user=ALICE)
    found = root_cause(examine(facts))
    assert found is not None
    assert found.sentence == "user alice may not open /dev/dri/card0 (root:video 0660)"
    assert "usermod -aG video alice" in found.remedy


def test_a_node_that_no_group_may_open_is_no_matter_of_groups() -> None:
    closed = patients.closed_card() | {"node": {"mode": "0600", "owner": "root", "group": "root"}}
    (check,) = checks_of(without_daemon(examination(closed), user=ALICE), "permission")
    assert "usermod" not in check.remedy


def test_who_may_connect_need_not_open_the_card() -> None:
    facts = machine(examination(patients.closed_card()), user=ALICE)
    assert failures(facts) == []
    assert levels(facts, "permission") == [Level.SKIP]


def test_who_may_not_connect_is_told_so_whatever_the_card_says() -> None:
    refused = Problem("not-allowed", "permission denied", "", 7)
    facts = machine(examination(patients.closed_card()), user=ALICE, daemon=Daemon(refused))
    assert cause(facts) == ("membership", "not-allowed", 7)
    assert failures(facts) == ["membership"]
    assert checks_of(facts, "membership")[0].remedy.startswith("usermod -aG captured alice")


# -- cards ------------------------------------------------------------------------------------


def test_of_two_cards_the_one_with_a_writeback_connector_is_judged() -> None:
    other = bare_card("/dev/dri/card1", "/dev/dri/card1 (vgem) has no atomic modesetting")
    facts = machine(examination(other, card()))
    assert failures(facts) == []
    assert [check.sentence for check in checks_of(facts, "card")] == [
        "/dev/dri/card0 is the card to capture with",
        "/dev/dri/card1 (vgem) has no atomic modesetting is not needed",
    ]


def test_a_card_that_may_not_be_opened_may_be_the_right_one() -> None:
    other = card(path="/dev/dri/card1", writebacks=[], pairs=[])
    facts = without_daemon(examination(other, patients.closed_card()), user=ALICE)
    assert cause(facts) == ("permission", "not-allowed", 7)


def test_the_card_of_the_settings_is_judged_though_another_is_better() -> None:
    other = bare_card("/dev/dri/card1", "it has no atomic modesetting")
    facts = without_daemon(examination(card(), other, card="/dev/dri/card1"))
    assert cause(facts) == ("capabilities", "unsupported", 4)


# -- pairs ------------------------------------------------------------------------------------


def test_vc4_is_told_that_the_hardware_cannot() -> None:
    found = root_cause(examine(without_daemon(examination(TXP))))
    assert found is not None
    assert found.sentence == (
        "Writeback-1 cannot use crtc-0 (possible_crtcs), which feeds HDMI-A-1"
    )
    assert found.remedy == "vc4: it sees no HDMI"


def test_a_writeback_connector_for_each_crtc_needs_none_for_the_others() -> None:
    pairs = [
        pair(), pair("Writeback-2", reaches=False, is_tested=False),
        pair(crtc="crtc-1", displays=["LVDS-1"], reaches=False, is_tested=False),
        pair("Writeback-2", "crtc-1", displays=["LVDS-1"]),
    ]  # fmt: skip
    two = card(
        displays=[display(), display("LVDS-1", "crtc-1")], crtcs=[crtc(0), crtc(1)],
        writebacks=[writeback(1), writeback(2)], pairs=pairs,
    )  # fmt: skip
    facts = machine(examination(two))
    assert failures(facts) == []
    assert levels(facts, "reach") == [Level.PASS, Level.SKIP, Level.SKIP, Level.PASS]


def test_masks_that_an_older_kernel_does_not_insist_on_are_no_failure() -> None:
    facts = machine(examination(card(pairs=[pair(clones=False)])))
    assert levels(facts, "clones") == [Level.PASS]
    assert "does not insist" in checks_of(facts, "clones")[0].sentence


def test_masks_are_a_warning_where_the_driver_could_not_be_asked() -> None:
    facts = without_daemon(examination(card("msm", pairs=[pair(clones=False, is_tested=False)])))
    assert levels(facts, "clones") == [Level.WARN]


def test_another_display_that_cannot_be_captured_is_a_warning() -> None:
    pairs = [pair(), pair(crtc="crtc-1", displays=["DSI-1"], refusal=patients.REFUSED)]
    two = card(
        displays=[display(), display("DSI-1", "crtc-1")], crtcs=[crtc(0), crtc(1)], pairs=pairs
    )
    facts = machine(examination(two))
    assert levels(facts, "test") == [Level.PASS, Level.WARN]
    assert failures(facts) == []


def test_a_picture_that_the_driver_refuses_is_a_failure_of_the_test() -> None:
    refused = {"code": "no-format", "reason": "Writeback-1 refuses XR24 pictures", "hint": "x"}
    facts = without_daemon(examination(card(pairs=[pair(refusal=refused)])))
    assert cause(facts) == ("test", "no-format", 4)


def test_a_daemon_that_detached_since_the_look_is_no_crash() -> None:
    facts = machine(examination(card(writebacks=[writeback(crtc_id=50)])))
    assert levels(facts, "writeback") == [Level.PASS]


def test_a_connector_that_a_crash_left_attached_is_a_warning() -> None:
    facts = without_daemon(examination(card(writebacks=[writeback(crtc_id=50)])))
    assert levels(facts, "writeback") == [Level.PASS, Level.WARN]


# -- the display and who owns it --------------------------------------------------------------


def test_a_dark_display_that_the_daemon_may_light_is_no_failure() -> None:
    facts = without_daemon(examination(OFF, modeset="preferred"))
    assert levels(facts, "display") == [Level.PASS]


def test_another_master_is_named_with_the_way_beside_it() -> None:
    facts = without_daemon(examination(HELD))
    found = root_cause(examine(facts))
    assert found is not None
    assert found.sentence == "weston (pid 789) is master of /dev/dri/card0"
    assert found.remedy == "stop weston, or let captured commit through its card: --share 789:12"


def test_a_master_that_cannot_be_named_is_another_program() -> None:
    held = card(mastery={"state": "other", "master": None, "error": None})
    (check,) = checks_of(without_daemon(examination(held)), "master")
    assert check.sentence == "another program is master of /dev/dri/card0"
    assert "as root" in check.remedy


def test_an_attached_daemon_is_no_other_master() -> None:
    lingering = engine(state=protocol.EngineState.LINGERING, pool_bytes=50_000_000)
    attached = card(
        mastery=HELD["mastery"], writebacks=[writeback(crtc_id=50)],
        pairs=[pair(is_tested=False, is_attached=True)],
    )  # fmt: skip
    facts = machine(examination(attached), daemon=daemon(engine_status=lingering))
    bad = [check.topic for check in examine(facts) if check.level is not Level.PASS]
    assert bad == ["unit"]


def test_a_daemon_that_shares_the_masters_card_is_well() -> None:
    facts = machine(examination(HELD))
    assert failures(facts) == []
    assert levels(facts, "test") == [Level.PASS]


def test_a_daemon_that_does_not_talk_to_this_user_is_no_other_master() -> None:
    master = MASTER | {"name": "captured"}
    held = card(mastery={"state": "other", "master": master, "error": None})
    refused = Daemon(Problem("not-allowed", "permission denied", "", 7))
    facts = machine(examination(held), user=ALICE, daemon=refused)
    assert cause(facts) == ("membership", "not-allowed", 7)


def test_a_program_to_share_with_that_is_gone_is_the_cause() -> None:
    error = {"code": "no-share", "reason": "cannot share the card of 7:3", "hint": "see /proc"}
    gone = card(mastery={"state": "free", "master": None, "error": error})
    assert cause(without_daemon(examination(gone))) == ("master", "no-share", 4)


def test_a_master_that_came_between_is_no_refusal_of_the_driver() -> None:
    between = {"code": "another-master", "reason": "the card has another master", "hint": ""}
    facts = without_daemon(examination(card(pairs=[pair(refusal=between)])))
    assert levels(facts, "test") == [Level.SKIP]


def test_cma_that_is_too_small_for_the_pool_is_a_warning() -> None:
    # 6 pictures of 1920 x 1080 x 4 bytes are 49.8 MB.
    facts = machine(memory=Memory(500_000_000, 32_000_000, 30_000_000))
    (check,) = checks_of(facts, "memory")
    assert check.level is Level.WARN
    assert "49.8 MB" in check.sentence


# -- the service ------------------------------------------------------------------------------


def units(service: Unit, socket: Unit) -> dict[str, Unit]:
    return {service.name: service, socket.name: socket}


def test_a_service_that_failed_is_why_there_is_no_socket() -> None:
    facts = without_daemon(
        units=units(
            Unit("captured.service", "loaded", "failed", "failed", "exit-code"),
            Unit("captured.socket", "loaded", "inactive", "dead", "success"),
        )
    )
    assert cause(facts) == ("unit", "unit-failed", 1)
    assert failures(facts) == ["unit"]
    assert "journalctl -u captured.service" in checks_of(facts, "unit")[0].remedy


def test_a_socket_that_was_not_enabled_is_why_nobody_answers() -> None:
    idle = [Unit(f"captured.{kind}", "loaded", "inactive") for kind in ("service", "socket")]
    facts = without_daemon(units=units(*idle))
    assert cause(facts) == ("unit", "unreachable", 3)
    assert checks_of(facts, "unit")[0].remedy == "systemctl enable --now captured.socket"


def test_the_sockets_own_group_counts_more_than_the_settings() -> None:
    refused = Daemon(Problem("not-allowed", "permission denied", "", 7))
    facts = machine(examination(card(), group="video"), user=ALICE, daemon=refused)
    assert cause(facts) == ("membership", "not-allowed", 7)
    assert checks_of(facts, "membership")[0].remedy.startswith("usermod -aG captured alice")


def test_a_listening_socket_starts_the_service() -> None:
    facts = machine(
        units=units(
            Unit("captured.service", "loaded", "inactive"),
            Unit("captured.socket", "loaded", "active", "listening"),
        )
    )
    assert levels(facts, "unit") == [Level.PASS]


def test_the_group_of_the_sockets_unit_must_exist() -> None:
    socket = Unit("captured.socket", "loaded", "failed", "failed", "resources", "capt")
    facts = without_daemon(units=units(Unit("captured.service", "loaded", "inactive"), socket))
    assert cause(facts) == ("group", "no-group", 1)
    assert failures(facts) == ["group"]


def test_a_socket_elsewhere_by_the_settings_is_named() -> None:
    facts = without_daemon(examination(card(), socket="/run/elsewhere.sock"))
    (check,) = checks_of(facts, "socket")
    assert "-S /run/elsewhere.sock" in check.remedy


def test_a_socket_that_nobody_answers_on_is_unreachable() -> None:
    facts = machine(daemon=patients.NO_DAEMON)
    assert cause(facts) == ("daemon", "unreachable", 3)


def test_a_file_in_the_sockets_place_is_no_socket() -> None:
    facts = machine()._replace(daemon=patients.NO_DAEMON)
    file = facts.socket._replace(is_socket=False)
    assert cause(facts._replace(socket=file)) == ("socket", "unreachable", 3)


@pytest.mark.parametrize(
    ("state", "word", "status"),
    [
        (protocol.State.OFF, "output-off", 5),
        (protocol.State.BLOCKED, "another-master", 1),
        (protocol.State.BLOCKED, "clone-refused", 4),
        (protocol.State.BLOCKED, "not-allowed", 7),
    ],
)
def test_what_only_the_daemon_sees_has_the_status_of_its_word(
    state: protocol.State, word: str, status: int
) -> None:
    facts = machine(daemon=daemon(output(state=state, code=word, reason="it is so")))
    assert cause(facts) == ("outputs", word, status)


def test_a_last_error_that_is_over_is_a_warning_with_its_age() -> None:
    was = engine(word="output-off", reason="HDMI-A-1 is off", time_error_ns=10**12 - 90 * 10**9)
    found = checks_of(machine(daemon=daemon(engine_status=was)), "outputs")
    assert [check.level for check in found] == [Level.PASS, Level.WARN]
    assert "90 s ago: HDMI-A-1 is off" in found[1].sentence


def test_a_daemon_with_a_test_picture_captures_no_display() -> None:
    pattern = daemon(output(source=protocol.Source.PATTERN, card="", writeback=""))
    assert levels(machine(daemon=pattern), "outputs") == [Level.WARN]
    blind = machine(daemon=pattern, examination=None, command="")
    assert cause(blind) == ("outputs", "no-output", 4)


def test_a_daemon_that_shows_this_user_nothing_says_so() -> None:
    facts = machine(user=ALICE, daemon=Daemon(None, "0.1.0"))
    assert cause(facts) == ("outputs", "no-output", 4)
    assert checks_of(facts, "outputs")[0].sentence == "captured shows user alice no output"


# -- drivers that lose captures ---------------------------------------------------------------

VKMS = examination(card("vkms", quirks=[LOSES]))


def test_a_driver_that_is_known_to_lose_and_lost_does_lose() -> None:
    facts = machine(VKMS, daemon=daemon(engine_status=engine(lost=1, captured=29)))
    assert cause(facts) == ("losses", "loses-captures", 1)
    found = root_cause(examine(facts))
    assert found is not None
    assert "1 of 30 captures of HDMI-A-1" in found.sentence
    assert found.remedy == "take another kernel"


def test_a_driver_that_is_known_to_lose_and_captured_little_may_lose() -> None:
    facts = machine(VKMS, daemon=daemon(engine_status=engine(captured=3)))
    assert levels(facts, "losses") == [Level.WARN]
    assert exit_status(examine(facts)) == 0


def test_a_driver_that_is_known_to_lose_and_lost_none_of_many_is_well() -> None:
    assert levels(machine(VKMS), "losses") == [Level.PASS]


def test_a_driver_that_nobody_knows_to_lose_is_warned_of_when_it_did() -> None:
    facts = machine(daemon=daemon(engine_status=engine(lost=1)))
    assert levels(facts, "losses") == [Level.WARN]


@pytest.mark.parametrize(
    "changes", [{"word": "out-of-step"}, {"state": protocol.EngineState.DOUBTED}]
)
def test_any_driver_that_is_out_of_step_loses(changes: dict[str, object]) -> None:
    facts = machine(daemon=daemon(engine_status=engine(lost=1, **changes)))
    assert cause(facts) == ("losses", "loses-captures", 1)


def test_a_capture_of_more_than_two_frames_time_is_slow() -> None:
    # At 60 Hz two and a half frames are 41.7 ms.
    slow = engine(commit_to_fence_p50_us=42000, commit_to_fence_p99_us=50000)
    assert levels(machine(daemon=daemon(engine_status=slow)), "latency") == [Level.WARN]


def test_a_quirk_that_nothing_else_would_show_is_a_warning() -> None:
    quirk = {"word": "false-success", "sentence": "it lies", "remedy": "", "is_warning": True}
    facts = machine(examination(card("msm", quirks=[quirk])))
    (_, check) = checks_of(facts, "driver")
    assert (check.level, check.sentence) == (Level.WARN, "msm: it lies")


# -- what cannot be seen ----------------------------------------------------------------------


def test_without_the_daemons_program_the_daemons_word_counts() -> None:
    facts = machine(examination=None, command="")
    assert failures(facts) == []
    assert levels(facts, "program") == [Level.SKIP]
    assert summary(facts, examine(facts)).startswith("This machine can be captured: HDMI-A-1")


def test_without_program_and_daemon_the_socket_is_the_cause() -> None:
    facts = without_daemon(examination=None, command="")
    assert cause(facts) == ("socket", "unreachable", 3)


def test_programs_of_two_versions_are_a_warning() -> None:
    older = examination(card()) | {"version": "0.0.9"}
    assert levels(machine(older), "program") == [Level.WARN]


def test_wrong_settings_are_a_cause() -> None:
    error = {
        "code": "usage",
        "reason": "captured.toml: buffers 1 is not",
        "hint": "",
        "is_secret": 0,
    }
    facts = without_daemon(examination(card(), error=error))
    assert cause(facts) == ("settings", "usage", 2)


def test_settings_that_this_user_may_not_read_are_none() -> None:
    error = {"code": "usage", "reason": "captured.toml: Permission denied", "hint": "",
             "is_secret": True}  # fmt: skip
    assert levels(machine(examination(card(), error=error)), "settings") == [Level.PASS]


def test_a_socket_in_a_closed_directory_is_a_matter_of_permission() -> None:
    problem = Problem("not-allowed", "permission denied", "", 7)
    facts = machine(socket=SocketFile("/root/x.sock", problem=problem), daemon=patients.NO_DAEMON)
    assert cause(facts) == ("socket", "not-allowed", 7)


def test_facts_of_a_newer_program_are_read_as_far_as_they_are_known() -> None:
    newer = card(colour="blue", pairs=[pair(depth=3)])
    assert failures(machine(examination(newer))) == []

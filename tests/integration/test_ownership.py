"""Shares are ours until a sale, a corporate action or an operator says otherwise, whatever a list leaves out."""

from __future__ import annotations

import pytest
from test_alpaca_venue import Scene, equal
from test_engine_at_realistic_alpaca import ONE_LOOK, covered, deed, held, holding

from trading_platform.alpaca_server.faults import Fault, FaultKind

POSITIONS = r"^/v2/positions(\?|$)"


def look_later(scene: Scene) -> None:
    scene.look(scene.server.now + ONE_LOOK)


@pytest.mark.parametrize(
    "fault",
    [
        Fault(FaultKind.VANISHED_POSITIONS, times=None),
        Fault(FaultKind.REWRITE, path=POSITIONS, fields={"qty": "0"}, times=None),
        Fault(FaultKind.REWRITE, path=POSITIONS, fields={"qty": "4"}, times=None),
    ],
    ids=["no positions", "of no shares", "of fewer shares"],
)
def test_position_that_is_left_out_at_every_look_stays_ours_and_keeps_its_stop(fault: Fault) -> None:
    with holding() as scene:
        fault.struck = 0
        scene.server.faults.add(fault)
        for _ in range(4):
            look_later(scene)
        assert (held(scene), covered(scene), scene.book.quantity("AAA")) == (10.0, 10.0, 10.0)
        assert scene.book.manual == {}
        assert "AAA" in scene.door.reasons
        scene.server.lift_faults()
        look_later(scene)
        assert scene.door.reasons == {}
        equal(scene)


def test_shares_that_have_gone_without_a_word_are_given_up_at_the_second_look() -> None:
    with holding() as scene:
        account = scene.server.account
        account.positions.pop("AAA")  # and with them goes what they were worth
        look_later(scene)
        assert scene.book.quantity("AAA") == 10.0
        look_later(scene)
        assert scene.book.quantity("AAA") == 0.0


def test_no_new_risk_at_all_while_much_is_unexplained() -> None:
    with holding(shares=400.0) as scene:  # a fifth of the account
        scene.server.faults.add(Fault(FaultKind.VANISHED_POSITIONS, times=None))
        look_later(scene)
        assert "unexplained" in (scene.door.unreconciled or "")
        scene.server.lift_faults()
        look_later(scene)
        assert scene.door.unreconciled is None


def test_an_option_of_the_owners_does_not_hide_that_shares_are_gone() -> None:
    with holding() as scene:
        deed(scene, "foreign", kind="option", qty=2.0, price=3.0, filled=True)
        look_later(scene)
        scene.server.account.positions.pop("AAA")
        look_later(scene)
        look_later(scene)
        assert scene.book.quantity("AAA") == 0.0

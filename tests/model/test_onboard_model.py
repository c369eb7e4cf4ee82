"""The life of a device under random acts of people, of time and of the device, against a model that remembers words.

The real side is files: records, requests with real signatures, the journal. The model knows what was approved, by name.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from gateway.core.errors import ConfigError
from gateway.security.onboard.life import TABLE, State, Step, after, lived
from tests.parts.onboarding import Ward

FIRMWARES = ("1.0", "2.0", "3.0")
STEPS = st.sampled_from(list(Step))


def test_the_table_leads_everywhere_and_out_of_the_end_nowhere() -> None:
    reached = {State.DRAFT}
    while more := {to for (at, _), to in TABLE.items() if at in reached} - reached:
        reached |= more
    assert reached == set(State)
    assert not [step for (at, step) in TABLE if at is State.RETIRED]
    assert [step for (at, step) in TABLE if at is State.REVOKED] == [Step.RETIRE]
    for state in State:
        for step in Step:
            if (state, step) in TABLE:
                assert after(state, step) is TABLE[state, step]
            else:
                with pytest.raises(ConfigError, match=f"{step} is not possible: the device is {state}"):
                    after(state, step)


def test_nothing_leads_to_active_but_over_an_approval() -> None:
    """All paths of six steps: whoever is approved or active has been through APPROVE."""
    paths: dict[tuple[State, bool], None] = {(State.DRAFT, False): None}
    for _ in range(12):
        for state, approved in list(paths):
            for step in Step:
                if (state, step) in TABLE:
                    paths[TABLE[state, step], approved or step is Step.APPROVE] = None
    for state in (State.APPROVED, State.ACTIVE, State.SUSPENDED, State.DRIFTED, State.EXPIRED):
        assert (state, False) not in paths
    assert lived([Step.SUBMIT, Step.APPROVE, Step.ACTIVATE, Step.SUSPEND, Step.RESUME]) is State.ACTIVE


class Life(RuleBasedStateMachine):
    """The model: a few words about what is so."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.ward = Ward(self.folder, drift="hold")
        self.firmware = "1.0"  # as the record says
        self.requests: list[tuple[str, set[str]]] = []  # of each revision: its firmware, and who has signed
        self.suspended = self.revoked = self.retired = False
        self.says: str | None = None
        self.days = 0

    def teardown(self) -> None:
        shutil.rmtree(self.folder)

    # ---- the dumb model

    @property
    def good(self) -> bool:
        return any(firmware == self.firmware and signed >= {"mso", "jkr"} for firmware, signed in self.requests)

    @property
    def over(self) -> bool:
        return self.days >= 300

    @property
    def drifted(self) -> bool:
        return self.says is not None and self.says != self.firmware

    @property
    def opens(self) -> bool:
        stopped = self.suspended or self.revoked or self.over or self.drifted
        return self.good and not stopped

    # ---- what happens

    @rule(firmware=st.sampled_from(FIRMWARES))
    def edit(self, firmware: str) -> None:
        self.firmware = firmware
        self.ward.record("A-1", firmware=firmware, review="2027-03-28")  # day 300

    @rule(by=st.sampled_from(["lev", "mso"]))
    def submit(self, by: str) -> None:
        self.ward.record("A-1", firmware=self.firmware, review="2027-03-28")
        refused = self.revoked or self.over or (self.good and not self.suspended and not self.drifted)
        try:
            self.ward.submit(by=by)
        except ConfigError:
            assert refused
        else:
            assert not refused
            signed = {"by mso"} if by == "mso" else set()
            self.requests.append((self.firmware, signed))

    @rule(name=st.sampled_from(["mso", "jkr", "abe", "its"]))
    def sign(self, name: str) -> None:
        if self.requests:
            self.ward.sign("A-1", len(self.requests), name)
            signed = self.requests[-1][1]
            if name == "its":  # the other one of that role counts as well
                name = "mso"
            elif name == "mso" and "by mso" in signed:
                return
            signed.add(name)

    @rule()
    def suspend(self) -> None:
        self._hand(Step.SUSPEND, not self.suspended and not self.revoked)

    @rule()
    def resume(self) -> None:
        stopped = self.suspended or (self.drifted and self.good)
        if self._hand(Step.RESUME, stopped and not self.revoked and self.good and not self.over):
            self.suspended, self.says = False, None

    @rule()
    def revoke(self) -> None:
        asked = bool(self.requests) and (self.ward.one().state is not State.DRAFT)
        self._hand(Step.REVOKE, asked and not self.revoked)

    @rule()
    def retire(self) -> None:
        self._hand(Step.RETIRE, self.revoked and not self.retired)

    @rule(firmware=st.sampled_from(FIRMWARES))
    def it_says(self, firmware: str) -> None:
        self.ward.later(seconds=1)
        self.ward.says(firmware=firmware)
        self.says = firmware

    @rule(days=st.sampled_from([1, 100, 250]))
    def time_passes(self, days: int) -> None:
        self.ward.later(days=days)
        self.days += days

    def _hand(self, step: Step, possible: bool) -> bool:
        try:
            self.ward.hand(step)
        except ConfigError:
            assert not possible, step
            return False
        assert possible, step
        self.suspended = self.suspended or step is Step.SUSPEND
        self.revoked = self.revoked or step is Step.REVOKE
        self.retired = self.retired or step is Step.RETIRE
        return True

    @invariant()
    def it_may_be_opened_when_the_model_says_so(self) -> None:
        one = self.ward.one()
        assert one.may_open is self.opens, one
        if self.retired or self.revoked:
            assert one.state is (State.RETIRED if self.retired else State.REVOKED)
        elif self.good:
            expected = State.SUSPENDED if self.suspended else State.EXPIRED if self.over else State.DRIFTED
            assert one.state is (State.APPROVED if self.opens else expected), one
        assert one.may_open or one.reasons


Life.TestCase.settings = settings(
    max_examples=30, stateful_step_count=15, deadline=None, suppress_health_check=list(HealthCheck)
)
TestLife = Life.TestCase

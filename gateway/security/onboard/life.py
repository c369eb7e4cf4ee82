"""The life of a device on this gateway: states, what leads from one to another, and nothing else. Pure.

    draft ─► submitted ─► approved ─► active ◄─► suspended ─► revoked ─► retired
                              │          │
                              └► expired, drifted: by themselves, and back by a new approval

TABLE is the whole of it. What is not in the table is refused.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

from gateway.core.errors import ConfigError


class State(StrEnum):
    """Where a device is."""

    DRAFT = "draft"
    SUBMITTED = "submitted"
    APPROVED = "approved"
    ACTIVE = "active"
    SUSPENDED = "suspended"
    REVOKED = "revoked"
    RETIRED = "retired"
    EXPIRED = "expired"
    DRIFTED = "drifted"


class Step(StrEnum):
    """What happens to a device."""

    SUBMIT = "submit"  # a person asks for its approval
    AMEND = "amend"  # what was submitted is not what is there any more
    APPROVE = "approve"  # the signatures are good
    ACTIVATE = "activate"  # the gateway has opened it
    SUSPEND = "suspend"  # one person stops it
    RESUME = "resume"
    REVOKE = "revoke"  # the approval is taken back for good
    RETIRE = "retire"  # it is gone, only its papers stay
    EXPIRE = "expire"  # review, approval, or the acceptance of a risk is over
    DRIFT = "drift"  # it is not what was approved


_DONE = (State.APPROVED, State.ACTIVE)
_OUT = (State.EXPIRED, State.DRIFTED)
TABLE: dict[tuple[State, Step], State] = {
    (State.DRAFT, Step.SUBMIT): State.SUBMITTED,
    (State.SUBMITTED, Step.SUBMIT): State.SUBMITTED,
    (State.SUBMITTED, Step.AMEND): State.DRAFT,
    (State.SUBMITTED, Step.APPROVE): State.APPROVED,
    (State.APPROVED, Step.ACTIVATE): State.ACTIVE,
    **{(state, Step.SUSPEND): State.SUSPENDED for state in (*_DONE, *_OUT)},
    (State.SUSPENDED, Step.RESUME): State.ACTIVE,
    (State.DRIFTED, Step.RESUME): State.ACTIVE,  # what it says of itself is looked at again
    **{(state, Step.EXPIRE): State.EXPIRED for state in (*_DONE, *_OUT)},
    **{(state, Step.DRIFT): State.DRIFTED for state in (*_DONE, State.DRIFTED)},
    (State.EXPIRED, Step.DRIFT): State.EXPIRED,
    **{(state, Step.SUBMIT): State.SUBMITTED for state in _OUT},
    **{
        (state, Step.REVOKE): State.REVOKED
        for state in State
        if state not in (State.DRAFT, State.REVOKED, State.RETIRED)
    },
    (State.REVOKED, Step.RETIRE): State.RETIRED,
}
# What one person may do on the box; all else follows from the files.
BY_HAND = (Step.SUSPEND, Step.RESUME, Step.REVOKE, Step.RETIRE)


def after(state: State, step: Step) -> State:
    """Return the state after a step. Raises: ConfigError when the table does not have it."""
    found = TABLE.get((state, step))
    if found is None:
        possible = sorted(str(s) for (at, s) in TABLE if at is state)
        hint = "possible: " + ", ".join(possible) if possible else "nothing leads on from here"
        raise ConfigError(f"{step} is not possible: the device is {state}", hint=hint)
    return found


def lived(steps: Iterable[Step], state: State = State.DRAFT) -> State:
    """Return the state after several steps. Raises: ConfigError at the first that is not possible."""
    for step in steps:
        state = after(state, step)
    return state

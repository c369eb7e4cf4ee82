"""Alert lists against a dumb model: what began, changed and ended, for any order of any lists."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.core.alert import AlertList, Phase, pack, pack_count, read_note, unpack, unpack_count
from gateway.core.frame import Alert, Alerts, Frame
from gateway.core.notes import MAX_NOTES, NoteList, cut
from gateway.core.profile import MetricSpec
from gateway.core.sample import Flag

SPECS = [
    (0, MetricSpec("1.1.1.1", "MDC_EVT_LO", "", "alert", kind="alert", object=7, alert="physiological")),
    (1, MetricSpec("1.1.1.2", "MDC_EVT_HI", "", "alert", kind="alert", object=8, of="1.2.1.1", priority=1)),
    (2, MetricSpec("1.1.1.3", "MDC_EVT_ALARM", "", "alert", kind="alert", object="*", alert="technical")),
]
PATHS: dict[int | str, str] = {100: "1.2.1.1", 200: "1.2.1.2"}

alerts = st.builds(
    Alert,
    object=st.sampled_from([7, 8, 9, "text"]),
    source=st.sampled_from([0, 100, 200]),
    priority=st.integers(0, 3),
    flags=st.sampled_from([0, int(Flag.ALERT_INHIBITED)]),
)


def told(rows: list[tuple[int, ...]], notes: NoteList) -> dict[tuple[int, str], tuple[Phase, int, bool]]:
    """(metric, note) -> (phase, priority, active) of the rows of alerts."""
    found = {}
    for _, _, value, metric, _, _, flags, note in rows:
        if unpack_count(value) is None:
            found[metric, notes.text(note)] = (*unpack(value), bool(flags & Flag.ALERT_ACTIVE))
    return found


@given(st.lists(st.lists(alerts, max_size=5), min_size=1, max_size=8))
def test_what_is_active_began_and_what_is_gone_ended(lists: list[list[Alert]]) -> None:
    notes, followed = NoteList(), AlertList(SPECS, PATHS)
    model: set[tuple[object, object]] = set()
    for n, active in enumerate(lists):
        rows = followed.rows(Frame("alert", Alerts(tuple(active)), n), Alerts(tuple(active)), 3, notes)
        assert rows is not None
        said = told(rows, notes)
        # An event that the profile names is one alert for each thing it is about; row 8 is always about 1.2.1.1.
        # One that it does not name is what its text says.
        now = {
            (a.object, 100 if a.object == 8 else a.source)
            if a.object in (7, 8)
            else (a.text or f"event {a.object}", a.source)
            for a in active
        }
        started = sum(phase is Phase.START for phase, _, _ in said.values())
        ended = sum(phase is Phase.END for phase, _, _ in said.values())
        assert unpack_count(rows[-1][2]) == len(now)
        assert (started, ended) == (len(now - model), len(model - now))
        assert all(is_active == (phase is not Phase.END) for phase, _, is_active in said.values())
        model = now


def test_the_life_of_an_alert() -> None:
    notes, followed = NoteList(), AlertList(SPECS, PATHS)

    def step(*active: Alert) -> list[tuple[str, str, int]]:
        rows = followed.rows(Frame("alert", Alerts(active), 5), Alerts(active), 0, notes) or []
        return [
            (read_note(notes.text(row[7]))[0], unpack(row[2])[0].name, unpack(row[2])[1])
            for row in rows
            if unpack_count(row[2]) is None
        ]

    assert step(Alert(7, 100, 2)) == [("1.2.1.1", "START", 2)]
    assert step(Alert(7, 100, 2)) == [("1.2.1.1", "CONTINUE", 2)]
    assert step(Alert(7, 100, 3)) == [("1.2.1.1", "ESCALATE", 3)]
    assert step(Alert(7, 100, 1)) == [("1.2.1.1", "DEESCALATE", 1)]
    assert step(Alert(7, 100, 1, flags=int(Flag.ALERT_INHIBITED))) == [("1.2.1.1", "UPDATE", 1)]
    assert step() == [("1.2.1.1", "END", 1)]
    assert step() == []


def test_an_event_that_the_profile_does_not_name_is_shown_as_unknown() -> None:
    notes, followed = NoteList(), AlertList(SPECS, PATHS)
    active = (Alert(999, 100), Alert(998, 0, text="Pumpe fejl"))
    rows = followed.rows(Frame("alert", Alerts(active), 5), Alerts(active), 0, notes) or []
    assert [(row[3], read_note(notes.text(row[7]))) for row in rows[:2]] == [
        (2, ("1.2.1.1", "event 999")),
        (2, ("", "Pumpe fejl")),
    ]


def test_an_unknown_event_whose_text_changes_ends_under_its_old_text() -> None:
    """A receiver tells unknown events apart by their text: an end under another text would leave the first for ever."""
    notes, followed = NoteList(), AlertList(SPECS, PATHS)
    said = []
    for active in ((Alert(9, text="SpO2 84"),), (Alert(9, text="SpO2 83"),), ()):
        rows = followed.rows(Frame("alert", Alerts(active), 5), Alerts(active), 0, notes) or []
        said.append({(text, phase.name) for (_, text), (phase, _, _) in told(rows, notes).items()})
    assert said == [
        {("|SpO2 84", "START")},
        {("|SpO2 83", "START"), ("|SpO2 84", "END")},
        {("|SpO2 83", "END")},
    ]


def test_two_unknown_events_with_one_text_are_one_alert_until_both_are_gone() -> None:
    notes, followed = NoteList(), AlertList(SPECS, PATHS)
    phases = []
    for active in ((Alert(9, text="x"), Alert(10, text="x")), (Alert(10, text="x"),), ()):
        rows = followed.rows(Frame("alert", Alerts(active), 5), Alerts(active), 0, notes) or []
        phases.append([phase.name for phase, _, _ in told(rows, notes).values()])
    assert phases == [["START"], ["CONTINUE"], ["END"]]


def test_without_room_for_texts_an_alert_keeps_what_it_is_about() -> None:
    notes, followed = NoteList(), AlertList(SPECS, PATHS)

    def step(*active: Alert) -> list[tuple[int, str, str]]:
        rows = followed.rows(Frame("alert", Alerts(active), 5), Alerts(active), 0, notes) or []
        return [(metric, text, phase.name) for (metric, text), (phase, _, _) in told(rows, notes).items()]

    step(Alert(7, 100, text="first"))
    while notes.index(f"filler {len(notes._texts)}"):
        pass
    assert step(Alert(7, 100, text="second")) == [(0, "1.2.1.1|", "UPDATE")]
    # Unknown events cannot be told apart then: they are one, active until the last of them has gone.
    assert [said[1:] for said in step(Alert(8), Alert(9, 100), Alert(10, 100)) if said[0] == 2] == [
        ("1.2.1.1|", "START")
    ]
    assert [said[1:] for said in step(Alert(8), Alert(10, 100)) if said[0] == 2] == [("1.2.1.1|", "CONTINUE")]


def test_two_devices_of_one_profile_do_not_share_their_alerts() -> None:
    notes, one = NoteList(), AlertList(SPECS, PATHS)
    other = one.fresh()
    active = Alerts((Alert(7),))
    assert len(one.rows(Frame("alert", active, 5), active, 0, notes) or []) == 2
    assert len(other.rows(Frame("alert", Alerts(()), 5), Alerts(()), 1, notes) or []) == 1


def test_lists_of_two_kinds_are_each_whole_for_themselves() -> None:
    notes, followed = NoteList(), AlertList(SPECS, PATHS)
    active, none = Alerts((Alert(7),)), Alerts(())
    followed.rows(Frame("patient", active, 5), active, 0, notes)
    rows = followed.rows(Frame("technical", none, 5), none, 0, notes) or []
    assert [unpack_count(row[2]) for row in rows] == [1]  # nothing ended, one is active


def test_phase_and_priority_fit_into_a_value() -> None:
    for phase in Phase:
        for priority in range(4):
            assert unpack(pack(phase, priority)) == (phase, priority)
            assert unpack_count(pack(phase, priority)) is None
    assert [unpack_count(pack_count(n)) for n in (0, 1, 256)] == [0, 1, 256]


def test_notes_are_cut_at_a_character_and_have_an_end() -> None:
    assert cut("æ" * 200).decode() == "æ" * 62
    notes = NoteList()
    numbers = [notes.index(str(i)) for i in range(MAX_NOTES + 5)]
    assert numbers == [*range(1, MAX_NOTES + 1), 0, 0, 0, 0, 0]
    assert (notes.text(1), notes.text(0)) == ("0", "")

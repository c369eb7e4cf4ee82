"""Threat → the attack on it, and the refusal that is expected. Each attack is a test that fails when it gets through.

Attacks of this folder are small and pure; the others are in the tests of the part that refuses them.
"""

from __future__ import annotations

from typing import NamedTuple


class Attack(NamedTuple):
    """tests: what tries it; refusal: what has to happen."""

    tests: tuple[str, ...]
    refusal: str


HERE, STOLEN = "tests/attacks/test_attacks.py", "tests/attacks/test_stolen_box.py"
LEAK = "tests/attacks/test_backup_leak.py"
ATTACKS = {
    "rogue-device": Attack(
        (
            f"{HERE}::test_rogue_device",
            "tests/unit/test_onboard_guard.py::test_what_is_plugged_in_and_configured_nowhere_is_reported",
        ),
        "the port is not opened, no firewall rule is made; what is configured nowhere is reported",
    ),
    "cable-tap": Attack(
        ("tests/e2e/test_certs_matrix.py::test_no_bad_certificate_of_a_broker_is_taken", f"{HERE}::test_cable_tap"),
        "the handshake fails and nothing is sent; a production configuration without TLS does not start",
    ),
    "malicious-profile": Attack(
        (
            f"{HERE}::test_malicious_profile",
            "tests/unit/test_trust_load.py::test_a_start_records_and_an_older_file_is_refused_after_it",
        ),
        "the profile is refused with its line; an older revision is refused",
    ),
    "hostile-bytes": Attack(
        (
            f"{HERE}::test_hostile_bytes",
            "tests/conformance/test_exam_fuzz.py::test_any_bytes_give_samples_faults_or_nothing",
        ),
        "no driver raises, and what it keeps is bounded",
    ),
    "stolen-box": Attack(
        (
            f"{STOLEN}::test_nothing_can_be_read_in_any_coding",
            f"{STOLEN}::test_our_own_tools_refuse_and_name_the_key",
            f"{STOLEN}::test_what_the_thief_writes_back_is_not_believed",
            "tests/model/test_spool_sealed.py::test_nothing_of_a_message_can_be_read_on_the_disk",
        ),
        "nothing of a message is readable on the disk; our tools refuse; what is written back is not believed",
    ),
    "cloned-gateway": Attack(
        (
            "tests/e2e/test_certs_broker.py::test_a_gateway_may_do_what_is_its_own_and_nothing_else_and_is_told",
            "tests/e2e/test_certs_broker.py::test_a_revoked_gateway_that_is_connected_is_put_out",
        ),
        "another's topics are denied and noticed; a revoked session ends",
    ),
    "broker-compromise": Attack(
        (
            f"{HERE}::test_broker_compromise",
            "tests/unit/test_sink_mqtt_flood.py::test_a_flood_of_foreign_answers_leaves_room_for_those_of_messages_under_way",
        ),
        "what is no acknowledgement of a message under way has no effect",
    ),
    "flooding": Attack(
        (
            "tests/unit/test_sink_mqtt_flood.py::test_a_flood_is_said_once_and_counted",
            "tests/unit/test_audit_log.py::test_a_flood_of_the_same_is_counted_and_does_not_push_out_the_rest",
        ),
        "queues stay bounded, the flood is counted, others go on",
    ),
    "insider-widens": Attack(
        (f"{HERE}::test_insider_widens", "tests/unit/test_onboard.py::test_the_submitter_cannot_approve"),
        "one signature, the same person twice, the submitter: not approved; a change voids the approval",
    ),
    "log-tampering": Attack(
        (
            "tests/unit/test_audit_verify.py::test_every_change_is_found",
            "tests/unit/test_audit_verify.py::test_any_byte_changed_anywhere_is_found",
        ),
        "verify finds edit, removal, reorder and truncation; exit code 3",
    ),
    "supply-chain": Attack(
        (
            "tests/unit/test_inventory.py::test_one_byte_changed_a_file_gone_and_one_more_are_found",
            "tests/unit/test_inventory.py::test_bytecode_that_is_not_of_its_source_is_found",
        ),
        "a changed, missing or foreign file is named",
    ),
    "clock-manipulation": Attack(
        (f"{HERE}::test_clock_manipulation", "tests/unit/test_clock.py::test_a_jump_is_a_step_of_its_size"),
        "the step is marked; an expired approval is expired",
    ),
    "backup-leak": Attack(
        (
            f"{LEAK}::test_no_key_no_password_and_no_message_is_in_it",
            f"{LEAK}::test_a_copy_that_was_changed_is_refused_by_its_digest",
            f"{LEAK}::test_what_he_writes_into_a_copy_gives_nobody_a_right",
        ),
        "no key, password or message is in a backup; a changed copy is refused, or gives nobody a right",
    ),
    "patient-mix-up": Attack(
        (
            "tests/unit/test_places.py::test_wrong_value_on_wrong_patient_bed_edited_while_the_sender_was_down",
            "tests/unit/test_places.py::test_wrong_value_on_wrong_patient_names_swapped_between_ports",
        ),
        "samples go out under the place where they were measured",
    ),
}

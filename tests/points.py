"""Point of the checklist → the tests that show it. `make evidence` runs them and writes the results.

    python -m tests.points FILE [POINT …]     only these points; the others stay unknown

The file is what `mdi security selfcheck --evidence FILE` and the dossier read (gateway.security.dossier.results). What
is not here is shown on the box, or held by the site.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from xml.etree import ElementTree

from gateway.security.dossier.collect import tool_version
from gateway.security.dossier.results import software

ROOT = Path(__file__).resolve().parent.parent
CERTS, BROKER = "tests/e2e/test_certs_matrix.py", "tests/e2e/test_certs_broker.py"
ACCESS, WEB = "tests/unit/test_access.py", "tests/unit/test_web.py"
CANARY, DEB, LAN = "tests/e2e/test_canary.py", "tests/e2e/test_deb.py", "tests/e2e/test_netrules_lan.py"
KEEPING, SYSLOG = "tests/unit/test_keeping.py", "tests/unit/test_audit_syslog.py"
READ_ONLY = "tests/unit/test_read_only.py"
VALUES = "tests/conformance/test_exam_values.py"
POINTS = {
    1: (
        "tests/unit/test_certs.py::test_a_request_names_the_gateway_and_holds_no_private_key",
        "tests/unit/test_certs_store.py::test_from_the_request_to_the_certificate_by_the_commands",
    ),
    2: (
        f"{CERTS}::test_the_broker_takes_no_bad_certificate_of_a_gateway_and_the_state_says_why",
        f"{CERTS}::test_no_bad_certificate_of_a_broker_is_taken",
        f"{CERTS}::test_a_revoked_certificate_of_a_broker_is_not_taken",
    ),
    3: ("tests/unit/test_certs.py::test_no_key_switches_the_checks_off_and_none_takes_a_password",),
    4: (
        f"{BROKER}::test_a_gateway_may_do_what_is_its_own_and_nothing_else_and_is_told",
        f"{BROKER}::test_a_gateway_hears_nothing_of_another",
    ),
    5: (
        "tests/unit/test_secrets.py::test_there_is_no_secret_in_the_tree",
        "tests/unit/test_certs.py::test_the_configuration_wants_certificates_keeps_state_and_knows_no_password",
    ),
    6: (
        f"{ACCESS}::test_each_role_may_exactly_its_verbs",
        f"{ACCESS}::test_groups_beside_the_first_count_and_the_highest_wins",
    ),
    7: (
        f"{WEB}::test_only_reading_is_possible",
        f"{WEB}::test_behind_a_proxy_somebody_must_be_named",
        f"{WEB}::test_a_proxy_that_is_not_configured_is_refused",
        f"{WEB}::test_no_address_but_this_machine",
    ),
    8: (
        f"{ACCESS}::test_a_session_ends_by_the_clock",
        f"{ACCESS}::test_an_account_is_locked_out_and_let_in_again",
        f"{ACCESS}::test_whatever_happens_nobody_gets_more_than_the_limits",
    ),
    9: (
        "tests/unit/test_onboard.py::test_too_few_signatures_are_refused_each_with_its_message",
        "tests/unit/test_onboard.py::test_the_same_person_twice_is_one_person",
        "tests/unit/test_onboard.py::test_the_submitter_cannot_approve",
        "tests/unit/test_trust_people.py::test_four_eyes",
    ),
    10: (
        f"{ACCESS}::test_break_glass_gives_a_role_for_minutes",
        f"{ACCESS}::test_break_glass_is_short_and_kept_strictly",
    ),
    11: (
        "tests/unit/test_modbus_transmit.py::test_of_256_function_codes_only_those_of_the_blocks_pass_and_only_with_their_registers",
        "tests/unit/test_modbus_transmit.py::test_no_other_function_passes_in_its_own_shape",
        f"{READ_ONLY}::test_socket_of_256_function_codes_only_reading_ones_arrive",
        f"{READ_ONLY}::test_pty_of_256_function_codes_only_reading_ones_arrive",
    ),
    12: (
        "tests/unit/test_links_can.py::test_writing_is_refused_and_nothing_reaches_the_bus",
        "tests/unit/test_links_can.py::test_no_code_here_can_send",
        "tests/unit/test_links_can_mode.py::test_the_port_of_a_controller_that_may_send_is_not_opened_in_production",
        f"{READ_ONLY}::test_bus_the_link_of_production_sends_nothing_at_all",
    ),
    13: (
        "tests/unit/test_transmit.py::test_any_other_bytes_are_refused",
        f"{READ_ONLY}::test_pty_only_messages_of_the_profile_arrive",
        f"{VALUES}::test_only_what_the_grammar_allows_is_sent",
    ),
    14: ("tests/unit/test_onboard.py::test_what_a_device_says_flags_or_holds",),
    15: ("tests/unit/test_onboard_guard.py::test_a_device_that_is_plugged_in_is_reported_once_and_never_opened",),
    16: ("tests/conformance/test_exam_fuzz.py::test_any_bytes_give_samples_faults_or_nothing",),
    17: (f"{VALUES}::test_nothing_measured_is_never_a_value",),
    18: (
        "tests/unit/test_trust_load.py::test_a_start_records_and_an_older_file_is_refused_after_it",
        "tests/unit/test_trust_signed.py::test_each_way_to_be_refused_has_its_own_message",
        "tests/unit/test_trust_minisign.py::test_every_bit_of_the_file_counts",
        "tests/unit/test_trust_minisign.py::test_every_bit_of_the_trusted_comment_counts",
    ),
    19: (
        "tests/attacks/test_attacks.py::test_malicious_profile",
        "tests/unit/test_hostile_profiles.py::test_hostile_profiles_are_refused_in_one_line",
        "tests/unit/test_hostile_toml.py::test_a_hostile_profile_is_one_line",
    ),
    20: ("tests/unit/test_inventory.py::test_one_byte_changed_a_file_gone_and_one_more_are_found",),
    21: (f"{DEB}::test_two_builds_are_the_same_bytes",),
    22: (
        "tests/unit/test_packaging.py::test_every_dependency_is_locked_by_its_hash",
        "tests/unit/test_packaging.py::test_the_lock_of_the_package_is_the_lock_of_the_tests",
        f"{DEB}::test_it_is_installed_upgraded_taken_back_and_removed_and_the_spool_is_kept",
    ),
    23: (
        "tests/unit/test_inventory.py::test_the_bill_of_materials_of_this_host_is_valid_by_the_schema_of_the_standard",
    ),
    24: ("tests/unit/test_inventory.py::test_a_decision_closes_what_it_is_about_until_it_expires",),
    25: (
        f"{DEB}::test_it_is_installed_upgraded_taken_back_and_removed_and_the_spool_is_kept",
        "tests/faults/test_f24_upgrade.py::test_another_version_refuses_or_delivers_and_deletes_nothing",
        "tests/faults/test_f24_upgrade.py::test_the_same_version_goes_on_with_a_full_spool",
        "tests/unit/test_inventory_cli.py::test_a_byte_changed_after_the_release_is_tampering",
    ),
    27: (
        "tests/unit/test_netrules_ways.py::test_what_no_conduit_allows_gets_no_rule",
        f"{LAN}::test_a_user_reaches_exactly_what_is_declared",
        f"{LAN}::test_nobody_comes_in_but_what_announces_itself",
    ),
    28: (f"{LAN}::test_a_user_reaches_exactly_what_is_declared",),
    29: (
        "tests/e2e/test_netrules_drift.py::test_what_is_changed_by_hand_is_found_written_down_and_restored",
        "tests/e2e/test_netrules_drift.py::test_a_listener_and_a_connection_that_nobody_declared_are_found",
    ),
    30: (
        f"{LAN}::test_nobody_comes_in_but_what_announces_itself",
        f"{WEB}::test_no_address_but_this_machine",
    ),
    31: (f"{LAN}::test_nothing_passes_through_the_box",),
    32: (f"{CERTS}::test_versions_and_ciphers",),
    33: ("tests/unit/test_netrules_ways.py::test_services_are_open_to_their_own_user_only_where_a_conduit_names_them",),
    34: ("tests/unit/test_certs.py::test_each_threshold_is_said_once_and_a_new_certificate_begins_anew",),
    35: ("tests/e2e/test_certs_rotation.py::test_key_and_certificate_are_rotated_under_load",),
    36: (
        "tests/e2e/test_certs_rotation.py::test_the_ca_is_rolled_over_under_load",
        f"{BROKER}::test_a_new_ca_is_taken_by_a_sighup_when_each_ca_has_its_list",
    ),
    37: (f"{BROKER}::test_a_revoked_gateway_that_is_connected_is_put_out",),
    38: (
        "tests/model/test_spool_sealed.py::test_nothing_of_a_message_can_be_read_on_the_disk",
        "tests/model/test_spool_sealed.py::test_what_somebody_changes_with_a_right_checksum_is_called_tampered",
        "tests/attacks/test_stolen_box.py::test_what_is_sealed_looks_like_chance",
    ),
    39: ("tests/unit/test_seal.py::test_without_a_key_production_does_not_begin",),
    41: (
        f"{CANARY}::test_nothing_of_a_person_comes_out",
        f"{CANARY}::test_a_crash_shows_where_and_not_what",
        "tests/unit/test_logs.py::test_no_way_into_a_line_lets_a_secret_out",
    ),
    42: (
        f"{KEEPING}::test_raw_blocks_hold_no_message_before_or_after",
        f"{KEEPING}::test_a_box_is_taken_out_of_service_and_that_is_certified",
        "tests/unit/test_spool.py::test_what_is_answered_does_not_stay_for_ever",
    ),
    43: (
        "tests/unit/test_sandbox.py::test_a_unit_keeps_what_no_unit_may_lose",
        "tests/unit/test_seal.py::test_nothing_shows_a_key",
    ),
    44: (
        "tests/unit/test_audit_log.py::test_each_event_has_meaning_titles_and_facts",
        "tests/unit/test_audit_log.py::test_all_that_the_program_writes_is_in_the_catalogue",
    ),
    45: (
        "tests/unit/test_audit_verify.py::test_every_change_is_found",
        "tests/unit/test_audit_verify.py::test_any_byte_changed_anywhere_is_found",
    ),
    46: ("tests/unit/test_audit_log.py::test_a_full_disk_is_counted_said_and_shown_and_nobody_waits",),
    47: (
        f"{SYSLOG}::test_udp",
        f"{SYSLOG}::test_local",
        f"{SYSLOG}::test_tls_wants_a_certificate_that_it_knows",
        f"{SYSLOG}::test_a_collector_that_is_away_holds_nobody_up",
    ),
    48: ("tests/unit/test_clock.py::test_a_clock_step_is_an_event_and_a_count",),
    49: (
        "tests/unit/test_dossier.py::test_known_answers_are_right",
        "tests/unit/test_audit_selftest.py::test_another_answer_than_the_known_one_is_found",
    ),
    50: (
        "tests/unit/test_sandbox.py::test_a_unit_is_no_more_exposed_than_its_limit",
        "tests/unit/test_sandbox.py::test_each_process_has_a_user_of_its_own",
    ),
    52: (
        "tests/faults/test_f17_noise.py::test_a_noisy_line_costs_the_lines_that_it_harms_and_no_other",
        "tests/faults/test_f01_kill_gateway.py::test_a_gateway_killed_at_any_moment_loses_nothing_accepted",
        "tests/faults/test_f16_unplug.py::test_an_unplugged_line_is_read_again_and_says_its_gap",
        "tests/faults/test_f07_disk_full.py::test_a_full_disk_is_declared_and_ends_with_the_space",
    ),
    53: (
        f"{KEEPING}::test_a_new_box_becomes_this_one_but_for_its_secrets",
        f"{KEEPING}::test_what_is_there_is_never_overwritten_silently",
        f"{KEEPING}::test_no_file_leaves_its_place",
    ),
    54: (
        "tests/unit/test_inventory.py::test_the_bill_of_materials_of_this_host_is_valid_by_the_schema_of_the_standard",
    ),
    55: (f"{LAN}::test_the_emergency_door_opens_for_its_host_and_shuts_with_its_sessions",),
}
# What a point asks for and no test shows: it stays unknown on every box, and the file says why.
OPEN = {
    25: (
        "that a box refuses a package without a signature: dpkg does not ask, mdi verify-install finds it afterwards",
        "that going back to an older version needs an approval: it needs root and dpkg",
    ),
}
INPUTS = 10_000_000  # for each driver and release (point 16)


def inputs() -> int:
    """Return how many inputs the fuzz of the drivers is told to make."""
    return int(os.environ.get("MDI_FUZZ", "0"))


def run(points: Collection[int]) -> dict[str, bool | None]:
    """Run the tests of these points; return test → passed. None: it did not run."""
    wanted = sorted({test for point in points for test in POINTS.get(point, ())})
    cases: list[ElementTree.Element] = []
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "junit.xml"
        command = [sys.executable, "-m", "pytest", f"--junitxml={report}", *wanted]
        if wanted:
            subprocess.run(command, cwd=ROOT, check=False)
        if report.is_file():
            cases = list(ElementTree.parse(report).iter("testcase"))
    found: dict[str, list[bool | None]] = {}
    for case in cases:
        name = f"{case.get('classname', '').replace('.', '/')}.py::{case.get('name', '').partition('[')[0]}"
        found.setdefault(name, []).append(outcome(case))
    return {test: together(found.get(test, [])) for test in wanted}


def outcome(case: ElementTree.Element) -> bool | None:
    """Return whether one case passed. None: it was skipped."""
    kinds = {child.tag for child in case}
    return False if kinds & {"failure", "error"} else None if "skipped" in kinds else True


def together(cases: Sequence[bool | None]) -> bool | None:
    """Return whether all cases of one test passed; one that was skipped, or none at all, is none."""
    return False if False in cases else None if None in cases or not cases else True


def rows(point: int, results: Mapping[str, bool | None]) -> list[dict[str, object]]:
    """Return what is said of one point."""
    said: list[dict[str, object]] = [{"test": test, "passed": results[test]} for test in POINTS.get(point, ())]
    said += [{"test": f"open: {what}", "passed": None} for what in OPEN.get(point, ())]
    if point == 16:
        made = inputs()
        said.append(
            {"test": f"{made} inputs for each driver, {INPUTS} are asked for", "passed": made >= INPUTS or None}
        )
    return said


def document(results: Mapping[str, bool | None], points: Collection[int], made: str) -> str:
    """Return the file."""
    found = {str(point): rows(point, results) for point in sorted(points)}
    head = {"version": tool_version(), "commit": commit(), "software": software(ROOT), "made": made}
    return json.dumps({**head, "points": found}, indent=1) + "\n"


def commit() -> str:
    """Return the commit that is tested, with a + when the files are not quite it."""
    words = ["git", "describe", "--always", "--abbrev=40", "--exclude=*", "--dirty=+"]
    said = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False).stdout.strip()
    return said or "unknown"


def main(path: Path, asked: Sequence[str]) -> int:
    """Run, write, tell. Return 0 when all that was asked for has passed, 2 when something has not."""
    points = sorted({int(word) for word in asked} or set(POINTS))
    before = software(ROOT)
    results = run(points)
    if software(ROOT) != before:
        print("the program was changed while it was tested: nothing is written", file=sys.stderr)
        return 2
    text = document(results, points, datetime.now(UTC).isoformat(timespec="seconds"))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    said = [row for rows_ in json.loads(text)["points"].values() for row in rows_]
    for row in said:
        if row["passed"] is not True:
            print("FAILED" if row["passed"] is False else "not shown", row["test"])
    print(f"{path}: {len(points)} points, {sum(row['passed'] is True for row in said)} of {len(said)} shown")
    return 0 if all(row["passed"] is True for row in said) else 2


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2:]))

//! Golden transcripts: stories of a partition or two. `UPDATE_GOLDEN=1` rewrites what the commands bring about;
//! commit only what you understand.

mod actions;
mod batches;
mod commands;
mod difference;
mod line;
mod render;
mod rows;
mod script;
mod stage;

use std::fs;
use std::path::PathBuf;

use script::{Part, parse};

macro_rules! transcripts {
    ($($name:ident)*) => {
        $(
            #[test]
            fn $name() {
                check(stringify!($name));
            }
        )*

        const NAMES: &[&str] = &[$(stringify!($name)),*];
    };
}

transcripts! {
    activity
    child_failures
    child_in_another_partition
    child_in_the_same_partition
    continue_as_new_when_suspended
    entities_signal_entities
    entity_batches_partly_done
    entity_calls
    events_processed
    fan_out_fan_in
    force_terminate
    once_and_again
    outstanding_work
    owner_lane
    purge_entity
    refused_actions
    request_retries
    rewind_after_retries
    rewind_consumes_what_the_worker_counts
    rewind_inside_a_critical_section
    rewind_inside_and_ended_meanwhile
    rewind_inside_what_is_asked_for_again
    rewind_of_a_child_id_of_another_execution
    rewind_of_a_scheduled_instance
    rewind_of_the_orchestrators_own_failure
    rewind_of_what_can_never_be
    rewind_with_activities_still_running
    rewind_with_timers
    rewind_with_unanswered_requests
    scheduled_start
    signal_repeated
    stale_answers
    stale_batches
    suspended_while_pending
    terminate_by_another_orchestration
    terminate_reaches_only_own_children
    terminate_running
    timer_race
    timers_due_already
    trap_02_custom_status
    trap_05_falsy_states
    trap_07_terminate_pending
    trap_08_terminate_while_suspended
    trap_09_recursive_terminate
    trap_10_suspend_and_resume_without_effect
    trap_11_suspend_and_resume
    trap_13_ended_instances_are_replaced
    trap_15_live_instance_is_replaced
    trap_18_restart
    trap_21_purge
    trap_24_twelve_events
    trap_28_timers_and_the_orchestrators_clock
    trap_30_timers_with_one_due_time
    trap_33_events_of_a_critical_section
    trap_35_events_between_orchestrations
    trap_36_undeliverable_events
    trap_37_activity_retried_under_its_action_id
    trap_38_child_retried_under_its_id
    trap_39_child_id_is_taken
    trap_40_ids_of_children
    trap_42_results_of_an_older_generation
    trap_43_events_survive_continue_as_new
    trap_44_actions_beside_continue_as_new
    trap_45_versions
    trap_47_tags
    trap_69_only_what_failed_is_rewound
    trap_70_rewind_of_a_tree
    trap_70_rewind_of_an_activitys_failure
    trap_70_rewinding_twice
    trap_72_rewind_with_children_that_live_on
    trap_74_operations_queued_before_a_lock
    trap_75_lock_waits_for_a_batch_that_is_out
    trap_76_locks_in_the_order_of_requests
    trap_77_grant_to_an_owner_that_is_gone
    trap_77_lock_requests_go_with_their_owner
    trap_77_locks_go_with_their_owner
    trap_77_release_overtakes_its_request
    trap_77_request_dropped_on_its_way
    trap_78_unlocks_and_entities_twice
    trap_79_failure_of_a_worker_keeps_the_state
    trap_80_answers_are_for_one_execution
    trap_82_case_of_entity_names
    trap_84_scheduled_signals
    trap_86_entity_starts_orchestrations
    trap_87_signals_in_order_and_entities_that_come_back
    trap_96_trace_contexts
}

#[test]
fn every_transcript_is_run() {
    let files = fs::read_dir(directory()).expect("readable");
    let mut names: Vec<String> = files
        .map(|file| file.expect("readable").path())
        .filter(|path| path.extension().is_some_and(|it| it == "txt"))
        .map(|path| {
            path.file_stem()
                .expect("has a name")
                .to_string_lossy()
                .into_owned()
        })
        .collect();
    names.sort();
    let mut expected = NAMES.to_vec();
    expected.sort_unstable();
    assert_eq!(names, expected);
}

fn directory() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/suite/transcripts")
}

fn check(name: &str) {
    let path = directory().join(format!("{name}.txt"));
    let text = fs::read_to_string(&path).expect("the transcript exists");
    let parts = parse(&text);
    let mut stage = stage::Stage::new();
    let actual = script::render(&parts, |command| stage.run(command));
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&path, actual).expect("writable");
        return;
    }
    if actual != text {
        panic!("{name}.txt: {}", first_difference(&parts, &parse(&actual)));
    }
}

fn first_difference(expected: &[Part], actual: &[Part]) -> String {
    let differing = expected
        .iter()
        .zip(actual)
        .find(|(one, other)| one != other);
    match differing {
        Some((
            Part::Block { commands, expected },
            Part::Block {
                expected: actual, ..
            },
        )) => {
            let commands = commands.join("\n");
            format!("after\n{commands}\nexpected\n{expected}\ngot\n{actual}")
        }
        _ => "differs in its layout".to_owned(),
    }
}

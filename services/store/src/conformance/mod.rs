//! The suite that every backend runs: one file per contract, one function per property.
//!
//! A backend names a function that makes fresh stores and runs each contract's properties as tests of its own, so
//! that a failure has a name:
//!
//! ```ignore
//! async fn fresh() -> (immune_store::Stores, impl Drop) { /* empty stores, and what must outlive them */ }
//! immune_store::conformance!(vitals, fresh);
//! immune_store::conformance!(cases, fresh);
//! ```
//!
//! To add a property: write it in its contract's file with its scenario and guarantee, and name it in the list
//! below; a test compares the list with the files.
#![allow(
    clippy::unwrap_used,
    reason = "a suite fails by panicking, at the line that was not kept"
)]
#![allow(
    missing_docs,
    reason = "each property is documented by its scenario and its guarantee"
)]

pub mod access;
pub mod action_log;
pub mod baselines;
pub mod cases;
pub mod cases_changes;
pub mod cases_finding;
pub mod client_records;
pub mod healings;
pub mod notifications;
pub mod samples;
pub mod vitals;
pub mod vitals_numbers;
pub mod vitals_series;

use std::future::Future;
use tokio::task::JoinSet;

/// Runs `count` tasks at the same time and returns their results.
pub(crate) async fn at_once<F, T>(count: usize, task: impl Fn(usize) -> F) -> Vec<T>
where
    F: Future<Output = T> + Send + 'static,
    T: Send + 'static,
{
    let mut tasks = JoinSet::new();
    for n in 0..count {
        let task = task(n);
        tasks.spawn(async move { (n, task.await) });
    }
    // They end in any order; callers go by number.
    let mut ended = tasks.join_all().await;
    ended.sort_by_key(|(n, _)| *n);
    ended.into_iter().map(|(_, result)| result).collect()
}

/// Turns the properties of one contract into tests; see [`mod@crate::conformance`]. The calling crate needs tokio.
#[macro_export]
macro_rules! conformance {
    (vitals, $fresh:expr) => {
        $crate::conformance!(@file vitals, $fresh, [
            an_empty_store_says_so,
            a_record_comes_back_as_it_was,
            a_higher_revision_replaces,
            a_revision_may_move_in_time,
            recent_is_ordered_and_limited,
            late_data_keeps_its_own_time,
            runs_and_agents_are_apart,
            retraction_leaves_no_trace,
            agents_are_paged_in_order,
            agents_are_seen_by_reception,
            purging_goes_by_reception,
        ]);
        $crate::conformance!(@file vitals_numbers, $fresh, [
            odd_ids_come_back,
            extreme_numbers_come_back,
            a_large_batch_is_counted,
            a_large_context_comes_back,
            redelivery_at_once_counts_once,
        ]);
        $crate::conformance!(@file vitals_series, $fresh, [
            some_agents_are_summed_up_at_once,
            latencies_of_many_agents_come_at_once,
            a_stretch_of_time_is_read,
            a_stretch_of_time_is_summed_up,
        ]);
    };
    (baselines, $fresh:expr) => {
        $crate::conformance!(@file baselines, $fresh, [
            a_profile_comes_back_to_the_last_bit,
            only_a_higher_version_replaces,
            pages_follow_the_keys,
            ready_profiles_are_counted,
            a_change_and_its_row_are_written_together,
            the_highest_of_many_versions_stays,
            a_place_is_stored_with_its_profiles,
            who_was_overtaken_stores_nothing,
            many_takers_have_different_fences,
        ]);
    };
    (cases, $fresh:expr) => {
        $crate::conformance!(@file cases, $fresh, [
            a_case_comes_back_as_it_was,
            one_open_case_per_agent,
            a_report_opens_one_case,
            many_openings_have_one_winner,
            many_redeliveries_open_one_case,
            the_last_place_is_taken_once,
            totals_outlive_the_cases,
            purging_spares_what_is_not_over,
        ]);
        $crate::conformance!(@file cases_finding, $fresh, [
            listing_filters_and_pages,
            several_cases_are_read_at_once,
            claimable_cases_are_due,
            unsettled_cases_are_found,
            an_unsettled_case_has_one_worker,
            a_dead_workers_claims_lapse,
        ]);
        $crate::conformance!(@file cases_changes, $fresh, [
            many_saves_have_one_winner,
            a_late_save_learns_what_is,
            rules_of_versions_are_kept,
            closing_frees_the_agent,
            a_merged_report_is_remembered,
            events_are_in_order,
            a_listener_misses_no_event,
            a_listener_is_woken,
            purged_events_leave_their_places,
            odd_and_large_cases_come_back,
        ]);
    };
    (healings, $fresh:expr) => {
        $crate::conformance!(@file healings, $fresh, [
            an_attempt_begins_once,
            an_outcome_counts_once,
            a_final_outcome_stays,
            what_says_nothing_teaches_nothing,
            many_ends_count_once,
            listing_filters_and_pages,
            memories_are_per_agent_and_diagnosis,
            a_pin_is_a_persons_word,
            forgetting_is_counted,
            purging_keeps_what_was_learned,
        ]);
    };
    (client_records, $fresh:expr) => {
        $crate::conformance!(@file client_records, $fresh, [
            bodies_come_back_whole,
            the_latest_is_the_last_appended,
            kinds_runs_and_agents_are_apart,
            listing_is_newest_first,
            a_decision_needs_the_right_predecessor,
            many_decisions_have_one_winner,
            runs_are_known_from_both,
            purging_goes_by_reception,
        ]);
    };
    (action_log, $fresh:expr) => {
        $crate::conformance!(@file action_log, $fresh, [
            rows_come_back_newest_first,
            runs_are_apart,
            many_writers_lose_no_row,
            purged_rows_leave_their_places,
            the_chain_holds,
            many_writers_make_one_chain,
            listing_filters,
        ]);
    };
    (access, $fresh:expr) => {
        $crate::conformance!(@file access, $fresh, [
            a_key_comes_back_as_it_was,
            the_first_key_is_made_once,
            a_name_is_free_again_after_its_key,
            a_name_has_one_winner,
            keys_have_a_limit,
            a_key_is_revoked_once,
            last_use_never_moves_back,
            a_session_comes_back_as_it_was,
            seen_never_moves_back,
            each_ending_ends_its_own,
            a_subject_has_so_many_sessions,
            everyone_has_the_same_secret,
            purging_spares_what_is_in_use,
        ]);
    };
    (notifications, $fresh:expr) => {
        $crate::conformance!(@file notifications, $fresh, [
            a_target_has_one_holder,
            of_many_one_holds_it,
            what_is_taken_in_comes_once,
            who_was_overtaken_changes_nothing,
            a_case_keeps_its_order,
            receipts_are_kept_per_case,
            dead_letters_have_a_way_back,
            dead_letters_have_a_limit,
            targets_say_how_they_stand,
            purging_spares_what_waits,
        ]);
    };
    (@file $file:ident, $fresh:expr, [$($property:ident,)*]) => {
        mod $file {
            use super::*;
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
                async fn $property() {
                    let (stores, _keeps) = ($fresh)().await;
                    $crate::conformance::$file::$property(&stores).await;
                }
            )*
        }
    };
}

#[cfg(test)]
mod tests {
    /// Guarantees: a property that is written is also run, by every backend.
    #[test]
    fn every_property_is_listed() {
        let list = include_str!("mod.rs");
        for source in [
            include_str!("access.rs"),
            include_str!("action_log.rs"),
            include_str!("baselines.rs"),
            include_str!("cases.rs"),
            include_str!("cases_changes.rs"),
            include_str!("cases_finding.rs"),
            include_str!("client_records.rs"),
            include_str!("healings.rs"),
            include_str!("notifications.rs"),
            include_str!("vitals.rs"),
            include_str!("vitals_numbers.rs"),
        ] {
            for line in source
                .lines()
                .filter_map(|line| line.strip_prefix("pub async fn "))
            {
                let name = line.split('(').next().unwrap();
                assert!(list.contains(&format!(" {name},\n")), "{name} is in no list");
            }
        }
    }
}

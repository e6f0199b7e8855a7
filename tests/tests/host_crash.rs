//! A change that is killed before any of its system calls leaves the old policy or the new one, and the next command finds
//! nothing in its way. Needs root.

use shaper_tests::scene::changes::{
    APPLY, EXEMPT, PRUNE, RELOAD, RELOAD_ALL, RESIZE, SET, SET_AGAIN, SET_FOR_CLIENTS, SET_NAMED,
    SET_TEMPORARY, TRY, TRY_SET, UP,
};
use shaper_tests::scene::{Change, kill_everywhere};

#[test]
fn apply_leaves_one_of_two_policies_wherever_it_is_killed() {
    kill_everywhere(&[APPLY, APPLY.reversed(), PRUNE]);
}

#[test]
fn apply_with_another_number_of_clients_leaves_one_of_two_policies_wherever_it_is_killed() {
    kill_everywhere(&[RESIZE, RESIZE.reversed()]);
}

#[test]
fn set_leaves_one_of_two_policies_wherever_it_is_killed() {
    kill_everywhere(&[SET, SET_AGAIN, SET_FOR_CLIENTS, SET_TEMPORARY, SET_NAMED]);
}

#[test]
fn unset_leaves_one_of_two_policies_wherever_it_is_killed() {
    let all = [SET, SET_FOR_CLIENTS, SET_NAMED].map(Change::reversed);
    kill_everywhere(&all);
}

#[test]
fn exempt_leaves_one_of_two_policies_wherever_it_is_killed() {
    kill_everywhere(&[EXEMPT, EXEMPT.reversed()]);
}

#[test]
fn reload_leaves_one_of_two_policies_wherever_it_is_killed() {
    kill_everywhere(&[RELOAD, RELOAD.reversed(), RELOAD_ALL]);
}

#[test]
fn a_change_on_trial_is_taken_back_wherever_it_is_killed() {
    kill_everywhere(&[TRY, TRY_SET]);
}

#[test]
fn up_leaves_all_or_nothing_in_force_wherever_it_is_killed() {
    kill_everywhere(&[UP]);
}

#[test]
fn down_leaves_all_or_nothing_in_force_wherever_it_is_killed() {
    kill_everywhere(&[UP.reversed()]);
}

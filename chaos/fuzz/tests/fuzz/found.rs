//! What fuzzing found, each as small as it gets.

use longhaul_fuzz::target;

use crate::replay::check;

/// A forged record with the highest index there is: the index after it overflowed. Refused when the log is opened, see
/// `an_index_that_no_entry_can_have_is_refused` in the log's own tests.
#[test]
fn wal_entry_with_the_highest_index() {
    let mut input = vec![0, 0, 1, 1, 7];
    input.extend([u8::MAX; 8]);
    let target = target("wal_forgery").expect("in the table");
    check(target, "the highest index", &input);
}

/// Two records so far apart that the log took memory for every entry between them.
#[test]
fn wal_entries_far_apart() {
    let near = [0, 0, 1, 1, 0, 0, 1, 0, 0];
    let mut input = near.to_vec();
    input.extend([0, 0, 1, 1, 7, 0, 0, 0, 0, 0, 1]);
    let target = target("wal_forgery").expect("in the table");
    check(target, "far apart", &input);
}

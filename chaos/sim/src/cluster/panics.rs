//! Notices panics of tasks, whoever they are of: the runtime goes on as if nothing had happened.

use std::cell::RefCell;
use std::panic;
use std::sync::Once;

thread_local! {
    static FIRST: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Forgets what was noticed on this thread; from now on panics are.
pub(super) fn watch() {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let usual = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            FIRST.with_borrow_mut(|first| {
                first.get_or_insert_with(|| info.to_string());
            });
            usual(info);
        }));
    });
    FIRST.set(None);
}

/// The first one on this thread.
pub(super) fn seen() -> Option<String> {
    FIRST.with_borrow(Clone::clone)
}

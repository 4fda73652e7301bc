//! Where things live that are made once per machine and used by every checkout.

use std::{
    env,
    ffi::OsString,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

/// `$LONGHAUL_CACHE`, or `longhaul` in the user's cache directory.
pub(crate) fn dir() -> Result<PathBuf> {
    let set = |name: &str| env::var_os(name).filter(|value| !value.is_empty());
    choose(set("LONGHAUL_CACHE"), set("XDG_CACHE_HOME"), set("HOME"))
        .context("set LONGHAUL_CACHE or HOME: there is no place for the machine's build cache")
}

fn choose(
    own: Option<OsString>,
    user: Option<OsString>,
    home: Option<OsString>,
) -> Option<PathBuf> {
    let user = || {
        user.map(PathBuf::from)
            .or_else(|| Some(Path::new(&home?).join(".cache")))
    };
    own.map(PathBuf::from)
        .or_else(|| Some(user()?.join("longhaul")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_variable_wins_over_the_users_cache_and_that_over_home() {
        let set = |value: &str| Some(OsString::from(value));
        assert_eq!(
            choose(set("/own"), set("/user"), set("/home")),
            Some("/own".into())
        );
        assert_eq!(
            choose(None, set("/user"), set("/home")),
            Some("/user/longhaul".into())
        );
        assert_eq!(
            choose(None, None, set("/home")),
            Some("/home/.cache/longhaul".into())
        );
        assert_eq!(choose(None, None, None), None);
    }
}

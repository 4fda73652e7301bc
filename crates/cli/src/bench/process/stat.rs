//! One line of `/proc/<pid>/stat`, see proc_pid_stat(5).

use std::time::Duration;

/// The fields used here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stat {
    user_ticks: u64,
    system_ticks: u64,
    pub(super) threads: u64,
}

impl Stat {
    pub(super) fn parse(line: &str) -> Option<Self> {
        // The second field is the command in parentheses and may itself hold spaces and parentheses.
        let after_command = &line[line.rfind(')')? + 1..];
        let fields: Vec<&str> = after_command.split_ascii_whitespace().collect();
        // The manual counts from 1 and the first field after the command is its third.
        let field = |number: usize| fields.get(number - 3)?.parse().ok();
        Some(Self {
            user_ticks: field(14)?,
            system_ticks: field(15)?,
            threads: field(20)?,
        })
    }

    pub(super) fn cpu(self, ticks_per_second: u64) -> Duration {
        Duration::from_secs_f64(
            (self.user_ticks + self.system_ticks) as f64 / ticks_per_second.max(1) as f64,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines() {
        let rest =
            "S 1 2 3 0 -1 4194560 1 2 3 4 120 30 0 0 20 0 9 0 5000 1000 250 18446744073709551615";
        for (line, expected) in [
            (format!("42 (longhaul) {rest}"), Some((120, 30, 9))),
            (format!("42 (odd) name) (x) {rest}"), Some((120, 30, 9))),
            ("42 (short) S 1 2".to_owned(), None),
            ("no command".to_owned(), None),
            (String::new(), None),
        ] {
            let stat =
                Stat::parse(&line).map(|stat| (stat.user_ticks, stat.system_ticks, stat.threads));
            assert_eq!(stat, expected, "{line}");
        }
    }

    #[test]
    fn ticks_become_time() {
        let stat = Stat {
            user_ticks: 120,
            system_ticks: 30,
            threads: 1,
        };
        assert_eq!(stat.cpu(100), Duration::from_millis(1500));
    }
}

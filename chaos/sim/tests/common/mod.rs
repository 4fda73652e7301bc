//! What to run, from the environment.

/// The one seed to run, with a trace: `LONGHAUL_SIM_SEED`.
pub(crate) fn chosen_seed() -> Option<u64> {
    number("LONGHAUL_SIM_SEED")
}

/// How many seeds to run: `LONGHAUL_SIM_SEEDS`.
pub(crate) fn seed_count(default: u64) -> u64 {
    number("LONGHAUL_SIM_SEEDS").unwrap_or(default)
}

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{name} is {text:?}, not a number")),
    )
}

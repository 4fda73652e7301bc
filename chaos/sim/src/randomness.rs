//! The node's randomness, from the seed.

use longhaul_partition::Randomness;
use parking_lot::Mutex;

use crate::dice::Dice;

/// Bytes that nobody inside can guess, but everybody outside.
pub struct SimRandomness(Mutex<Dice>);

impl SimRandomness {
    /// From these dice.
    #[must_use]
    pub fn new(dice: Dice) -> Self {
        Self(Mutex::new(dice))
    }
}

impl Randomness for SimRandomness {
    fn fill(&self, out: &mut [u8]) {
        let mut dice = self.0.lock();
        for chunk in out.chunks_mut(8) {
            chunk.copy_from_slice(&dice.roll().to_le_bytes()[..chunk.len()]);
        }
    }
}

//! Random numbers for tests, the same in each run.

/// The generator xorshift64 (Marsaglia, <https://doi.org/10.18637/jss.v008.i14>). The state must not
/// be 0. Tests add methods for the values that they need.
pub struct Random(pub u64);

impl Random {
    /// Returns a number below `end`.
    pub fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % end as u64) as usize
    }
}

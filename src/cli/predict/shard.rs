//! `--shard`: a part of a file, so that several machines can score one file together.

use std::ops::Range;
use std::str::FromStr;

/// One of `count` parts of a file. `index` counts from 0. The parts are byte ranges of equal size, and a part
/// contains the rows that start inside its range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shard {
    index: u64,
    count: u64,
}

impl FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Shard, String> {
        let shard = text.split_once('/').and_then(|(index, count)| {
            Some(Shard { index: index.parse().ok()?, count: count.parse().ok()? })
        });
        shard
            .filter(|shard| shard.index < shard.count)
            .ok_or_else(|| "expected INDEX/COUNT with INDEX below COUNT, such as 0/4".to_owned())
    }
}

impl Shard {
    /// Returns the byte range of this part in a file of `size` bytes.
    pub fn range(self, size: u64) -> Range<u64> {
        // The product of two `u64` needs 128 bits.
        let boundary =
            |index: u64| (u128::from(size) * u128::from(index) / u128::from(self.count)) as u64;
        // The last part has no upper bound, so that it contains every row up to the end of the file.
        let is_last = self.index + 1 == self.count;
        let end = if is_last { u64::MAX } else { boundary(self.index + 1) };
        boundary(self.index)..end
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_cover_the_file_without_overlap() {
        let ranges: Vec<_> = (0..3).map(|index| Shard { index, count: 3 }.range(100)).collect();
        assert_eq!(ranges, [0..33, 33..66, 66..u64::MAX]);
    }

    #[test]
    fn the_index_must_be_below_the_count() {
        assert_eq!("0/4".parse(), Ok(Shard { index: 0, count: 4 }));
        for invalid in ["", "1", "4/4", "-1/4", "0/0", "a/b"] {
            assert!(invalid.parse::<Shard>().is_err(), "{invalid}");
        }
    }
}

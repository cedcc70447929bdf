//! The pool of n-grams of a TfIdfVectorizer, and the search for them in a sequence of words.
//!
//! Each distinct word of the pool has a number. The n-grams form a trie: each edge is a word
//! number, and the path from the root to a node is an n-gram or the beginning of an n-gram. From
//! every position of a sequence, the search follows the trie until no n-gram continues with the
//! next word. With `max_skip_count` = k, the sequence is searched k + 1 times, with distances from
//! 1 to k + 1 between consecutive words.

use foldhash::HashMap;
use foldhash::HashMapExt;
use serde::{Deserialize, Serialize};
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::*;

/// Number of a word that occurs in no n-gram. In [`Ngrams::first`], this number means that there is no node.
pub const UNKNOWN: u32 = u32::MAX;

/// Maximum number of columns. Without a limit, a small model could request any amount of memory.
const MAX_COLUMNS: u32 = 1 << 22;

/// Maximum of `max_skip_count`. Without a limit, a small model could take any amount of time.
const MAX_SKIPS: usize = 100;

/// The n-grams to count. Each n-gram has a column of the output.
#[derive(Debug, Deserialize, Serialize)]
pub struct Ngrams {
    words: Words,
    /// For each word number, the trie node at the end of the root's edge with this number. [`UNKNOWN`] if the root has
    /// no such edge.
    first: Vec<u32>,
    /// The other edges of the trie: maps a node and the number of the next word to a node.
    longer: HashMap<(u32, u32), u32>,
    /// For each node, the column and the weight of the node's n-gram. `None` if the path to the node is only the
    /// beginning of n-grams.
    counted: Vec<Option<(u32, f32)>>,
    /// Number of columns.
    columns: usize,
    /// Lengths of the n-grams to count, in words.
    lengths: std::ops::RangeInclusive<usize>,
    /// Maximum number of words to skip between two words of an n-gram.
    skips: usize,
    mode: Mode,
}

/// The distinct words of the pool and their numbers.
#[derive(Debug, Deserialize, Serialize)]
enum Words {
    Strings(HashMap<String, u32>),
    Integers(HashMap<i64, u32>),
}

/// Value of a column whose n-gram occurs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
enum Mode {
    /// The number of occurrences.
    Tf,
    /// The weight of the n-gram.
    Idf,
    /// The number of occurrences multiplied by the weight.
    TfIdf,
}

impl Ngrams {
    /// Reads the pool from the attributes of `node`.
    ///
    /// # Errors
    ///
    /// Returns an error if the attributes contradict each other or exceed a limit.
    pub fn parse(node: &NodeProto) -> TractResult<Ngrams> {
        let mode = match node.get_attr("mode")? {
            "TF" => Mode::Tf,
            "IDF" => Mode::Idf,
            "TFIDF" => Mode::TfIdf,
            found => {
                node.bail_attr("mode", &format!("expected TF, IDF or TFIDF, found {found}"))?
            }
        };
        // Despite its name, the attribute holds the start of the 1-grams, 2-grams, … in the pool.
        let starts: Vec<i64> = node.get_attr_vec("ngram_counts")?;
        let shortest: i64 = node.get_attr("min_gram_length")?;
        let longest: i64 = node.get_attr("max_gram_length")?;
        let length = |length: i64| usize::try_from(length).unwrap_or(0);
        let lengths = length(shortest)..=length(longest);
        let is_valid =
            *lengths.start() > 0 && !lengths.is_empty() && *lengths.end() <= starts.len();
        node.expect(is_valid, || {
            format!("n-gram lengths from 1 to {}, found {shortest} to {longest}", starts.len())
        })?;
        let skips: i64 = node.get_attr("max_skip_count")?;
        let valid_skips = usize::try_from(skips).ok().filter(|skips| *skips <= MAX_SKIPS);
        let Some(skips) = valid_skips else {
            return node
                .bail_attr("max_skip_count", &format!("expected 0 to {MAX_SKIPS}, found {skips}"));
        };
        let (words, pool) = pool(node)?;
        let mut ngrams = Ngrams {
            first: vec![UNKNOWN; words.len()],
            words,
            longer: HashMap::new(),
            counted: vec![],
            columns: 0,
            lengths,
            skips,
            mode,
        };
        ngrams.insert_pool(node, &starts, &pool)?;
        Ok(ngrams)
    }

    /// Returns the number of columns.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// Returns `true` if words are strings and `false` if they are integers.
    pub fn is_text(&self) -> bool {
        matches!(self.words, Words::Strings(_))
    }

    /// Returns the number of a word that is a string, or [`UNKNOWN`].
    pub fn word(&self, text: &str) -> u32 {
        match &self.words {
            Words::Strings(words) => words.get(text).copied().unwrap_or(UNKNOWN),
            Words::Integers(_) => UNKNOWN,
        }
    }

    /// Returns the number of a word that is an integer, or [`UNKNOWN`].
    pub fn integer_word(&self, word: i64) -> u32 {
        match &self.words {
            Words::Integers(words) => words.get(&word).copied().unwrap_or(UNKNOWN),
            Words::Strings(_) => UNKNOWN,
        }
    }

    /// Calls `each` with the column and the weight of each occurrence of an n-gram in `words`, a
    /// sequence of word numbers.
    pub fn for_each(&self, words: &[u32], mut each: impl FnMut(u32, f32)) {
        // Distance between consecutive words of an n-gram.
        for step in 1..=self.skips + 1 {
            for (start, word) in words.iter().enumerate() {
                let first = self.first.get(*word as usize).filter(|node| **node != UNKNOWN);
                let Some(mut node) = first.copied() else { continue };
                let mut following = words[start..].iter().step_by(step).skip(1);
                for length in 1..=*self.lengths.end() {
                    if length > 1 {
                        let next =
                            following.next().and_then(|word| self.longer.get(&(node, *word)));
                        let Some(next) = next else { break };
                        node = *next;
                    }
                    // A single word has no gap to skip, so unigrams are counted only once.
                    if self.lengths.contains(&length)
                        && (length > 1 || step == 1)
                        && let Some((column, weight)) = self.counted[node as usize]
                    {
                        each(column, weight);
                    }
                }
            }
            // A larger distance would find nothing more.
            if *self.lengths.end() == 1 || step >= words.len() {
                break;
            }
        }
    }

    /// Returns the value of a column. `occurrences` are the column and the weight of each
    /// occurrence of its n-gram.
    pub fn value(&self, occurrences: &[(u32, f32)]) -> f32 {
        match (self.mode, occurrences) {
            (Mode::Idf, [.., (_, weight)]) => *weight,
            (Mode::TfIdf, _) => occurrences.iter().map(|(_, weight)| weight).sum(),
            _ => occurrences.len() as f32,
        }
    }

    /// Inserts the n-grams of the pool into the trie. `starts` are the starts of the 1-grams,
    /// 2-grams, … in `pool`, a sequence of word numbers.
    fn insert_pool(&mut self, node: &NodeProto, starts: &[i64], pool: &[u32]) -> TractResult<()> {
        let columns: Vec<i64> = node.get_attr_vec("ngram_indexes")?;
        let weights: Vec<f32> = node.get_attr_opt_vec("weights")?.unwrap_or_default();
        node.expect_attr("weights", weights.is_empty() || weights.len() == columns.len(), || {
            format!("none or {} elements, found {}", columns.len(), weights.len())
        })?;
        let mut columns = columns.iter().zip(weights.iter().copied().chain(std::iter::repeat(1.0)));
        let bounds = bounds(node, starts, pool.len())?;
        for (length, items) in (1..).zip(bounds.windows(2).map(|pair| &pool[pair[0]..pair[1]])) {
            node.expect_attr("ngram_counts", items.len().is_multiple_of(length), || {
                format!(
                    "a multiple of {length} words for n-grams of {length} words, found {}",
                    items.len()
                )
            })?;
            for ngram in items.chunks_exact(length) {
                let (found, weight) =
                    columns.next().context("expected an index for each n-gram, found fewer")?;
                let column = u32::try_from(*found).ok().filter(|column| *column < MAX_COLUMNS);
                let column = column.with_context(|| {
                    let last = MAX_COLUMNS - 1;
                    format!("expected ngram_indexes from 0 to {last}, found {found}")
                })?;
                self.columns = self.columns.max(column as usize + 1);
                let node = self.insert(ngram)?;
                let is_new = self.counted[node as usize].replace((column, weight)).is_none();
                ensure!(is_new, "expected different n-grams, found one of them twice");
            }
        }
        let rest = columns.count();
        node.expect_attr("ngram_indexes", rest == 0, || {
            format!("one index for each n-gram, found {rest} more")
        })?;
        node.expect_attr("ngram_indexes", self.columns > 0, "at least one index, found none")
    }

    /// Returns the node of an n-gram. Adds the nodes on the path to this node that do not exist yet.
    fn insert(&mut self, ngram: &[u32]) -> TractResult<u32> {
        let mut next_node = u32::try_from(self.counted.len())?;
        let mut reached = None;
        for word in ngram {
            let slot = match reached {
                None => &mut self.first[*word as usize],
                Some(node) => self.longer.entry((node, *word)).or_insert(UNKNOWN),
            };
            if *slot == UNKNOWN {
                *slot = next_node;
                self.counted.push(None);
                next_node += 1;
            }
            reached = Some(*slot);
        }
        reached.context("expected n-grams of one word or more, found no words")
    }
}

impl Words {
    fn len(&self) -> usize {
        match self {
            Words::Strings(words) => words.len(),
            Words::Integers(words) => words.len(),
        }
    }
}

/// Returns the words of the pool, and the pool as a sequence of word numbers.
fn pool(node: &NodeProto) -> TractResult<(Words, Vec<u32>)> {
    let strings: Vec<String> = node.get_attr_opt_vec("pool_strings")?.unwrap_or_default();
    if !strings.is_empty() {
        let (words, pool) = numbered(strings)?;
        return Ok((Words::Strings(words), pool));
    }
    let integers: Vec<i64> = node.get_attr_opt_vec("pool_int64s")?.unwrap_or_default();
    node.expect(!integers.is_empty(), "pool_strings or pool_int64s, found neither")?;
    let (words, pool) = numbered(integers)?;
    Ok((Words::Integers(words), pool))
}

/// Numbers the distinct words in the order of their first occurrence. Returns the numbers, and the
/// pool as a sequence of numbers.
fn numbered<W: std::hash::Hash + Eq>(pool: Vec<W>) -> TractResult<(HashMap<W, u32>, Vec<u32>)> {
    let mut words = HashMap::new();
    let pool = pool
        .into_iter()
        .map(|word| {
            let next = u32::try_from(words.len())?;
            Ok(*words.entry(word).or_insert(next))
        })
        .collect::<TractResult<_>>()?;
    Ok((words, pool))
}

/// Returns the starts of the 1-grams, 2-grams, … in the pool, followed by the end of the pool.
fn bounds(node: &NodeProto, starts: &[i64], pool_len: usize) -> TractResult<Vec<usize>> {
    let bounds: Option<Vec<usize>> =
        starts.iter().map(|start| usize::try_from(*start).ok()).chain([Some(pool_len)]).collect();
    let ordered = bounds.filter(|bounds| bounds.is_sorted());
    match ordered {
        Some(bounds) => Ok(bounds),
        None => node.bail_attr(
            "ngram_counts",
            &format!("expected ascending starts from 0 to {pool_len}, found {starts:?}"),
        ),
    }
}

//! The n-grams of a TfIdfVectorizer. The pool is stored as a trie whose edges are word numbers.

use foldhash::HashMap;
use foldhash::HashMapExt;
use serde::{Deserialize, Serialize};
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::*;

/// Number of a word that occurs in no n-gram.
pub const UNKNOWN: u32 = u32::MAX;

/// Maximum number of columns; more would let a small model request any amount of memory.
const MAX_COLUMNS: u32 = 1 << 22;

/// Maximum of `max_skip_count`; more would let a small model take any amount of time.
const MAX_SKIPS: usize = 100;

/// The n-grams to count. Each n-gram has a column.
#[derive(Debug, Deserialize, Serialize)]
pub struct Ngrams {
    words: Words,
    /// Trie node of each word's unigram.
    first: Vec<u32>,
    /// Maps a node and the next word to the node of the n-gram extended by that word.
    longer: HashMap<(u32, u32), u32>,
    /// Column and weight of each node, if its n-gram is in the pool.
    counted: Vec<Option<(u32, f32)>>,
    columns: usize,
    lengths: std::ops::RangeInclusive<usize>,
    skips: usize,
    mode: Mode,
}

#[derive(Debug, Deserialize, Serialize)]
enum Words {
    Texts(HashMap<String, u32>),
    Numbers(HashMap<i64, u32>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
enum Mode {
    Tf,
    Idf,
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
        let counts: Vec<i64> = node.get_attr_vec("ngram_counts")?;
        let shortest: i64 = node.get_attr("min_gram_length")?;
        let longest: i64 = node.get_attr("max_gram_length")?;
        let length = |length: i64| usize::try_from(length).unwrap_or(0);
        let lengths = length(shortest)..=length(longest);
        let fits = *lengths.start() > 0 && !lengths.is_empty() && *lengths.end() <= counts.len();
        node.expect(fits, || {
            format!("lengths from 1 to {}, found {shortest} to {longest}", counts.len())
        })?;
        let skips: i64 = node.get_attr("max_skip_count")?;
        let within = usize::try_from(skips).ok().filter(|skips| *skips <= MAX_SKIPS);
        let Some(skips) = within else {
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
        ngrams.fill(node, &counts, &pool)?;
        Ok(ngrams)
    }

    pub fn columns(&self) -> usize {
        self.columns
    }

    /// Returns `true` if words are texts and `false` if they are integers.
    pub fn is_text(&self) -> bool {
        matches!(self.words, Words::Texts(_))
    }

    /// Returns the number of a word, or [`UNKNOWN`].
    pub fn word(&self, text: &str) -> u32 {
        match &self.words {
            Words::Texts(words) => words.get(text).copied().unwrap_or(UNKNOWN),
            Words::Numbers(_) => UNKNOWN,
        }
    }

    /// Returns the number of an integer word, or [`UNKNOWN`].
    pub fn number(&self, number: i64) -> u32 {
        match &self.words {
            Words::Numbers(words) => words.get(&number).copied().unwrap_or(UNKNOWN),
            Words::Texts(_) => UNKNOWN,
        }
    }

    /// Calls `found` with column and weight of each n-gram in a sequence of words.
    pub fn for_each(&self, words: &[u32], mut found: impl FnMut(u32, f32)) {
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
                        found(column, weight);
                    }
                }
            }
            if *self.lengths.end() == 1 || step >= words.len() {
                break;
            }
        }
    }

    /// Returns the value of a column from all matches in it.
    pub fn value(&self, found: &[(u32, f32)]) -> f32 {
        match (self.mode, found) {
            (Mode::Idf, [.., (_, weight)]) => *weight,
            (Mode::TfIdf, found) => found.iter().map(|(_, weight)| weight).sum(),
            _ => found.len() as f32,
        }
    }

    fn fill(&mut self, node: &NodeProto, counts: &[i64], pool: &[u32]) -> TractResult<()> {
        let columns: Vec<i64> = node.get_attr_vec("ngram_indexes")?;
        let weights: Vec<f32> = node.get_attr_opt_vec("weights")?.unwrap_or_default();
        node.expect_attr("weights", weights.is_empty() || weights.len() == columns.len(), || {
            format!("none or {}, found {}", columns.len(), weights.len())
        })?;
        let mut columns = columns.iter().zip(weights.iter().copied().chain(std::iter::repeat(1.0)));
        let bounds = bounds(node, counts, pool.len())?;
        for (length, items) in (1..).zip(bounds.windows(2).map(|pair| &pool[pair[0]..pair[1]])) {
            node.expect_attr("ngram_counts", items.len().is_multiple_of(length), || {
                format!("n-grams of {length} words, found {} words", items.len())
            })?;
            for ngram in items.chunks_exact(length) {
                let (column, weight) =
                    columns.next().context("expected an index for each n-gram")?;
                let column = u32::try_from(*column).ok().filter(|column| *column < MAX_COLUMNS);
                let column = column.with_context(|| {
                    format!("expected ngram_indexes from 0 and below {MAX_COLUMNS}")
                })?;
                self.columns = self.columns.max(column as usize + 1);
                let node = self.insert(ngram)?;
                let free = self.counted[node as usize].replace((column, weight)).is_none();
                ensure!(free, "expected each n-gram once, found one twice");
            }
        }
        let rest = columns.count();
        node.expect_attr("ngram_indexes", rest == 0, || {
            format!("as many as n-grams, found {rest} more")
        })?;
        node.expect_attr("ngram_indexes", self.columns > 0, || "at least one".to_owned())
    }

    /// Returns the node of an n-gram and adds the nodes that are missing.
    fn insert(&mut self, ngram: &[u32]) -> TractResult<u32> {
        let mut new = u32::try_from(self.counted.len())?;
        let mut reached = None;
        for word in ngram {
            let slot = match reached {
                None => &mut self.first[*word as usize],
                Some(node) => self.longer.entry((node, *word)).or_insert(UNKNOWN),
            };
            if *slot == UNKNOWN {
                *slot = new;
                self.counted.push(None);
                new += 1;
            }
            reached = Some(*slot);
        }
        reached.context("expected n-grams of one word or more")
    }
}

impl Words {
    fn len(&self) -> usize {
        match self {
            Words::Texts(words) => words.len(),
            Words::Numbers(words) => words.len(),
        }
    }
}

/// Returns the words of the pool, and the pool as a sequence of word numbers.
fn pool(node: &NodeProto) -> TractResult<(Words, Vec<u32>)> {
    let texts: Vec<String> = node.get_attr_opt_vec("pool_strings")?.unwrap_or_default();
    if !texts.is_empty() {
        let (words, pool) = numbered(texts)?;
        return Ok((Words::Texts(words), pool));
    }
    let numbers: Vec<i64> = node.get_attr_opt_vec("pool_int64s")?.unwrap_or_default();
    node.expect(!numbers.is_empty(), || "a pool, found none".to_owned())?;
    let (words, pool) = numbered(numbers)?;
    Ok((Words::Numbers(words), pool))
}

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

/// Returns the start of the 1-grams, 2-grams, … in the pool, and the end of the pool.
fn bounds(node: &NodeProto, counts: &[i64], pool: usize) -> TractResult<Vec<usize>> {
    let bounds: Option<Vec<usize>> =
        counts.iter().map(|start| usize::try_from(*start).ok()).chain([Some(pool)]).collect();
    let ordered = bounds.filter(|bounds| bounds.is_sorted());
    match ordered {
        Some(bounds) => Ok(bounds),
        None => node.bail_attr(
            "ngram_counts",
            &format!("expected ascending numbers up to {pool}, found {counts:?}"),
        ),
    }
}

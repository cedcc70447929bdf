//! [MurmurHash3](https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md#com.microsoft.MurmurHash3)
//! of `com.microsoft`: a 32-bit hash of each string or number. Exported FeatureHashers use it.

use crate::operator::adapter::{Built, operator};
use crate::operator::kernel::{Fact, Kernel};
use crate::operator::tensors::tensor;
use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::*;

#[derive(Debug)]
struct MurmurHash3 {
    seed: u32,
    /// `true` for unsigned integers as results, `false` for signed integers.
    positive: bool,
}

/// Builds the operator.
pub fn murmur_hash3(_: &ParsingContext, node: &NodeProto) -> Built {
    let seed: i64 = node.get_attr_opt("seed")?.unwrap_or(0);
    operator(
        node,
        1,
        MurmurHash3 {
            seed: u32::try_from(seed)?,
            positive: node.get_attr_opt("positive")?.unwrap_or(true),
        },
    )
}

impl Kernel for MurmurHash3 {
    const NAME: &'static str = "MurmurHash3";

    fn outputs(&self, inputs: &[Fact]) -> TractResult<TVec<Fact>> {
        let hash = if self.positive { u32::datum_type() } else { i32::datum_type() };
        Ok(tvec!(Fact::new(hash, inputs[0].shape.iter().cloned())))
    }

    fn eval(&self, inputs: &[TValue]) -> TractResult<Vec<Tensor>> {
        let input = &inputs[0];
        // A string is hashed as UTF-8, a number as its little-endian bytes.
        let elements = input.try_as_plain_ram()?;
        let hash = |bytes: &[u8]| hash(bytes, self.seed);
        let hashes: Vec<u32> = match input.datum_type() {
            DatumType::String => {
                elements.as_slice::<String>()?.iter().map(|text| hash(text.as_bytes())).collect()
            }
            DatumType::I32 => {
                elements.as_slice::<i32>()?.iter().map(|x| hash(&x.to_le_bytes())).collect()
            }
            DatumType::U32 => {
                elements.as_slice::<u32>()?.iter().map(|x| hash(&x.to_le_bytes())).collect()
            }
            DatumType::I64 => {
                elements.as_slice::<i64>()?.iter().map(|x| hash(&x.to_le_bytes())).collect()
            }
            DatumType::U64 => {
                elements.as_slice::<u64>()?.iter().map(|x| hash(&x.to_le_bytes())).collect()
            }
            DatumType::F32 => {
                elements.as_slice::<f32>()?.iter().map(|x| hash(&x.to_le_bytes())).collect()
            }
            DatumType::F64 => {
                elements.as_slice::<f64>()?.iter().map(|x| hash(&x.to_le_bytes())).collect()
            }
            found => bail!("expected strings, or numbers of 32 or 64 bits, found {found:?}"),
        };
        Ok(vec![if self.positive {
            tensor(input.shape(), hashes)?
        } else {
            let signed = hashes.into_iter().map(u32::cast_signed).collect();
            tensor::<i32>(input.shape(), signed)?
        }])
    }
}

/// Computes [MurmurHash3_x86_32](https://github.com/aappleby/smhasher/wiki/MurmurHash3).
fn hash(bytes: &[u8], seed: u32) -> u32 {
    let mix =
        |block: u32| block.wrapping_mul(0xcc9e_2d51).rotate_left(15).wrapping_mul(0x1b87_3593);
    let (blocks, rest) = bytes.as_chunks::<4>();
    let mut hash = blocks.iter().fold(seed, |hash, block| {
        let mixed = (hash ^ mix(u32::from_le_bytes(*block))).rotate_left(13);
        mixed.wrapping_mul(5).wrapping_add(0xe654_6b64)
    });
    // The last 1 to 3 bytes, as a little-endian integer.
    if !rest.is_empty() {
        let last = rest.iter().rev().fold(0, |last, byte| last << 8 | u32::from(*byte));
        hash ^= mix(last);
    }
    // The finalizer, which makes every bit of the input affect every bit of the hash.
    hash ^= bytes.len() as u32;
    hash = (hash ^ hash >> 16).wrapping_mul(0x85eb_ca6b);
    hash = (hash ^ hash >> 13).wrapping_mul(0xc2b2_ae35);
    hash ^ hash >> 16
}

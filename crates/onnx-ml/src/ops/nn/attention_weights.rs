//! The steps of [Attention](https://onnx.ai/onnx/operators/onnx__Attention.html) between its two
//! products. [`AttentionWeights`] takes the products of queries and keys, `[N, H, S, T]` (batch,
//! heads, queries, keys). It applies the scale and the soft cap, adds a bias (the mask, and −∞ for
//! hidden keys), and computes the softmax over the keys. The result is the weights of the values.
//!
//! A query that may attend to no key gets weights of zero, so that its output is zero. A softmax
//! over minus infinity would give NaN.

use crate::kernels::math::exp;
use crate::kernels::simd::{Vectorized, vectorized};
use crate::operator::kernel::{Fact, Kernel};
use crate::operator::tensors::{elements, tensor};
use tract_onnx::tract_hir::internal::*;

/// Number of partial sums and maxima, one for each SIMD lane.
const LANES: usize = 16;

/// The kernel. The first output is the weights. The second output is the stage [`AttentionWeights::qk_output`].
#[derive(Debug, Clone)]
pub struct AttentionWeights {
    /// Factor for the products.
    pub scale: f32,
    /// Soft cap c: a product x becomes `c * tanh(x / c)`. 0 disables it.
    pub softcap: f32,
    /// `true` if a query attends only to keys up to its own position.
    pub causal: bool,
    /// Number of keys before a query's own position that the query attends to; `None` means all.
    pub left: Option<i64>,
    /// Number of keys after a query's own position that the query attends to; `None` means all.
    pub right: Option<i64>,
    /// Index of the input with the mask: numbers to add to the products, or booleans.
    pub mask_input: Option<usize>,
    /// Index of the input with the keys of earlier calls. Only the number of these keys is used.
    pub past_input: Option<usize>,
    /// Index of the input with the number of valid keys in an external cache, for each item of the
    /// batch.
    pub lengths_input: Option<usize>,
    /// The stage of the computation that the second output returns; `None` if the node lacks that
    /// output.
    pub qk_output: Option<QkStage>,
}

/// A stage of the computation: the values of the attribute `qk_matmul_output_mode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QkStage {
    /// The scaled products.
    Products,
    /// After the soft cap.
    Capped,
    /// After adding the mask.
    Biased,
    /// After the softmax.
    Weights,
}

impl Kernel for AttentionWeights {
    const NAME: &'static str = "AttentionWeights";
    const OUTPUTS: usize = 2;

    fn outputs(&self, inputs: &[Fact]) -> TractResult<TVec<Fact>> {
        let products = Fact::new(f32::datum_type(), inputs[0].shape.iter().cloned());
        if let Some(mask) = self.mask_input {
            let rank = inputs[mask].shape.len();
            ensure!((1..=4).contains(&rank), "expected a mask of rank 1 to 4, found rank {rank}");
        }
        Ok(tvec!(products.clone(), products))
    }

    fn eval(&self, inputs: &[TValue]) -> TractResult<Vec<Tensor>> {
        let [batch, heads, queries, keys] = *inputs[0].shape() else {
            bail!("expected products of rank 4, found shape {:?}", inputs[0].shape());
        };
        let mask =
            self.mask_input.map(|mask| Mask::new(&inputs[mask], [batch, heads, queries, keys]));
        let mask = mask.transpose()?;
        let lengths = match self.lengths_input {
            Some(lengths) => {
                let lengths = elements::<i64>(&inputs[lengths])?;
                Some(lengths.try_as_plain_ram()?.as_slice::<i64>()?.to_vec())
            }
            None => None,
        };
        let has_batch_length = lengths.as_ref().is_none_or(|lengths| lengths.len() == batch);
        ensure!(has_batch_length, "expected {batch} lengths of the cache, found {lengths:?}");
        let past_keys = self.past_input.map_or(0, |past| inputs[past].shape()[2]) as i64;

        let mut weights = inputs[0].clone().into_tensor();
        let mut qk_output = self.qk_output.map(|_| Vec::with_capacity(weights.len()));
        let mut bias = vec![0.0; keys];
        let mut rows = weights.try_as_plain_ram_mut()?;
        for (row, products) in rows.as_slice_mut::<f32>()?.chunks_exact_mut(keys.max(1)).enumerate()
        {
            let (item, head, query) = (row / queries / heads, row / queries % heads, row % queries);
            let length = lengths.as_ref().map(|lengths| lengths[item]);
            // Number of keys before the first query.
            let offset = length.map_or(past_keys, |length| length - queries as i64);
            self.hide_keys(&mut bias, offset + query as i64, length);
            if let Some(mask) = &mask {
                mask.add(&mut bias, [item, head, query]);
            }
            self.weigh(products, &bias, qk_output.as_mut());
        }
        let mut outputs = vec![weights];
        if let Some(qk_output) = qk_output {
            outputs.push(tensor(inputs[0].shape(), qk_output)?);
        }
        Ok(outputs)
    }
}

impl AttentionWeights {
    /// Sets the bias of a query at `position` to 0 for the keys that it attends to, and to −∞ for
    /// all other keys. `length` is the number of valid keys.
    fn hide_keys(&self, bias: &mut [f32], position: i64, length: Option<i64>) {
        for (key, bias) in (0..).zip(bias) {
            let is_visible = (!self.causal || key <= position)
                && self.left.is_none_or(|left| position.saturating_sub(left) <= key)
                && self.right.is_none_or(|right| key <= position.saturating_add(right))
                && length.is_none_or(|length| key < length);
            *bias = if is_visible { 0.0 } else { f32::NEG_INFINITY };
        }
    }

    /// Replaces the products of a query with all keys by the weights. Appends the requested stage
    /// to `qk_output`.
    fn weigh(&self, line: &mut [f32], bias: &[f32], mut qk_output: Option<&mut Vec<f32>>) {
        let mut record = |stage: QkStage, line: &[f32]| {
            if let Some(output) = qk_output.as_mut().filter(|_| self.qk_output == Some(stage)) {
                output.extend_from_slice(line);
            }
        };
        line.iter_mut().for_each(|product| *product *= self.scale);
        record(QkStage::Products, line);
        if self.softcap > 0.0 {
            line.iter_mut().for_each(|x| *x = self.softcap * (*x / self.softcap).tanh());
        }
        record(QkStage::Capped, line);
        line.iter_mut().zip(bias).for_each(|(product, bias)| *product += bias);
        record(QkStage::Biased, line);
        if bias.iter().all(|bias| *bias == f32::NEG_INFINITY) {
            line.fill(0.0);
        } else {
            vectorized(Softmax(line));
        }
        record(QkStage::Weights, line);
    }
}

/// Softmax of one row.
struct Softmax<'a>(&'a mut [f32]);

impl Vectorized for Softmax<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let (chunks, rest) = self.0.as_chunks::<LANES>();
        let mut largest = [f32::NEG_INFINITY; LANES];
        for chunk in chunks.iter().map(<[f32; LANES]>::as_slice).chain([rest]) {
            for (largest, x) in largest.iter_mut().zip(chunk) {
                *largest = if *x > *largest { *x } else { *largest };
            }
        }
        let largest = largest.into_iter().fold(f32::NEG_INFINITY, f32::max);
        self.0.iter_mut().for_each(|x| *x = exp(*x - largest));
        let (chunks, rest) = self.0.as_chunks::<LANES>();
        let mut sums = [0.0; LANES];
        for chunk in chunks.iter().map(<[f32; LANES]>::as_slice).chain([rest]) {
            sums.iter_mut().zip(chunk).for_each(|(sum, x)| *sum += x);
        }
        let sum: f32 = sums.into_iter().sum();
        self.0.iter_mut().for_each(|x| *x /= sum);
    }
}

/// A bias to add to the products, for each query and key.
struct Mask {
    /// The mask's elements as numbers. Booleans become 0 (`true`) and −∞ (`false`).
    values: Vec<f32>,
    /// Strides between batch items, heads and queries; 0 for an axis that is broadcast.
    strides: [usize; 3],
    /// Number of keys that the mask covers. Keys beyond them are hidden.
    keys: usize,
}

impl Mask {
    /// Reads the mask for products of the given shape.
    fn new(mask: &TValue, shape: [usize; 4]) -> TractResult<Mask> {
        let values = match mask.datum_type() {
            DatumType::Bool => mask
                .try_as_plain_ram()?
                .as_slice::<bool>()?
                .iter()
                .map(|is_visible| if *is_visible { 0.0 } else { f32::NEG_INFINITY })
                .collect(),
            _ => elements::<f32>(mask)?.try_as_plain_ram()?.as_slice::<f32>()?.to_vec(),
        };
        let mut lengths = [1; 4];
        let rank = mask.rank().min(4);
        lengths[4 - rank..].copy_from_slice(&mask.shape()[..rank]);
        let keys = lengths[3];
        let mut stride = keys;
        let mut strides = [0; 3];
        for axis in (0..3).rev() {
            let is_broadcastable = lengths[axis] == 1 || lengths[axis] == shape[axis];
            ensure!(
                is_broadcastable && keys <= shape[3],
                "expected a mask that broadcasts to {shape:?}, found shape {lengths:?}"
            );
            strides[axis] = if lengths[axis] == 1 { 0 } else { stride };
            stride *= lengths[axis];
        }
        Ok(Mask { values, strides, keys })
    }

    /// Adds the mask of a query to its bias. `position` is the item of the batch, the head and the
    /// query.
    fn add(&self, bias: &mut [f32], position: [usize; 3]) {
        let start: usize =
            position.iter().zip(self.strides).map(|(index, stride)| index * stride).sum();
        let (covered, hidden) = bias.split_at_mut(self.keys);
        let values = &self.values[start..start + self.keys];
        covered.iter_mut().zip(values).for_each(|(bias, value)| *bias += value);
        hidden.fill(f32::NEG_INFINITY);
    }
}

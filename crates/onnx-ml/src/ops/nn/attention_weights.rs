//! Weights of the values in [Attention](https://onnx.ai/onnx/operators/onnx__Attention.html): takes
//! the products of queries and keys `[N, H, S, T]`, applies the soft cap and the masks, and
//! computes the softmax over the keys.
//!
//! A query that may attend to no key gets weights of zero, so its output is zero and not NaN.

use crate::kernels::simd::{Vectorized, exp, vectorized};
use crate::operator::kernel::{Fact, Kernel, elements, tensor};
use tract_onnx::tract_hir::internal::*;

/// Number of elements that sums and maxima process at once, one per SIMD lane.
const LANES: usize = 16;

#[derive(Debug, Clone)]
pub struct AttentionWeights {
    pub scale: f32,
    /// Soft cap of the products; 0 disables it.
    pub softcap: f32,
    pub causal: bool,
    /// Number of keys before the query's own position that the query attends to; `None` is
    /// unlimited.
    pub left: Option<i64>,
    pub right: Option<i64>,
    /// Indices of the optional inputs: the mask (a bias or booleans), the keys of earlier calls,
    /// and the number of valid keys in an external cache.
    pub mask: Option<usize>,
    pub past: Option<usize>,
    pub lengths: Option<usize>,
    /// Stage of the computation that the second output returns, if the node has that output.
    pub shown: Option<Shown>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shown {
    Products,
    Capped,
    Biased,
    Weights,
}

impl Kernel for AttentionWeights {
    const NAME: &'static str = "AttentionWeights";
    const OUTPUTS: usize = 2;

    fn outputs(&self, inputs: &[Fact]) -> TractResult<TVec<Fact>> {
        let products = Fact::new(f32::datum_type(), inputs[0].shape.iter().cloned());
        if let Some(mask) = self.mask {
            let rank = inputs[mask].shape.len();
            ensure!((1..=4).contains(&rank), "expected a mask of 1 to 4 dimensions, found {rank}");
        }
        Ok(tvec!(products.clone(), products))
    }

    fn eval(&self, inputs: &[TValue]) -> TractResult<Vec<Tensor>> {
        let [batch, heads, queries, keys] = *inputs[0].shape() else {
            bail!("expected four dimensions, found shape {:?}", inputs[0].shape());
        };
        let mask = self.mask.map(|mask| Mask::new(&inputs[mask], [batch, heads, queries, keys]));
        let mask = mask.transpose()?;
        let lengths = match self.lengths {
            Some(lengths) => {
                let lengths = elements::<i64>(&inputs[lengths])?;
                Some(lengths.try_as_plain_ram()?.as_slice::<i64>()?.to_vec())
            }
            None => None,
        };
        let fits = lengths.as_ref().is_none_or(|lengths| lengths.len() == batch);
        ensure!(fits, "expected {batch} lengths, found {lengths:?}");
        let past = self.past.map_or(0, |past| inputs[past].shape()[2]) as i64;

        let mut weights = inputs[0].clone().into_tensor();
        let mut shown = self.shown.map(|_| Vec::with_capacity(weights.len()));
        let mut bias = vec![0.0; keys];
        let mut plain = weights.try_as_plain_ram_mut()?;
        for (row, line) in plain.as_slice_mut::<f32>()?.chunks_exact_mut(keys.max(1)).enumerate() {
            let (item, head, query) = (row / queries / heads, row / queries % heads, row % queries);
            let length = lengths.as_ref().map(|lengths| lengths[item]);
            let offset = length.map_or(past, |length| length - queries as i64);
            self.see(&mut bias, offset + query as i64, length);
            if let Some(mask) = &mask {
                mask.add(&mut bias, [item, head, query]);
            }
            self.weigh(line, &bias, shown.as_mut());
        }
        let mut outputs = vec![weights];
        if let Some(shown) = shown {
            outputs.push(tensor(inputs[0].shape(), shown)?);
        }
        Ok(outputs)
    }
}

impl AttentionWeights {
    /// Sets the bias of a query at `position` to 0 for the keys it attends to and to −∞ for all
    /// others.
    fn see(&self, bias: &mut [f32], position: i64, length: Option<i64>) {
        for (key, bias) in (0..).zip(bias) {
            let seen = (!self.causal || key <= position)
                && self.left.is_none_or(|left| position.saturating_sub(left) <= key)
                && self.right.is_none_or(|right| key <= position.saturating_add(right))
                && length.is_none_or(|length| key < length);
            *bias = if seen { 0.0 } else { f32::NEG_INFINITY };
        }
    }

    fn weigh(&self, line: &mut [f32], bias: &[f32], shown: Option<&mut Vec<f32>>) {
        let mut shown = shown;
        let mut show = |stage: Shown, line: &[f32]| {
            if let Some(shown) = shown.as_mut().filter(|_| self.shown == Some(stage)) {
                shown.extend_from_slice(line);
            }
        };
        line.iter_mut().for_each(|product| *product *= self.scale);
        show(Shown::Products, line);
        if self.softcap > 0.0 {
            line.iter_mut().for_each(|x| *x = self.softcap * (*x / self.softcap).tanh());
        }
        show(Shown::Capped, line);
        line.iter_mut().zip(bias).for_each(|(product, bias)| *product += bias);
        show(Shown::Biased, line);
        if bias.iter().all(|bias| *bias == f32::NEG_INFINITY) {
            line.fill(0.0);
        } else {
            vectorized(Softmax(line));
        }
        show(Shown::Weights, line);
    }
}

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

/// Bias to add to the products, per query and key.
struct Mask {
    values: Vec<f32>,
    /// Strides between batch items, heads and queries; 0 for an axis that is broadcast.
    strides: [usize; 3],
    /// Number of keys that the mask covers; keys beyond it are hidden.
    keys: usize,
}

impl Mask {
    fn new(mask: &TValue, shape: [usize; 4]) -> TractResult<Mask> {
        let values = match mask.datum_type() {
            DatumType::Bool => mask
                .try_as_plain_ram()?
                .as_slice::<bool>()?
                .iter()
                .map(|seen| if *seen { 0.0 } else { f32::NEG_INFINITY })
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
            let fits = lengths[axis] == 1 || lengths[axis] == shape[axis];
            ensure!(fits && keys <= shape[3], "expected a mask for {shape:?}, found {lengths:?}");
            strides[axis] = if lengths[axis] == 1 { 0 } else { stride };
            stride *= lengths[axis];
        }
        Ok(Mask { values, strides, keys })
    }

    fn add(&self, bias: &mut [f32], place: [usize; 3]) {
        let start: usize = place.iter().zip(self.strides).map(|(at, stride)| at * stride).sum();
        let (known, hidden) = bias.split_at_mut(self.keys);
        let values = &self.values[start..start + self.keys];
        known.iter_mut().zip(values).for_each(|(bias, value)| *bias += value);
        hidden.fill(f32::NEG_INFINITY);
    }
}

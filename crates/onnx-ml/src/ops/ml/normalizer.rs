//! [Normalizer](https://onnx.ai/onnx/operators/onnx_aionnxml_Normalizer.html): divides each row by
//! the row's norm, unless the norm is zero. The norm is the row's maximum, its sum of absolute
//! values or its Euclidean length.
//!
//! The maximum is the greatest value, not the greatest absolute value, as in ONNX Runtime.

use crate::kernels::simd::{Vectorized, vectorized};
use crate::operator::adapter::{Built, operator};
use crate::operator::kernel::{Fact, Kernel};
use crate::operator::tensors::{elements, matrix, tensor};
use serde::{Deserialize, Serialize};
use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::*;

/// The operator. The variant is the norm by which a row is divided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
pub enum Normalizer {
    /// The maximum.
    Max,
    /// The sum of absolute values.
    L1,
    /// The Euclidean length.
    L2,
}

/// Builds the operator.
pub fn normalizer(_: &ParsingContext, node: &NodeProto) -> Built {
    let normalizer = match node.get_attr_opt("norm")?.unwrap_or("MAX") {
        "MAX" => Normalizer::Max,
        "L1" => Normalizer::L1,
        "L2" => Normalizer::L2,
        found => {
            let message = format!("expected MAX, L1 or L2, found {found}");
            return node.bail_attr("norm", &message);
        }
    };
    operator(node, 1, normalizer)
}

impl Normalizer {
    /// Divides `row` by its norm, in place.
    #[inline(always)]
    pub fn normalize(self, row: &mut [f32]) {
        let norm = match self {
            Normalizer::Max => row.iter().fold(f32::MIN, |max, x| if *x > max { *x } else { max }),
            Normalizer::L1 => row.iter().map(|x| x.abs()).sum(),
            // The square of the length: the division below takes the root.
            Normalizer::L2 => row.iter().map(|x| x * x).sum(),
        };
        if norm == 0.0 {
            return;
        }
        for x in row {
            *x = match self {
                Normalizer::Max | Normalizer::L1 => *x / norm,
                Normalizer::L2 => (*x * *x / norm).sqrt().copysign(*x),
            };
        }
    }
}

impl Kernel for Normalizer {
    const NAME: &'static str = "Normalizer";

    fn outputs(&self, inputs: &[Fact]) -> TractResult<TVec<Fact>> {
        ensure!(inputs[0].is_number(), "expected numbers, found {:?}", inputs[0].datum_type);
        inputs[0].matrix()?;
        Ok(tvec!(Fact::new(f32::datum_type(), inputs[0].shape.iter().cloned())))
    }

    fn eval(&self, inputs: &[TValue]) -> TractResult<Vec<Tensor>> {
        let (_, columns) = matrix(&inputs[0]);
        let input = elements::<f32>(&inputs[0])?;
        let mut normalized = input.try_as_plain_ram()?.as_slice::<f32>()?.to_vec();
        vectorized(Rows { normalizer: *self, elements: &mut normalized, columns: columns.max(1) });
        Ok(vec![tensor(inputs[0].shape(), normalized)?])
    }
}

/// Rows to normalize in place.
struct Rows<'a> {
    normalizer: Normalizer,
    /// `[rows, columns]`.
    elements: &'a mut [f32],
    columns: usize,
}

impl Vectorized for Rows<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        // The compiler unrolls the loops over a constant number of columns.
        match self.columns {
            2 => self.normalize_rows_of::<2>(),
            3 => self.normalize_rows_of::<3>(),
            4 => self.normalize_rows_of::<4>(),
            columns => {
                for row in self.elements.chunks_mut(columns) {
                    self.normalizer.normalize(row);
                }
            }
        }
    }
}

impl Rows<'_> {
    /// Normalizes rows of `N` columns.
    #[inline(always)]
    fn normalize_rows_of<const N: usize>(self) {
        for row in self.elements.as_chunks_mut::<N>().0 {
            self.normalizer.normalize(row);
        }
    }
}

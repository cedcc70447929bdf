//! The weights of
//! [DynamicQuantizeLSTM](https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md#com.microsoft.DynamicQuantizeLSTM),
//! an LSTM whose weights are 8-bit integers. Each product first quantizes its input rows to the range of the rows' elements.

use serde::{Deserialize, Serialize};
use tract_onnx::tract_hir::internal::*;

/// Indices of the inputs that contain a matrix of integers, its scales and its zero points.
#[derive(Debug, Clone, Copy, Deserialize, Serialize)]
pub struct QuantizedInputs {
    pub integers: usize,
    pub scales: usize,
    pub zeros: Option<usize>,
}

impl QuantizedInputs {
    /// Returns the matrices of integers minus zero points, and the scale of each matrix row.
    ///
    /// The input is `[directions, columns, gates]`. The result is `[directions, gates, columns]`, as
    /// LSTM has it, and the scales are `[directions, gates]`.
    ///
    /// # Errors
    ///
    /// Returns an error if a tensor is missing or has a wrong shape.
    pub fn unpack(&self, inputs: &[Option<&Tensor>]) -> TractResult<(Tensor, Tensor)> {
        let input = |index: usize| inputs[index].context("expected constant weights");
        let mut integers = input(self.integers)?.cast_to::<f32>()?.into_owned();
        let [directions, columns, gates] = *integers.shape() else {
            bail!("expected weights of rank 3, found shape {:?}", integers.shape());
        };
        if let Some(zeros) = self.zeros {
            let zeros = per_gate(input(zeros)?, directions, gates)?;
            let mut view = integers.try_as_plain_ram_mut()?;
            let matrices = view.as_slice_mut::<f32>()?.chunks_mut((columns * gates).max(1));
            for (matrix, zeros) in matrices.zip(zeros.chunks(gates.max(1))) {
                for (integer, zero) in matrix.iter_mut().zip(zeros.iter().cycle()) {
                    *integer -= zero;
                }
            }
        }
        let scales = per_gate(input(self.scales)?, directions, gates)?;
        let scales = Tensor::from_shape(&[directions, gates], &scales)?;
        Ok((integers.permute_axes(&[0, 2, 1])?, scales))
    }
}

/// Returns a value for each gate of each direction. `values` contains a value for each gate of each direction, or a
/// value for each direction.
fn per_gate(values: &Tensor, directions: usize, gates: usize) -> TractResult<Vec<f32>> {
    let values = values.cast_to::<f32>()?;
    let values = values.try_as_plain_ram()?.as_slice::<f32>()?;
    if values.len() == directions {
        return Ok(values.iter().flat_map(|value| vec![*value; gates]).collect());
    }
    let (expected, found) = (directions * gates, values.len());
    ensure!(expected == found, "expected {directions} or {expected} scales, found {found}");
    Ok(values.to_vec())
}

//! All inputs of a model, or all its outputs.

use crate::signature::Signature;
use crate::tensor::Tensor;
use crate::value::Mismatch;

/// A tensor for each input or for each output of a model, in the signature's order. Each tensor has a row
/// for each entry of its first axis. All tensors have the same number of rows.
#[derive(Debug, Clone, PartialEq)]
pub struct Tensors {
    rows: usize,
    tensors: Vec<Tensor>,
}

impl Tensors {
    /// Checks and combines the tensors of all inputs. They must be in the signature's order.
    ///
    /// # Errors
    ///
    /// Returns an error if a tensor's datatype or shape differs from the signature, or if its number of
    /// rows differs from the first tensor's. The error is the index of the tensor and the mismatch.
    ///
    /// # Panics
    ///
    /// Panics if the number of tensors differs from the number of inputs.
    pub fn from_inputs(
        signature: &Signature,
        tensors: Vec<Tensor>,
    ) -> Result<Tensors, (usize, Mismatch)> {
        assert_eq!(tensors.len(), signature.inputs.len());
        let rows = tensors.first().and_then(|tensor| tensor.shape().first()).copied().unwrap_or(0);
        for (index, (spec, tensor)) in signature.inputs.iter().zip(&tensors).enumerate() {
            if tensor.datatype() != spec.datatype {
                let (expected, found) = (spec.datatype.onnx_name(), tensor.datatype().onnx_name());
                return Err((index, Mismatch::new(expected, found)));
            }
            let shape = tensor.shape();
            spec.check(shape).map_err(|mismatch| (index, mismatch))?;
            if shape[0] != rows {
                let expected = format!("{rows} rows, as `{}` has", signature.inputs[0].name);
                return Err((index, Mismatch::new(expected, shape[0].to_string())));
            }
        }
        Ok(Tensors { rows, tensors })
    }

    pub(crate) fn new(rows: usize, tensors: Vec<Tensor>) -> Tensors {
        debug_assert!(tensors.iter().all(|tensor| tensor.shape().first() == Some(&rows)));
        Tensors { rows, tensors }
    }

    pub fn rows(&self) -> usize {
        self.rows
    }

    pub fn tensors(&self) -> &[Tensor] {
        &self.tensors
    }

    pub(crate) fn into_tensors(self) -> Vec<Tensor> {
        self.tensors
    }

    /// Copies the rows into chunks of at most `max_rows` rows.
    pub(crate) fn chunks(&self, max_rows: usize) -> impl Iterator<Item = Tensors> {
        (0..self.rows).step_by(max_rows).map(move |first| {
            let rows = first..self.rows.min(first.saturating_add(max_rows));
            let slice = |tensor: &Tensor| tensor.slice(rows.clone());
            Tensors::new(rows.len(), self.tensors.iter().map(slice).collect())
        })
    }

    /// Concatenates the rows of `parts`. All parts must have the same outputs. Returns `None` if there are
    /// no parts, or if the rows of an output differ in shape.
    pub(crate) fn concat(parts: &[Tensors]) -> Option<Tensors> {
        let rows = parts.iter().map(Tensors::rows).sum();
        let concat = |index| {
            let parts: Vec<&Tensor> = parts.iter().map(|part| &part.tensors[index]).collect();
            Tensor::concat(&parts)
        };
        let tensors = (0..parts.first()?.tensors.len()).map(concat).collect::<Option<_>>()?;
        Some(Tensors::new(rows, tensors))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::datatype::Datatype;
    use crate::tensor::Data;
    use std::sync::Arc;

    #[test]
    fn concatenated_chunks_equal_the_original() {
        let numbers = Tensor::new(&[5, 2], Data::Int64((0..10).collect()));
        let strings = Tensor::new(&[5], Data::String((0..5).map(|i| i.to_string()).collect()));
        let indices = tract_onnx::prelude::tensor1(&[0_i64, 1, 1, 0, 1]);
        let labels = Arc::from(["no".to_owned(), "yes".to_owned()]);
        let labels = Tensor::from_tract(indices, Datatype::String, Some(labels)).expect("indices");
        let tensors = Tensors::new(5, vec![numbers, strings, labels]);
        for (max_rows, count) in [(1, 5), (2, 3), (3, 2), (5, 1), (usize::MAX, 1)] {
            let chunks: Vec<Tensors> = tensors.chunks(max_rows).collect();
            assert_eq!(chunks.len(), count);
            assert!(chunks.iter().all(|chunk| chunk.rows() <= max_rows));
            assert_eq!(Tensors::concat(&chunks).as_ref(), Some(&tensors));
        }
    }
}

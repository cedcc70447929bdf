//! The outputs of a model with the batch axis first, for formats that write one row after another.

use crate::signature::Signature;
use crate::tensor::Tensor;
use crate::tensors::Tensors;

/// The outputs of a model. The first axis of each tensor has an entry for each row. Tensors that belong to the whole
/// request ([`Signature::is_given_once`]) have no such axis.
#[derive(Debug, Clone, PartialEq)]
pub struct RowOutputs {
    rows: usize,
    tensors: Vec<Tensor>,
}

impl RowOutputs {
    /// Makes the batch axis of each output the first axis. Elements are moved only if the batch axis is a different
    /// axis. An output that is [stacked](Signature::is_stacked) gets a first axis of length 1 if there is one row. With
    /// several rows, the output already has the first axis.
    pub fn new(signature: &Signature, outputs: Tensors) -> RowOutputs {
        let rows = outputs.rows();
        let tensors = signature.outputs.iter().zip(outputs.into_tensors());
        let tensors = tensors.map(|(spec, tensor)| match spec.batch_axis {
            Some(axis) => tensor.move_axis(axis, 0),
            None if signature.is_stacked(spec) && rows == 1 => tensor.insert_first_axis(),
            None => tensor,
        });
        RowOutputs { rows, tensors: tensors.collect() }
    }

    pub fn rows(&self) -> usize {
        self.rows
    }

    pub fn tensors(&self) -> &[Tensor] {
        &self.tensors
    }
}

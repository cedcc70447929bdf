//! The values during a run.

use crate::dynamic::value::Value;
use std::collections::BTreeMap;
use std::sync::Arc;
use tract_onnx::prelude::*;
use tract_onnx::tract_hir::internal::*;

/// The values that exist at a point of a run. Values that no later node reads are dropped.
#[derive(Debug, Default)]
pub struct Values(BTreeMap<usize, Slot>);

/// A value of the graph that exists in a run.
#[derive(Debug)]
pub struct Slot {
    pub value: Value,
    /// True if the value depends only on the shapes of the graph's inputs.
    pub constant: bool,
}

impl Values {
    /// Returns the value with index `id`, if it exists.
    pub fn get(&self, id: usize) -> Option<&Value> {
        self.0.get(&id).map(|slot| &slot.value)
    }

    /// Returns the values in the order of their indices.
    pub fn iter(&self) -> impl Iterator<Item = (usize, &Slot)> {
        self.0.iter().map(|(id, slot)| (*id, slot))
    }

    /// Returns the tensor with index `id`.
    ///
    /// # Errors
    ///
    /// Returns an error if the value does not exist or is not a tensor.
    pub fn tensor(&self, id: usize) -> TractResult<&TValue> {
        self.get(id).with_context(|| format!("expected value {id}, found none"))?.tensor()
    }

    /// Adds a value that is computed in this run.
    pub fn insert(&mut self, id: usize, value: Value) {
        self.0.insert(id, Slot { value, constant: false });
    }

    /// Adds a tensor that depends only on the shapes of the graph's inputs.
    pub fn insert_constant(&mut self, id: usize, tensor: Arc<Tensor>) {
        self.0.insert(id, Slot { value: Value::Tensor(tensor.into_tvalue()), constant: true });
    }

    /// Drops the values that no node from index `start` on reads. `end` is [`Graph::end`](super::graph::Graph::end).
    pub fn drop_unused(&mut self, end: &[usize], start: usize) {
        self.0.retain(|id, _| end[*id] > start);
    }
}

//! All inputs of a model, or all its outputs.

use crate::signature::{Signature, TensorSpec};
use crate::tensor::Tensor;
use crate::value::Mismatch;
use std::iter::{once, repeat_n};

/// A tensor for each input or for each output of a model, in the signature's order. All tensors with a batch axis have
/// the same number of rows.
///
/// The axes of a tensor are the axes that the graph declares, with one exception. If each row runs alone
/// ([`Signature::fixed_rows`] is 1), a tensor without a batch axis belongs to one row. If there are several rows, their
/// tensors are then stacked along an additional first axis.
#[derive(Debug, Clone, PartialEq)]
pub struct Tensors {
    rows: usize,
    tensors: Vec<Tensor>,
}

impl Tensors {
    /// Checks and combines the tensors of all inputs. The tensors must be in the signature's order.
    ///
    /// # Errors
    ///
    /// Returns the index of a tensor and the mismatch
    ///
    /// - if a tensor's datatype or shape differs from the signature;
    /// - if a tensor has a different number of rows than the tensors before it;
    /// - if there are several rows, although each row runs alone and an input or an output of the graph has no batch
    ///   axis.
    ///
    /// # Panics
    ///
    /// Panics if the number of tensors differs from the number of inputs.
    pub fn from_inputs(
        signature: &Signature,
        tensors: Vec<Tensor>,
    ) -> Result<Tensors, (usize, Mismatch)> {
        assert_eq!(tensors.len(), signature.inputs.len());
        let mut all = signature.inputs.iter().chain(&signature.outputs);
        let is_one_row = all.any(|spec| signature.is_stacked(spec));
        let mut rows = is_one_row.then_some((1, None));
        for (index, (spec, tensor)) in signature.inputs.iter().zip(&tensors).enumerate() {
            if tensor.datatype() != spec.datatype {
                let (expected, found) = (spec.datatype.onnx_name(), tensor.datatype().onnx_name());
                return Err((index, Mismatch::new(expected, found)));
            }
            spec.check(tensor.shape()).map_err(|mismatch| (index, mismatch))?;
            let Some(axis) = spec.batch_axis else { continue };
            let found = tensor.shape()[axis];
            let (expected, first) = *rows.get_or_insert((found, Some(spec)));
            if found != expected {
                let expected = match first {
                    Some(first) if axis > 0 => {
                        format!("{expected} rows along axis {axis}, as `{}` has", first.name)
                    }
                    Some(first) => format!("{expected} rows, as `{}` has", first.name),
                    None => "1 row".to_owned(),
                };
                return Err((index, Mismatch::new(expected, found.to_string())));
            }
        }
        Ok(Tensors { rows: rows.map_or(1, |(rows, _)| rows), tensors })
    }

    pub(crate) fn new(rows: usize, tensors: Vec<Tensor>) -> Tensors {
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

    /// Splits inputs into parts of at most `max_rows` rows. Every part contains a copy of the tensors that have no
    /// rows.
    pub(crate) fn chunks(
        &self,
        signature: &Signature,
        max_rows: usize,
    ) -> impl Iterator<Item = Tensors> {
        (0..self.rows).step_by(max_rows).map(move |first| {
            let rows = first..self.rows.min(first.saturating_add(max_rows));
            let specs = signature.inputs.iter().zip(&self.tensors);
            let slices = specs.map(|(spec, tensor)| match spec.batch_axis {
                Some(axis) => tensor.slice(axis, rows.clone()),
                None if signature.is_stacked(spec) => {
                    let stacked = tensor.slice(0, rows.clone());
                    if rows.len() == 1 { stacked.remove_first_axis() } else { stacked }
                }
                None => tensor.clone(),
            });
            Tensors::new(rows.len(), slices.collect())
        })
    }

    /// Concatenates the rows of `parts`. Each part contains all outputs of the signature. Returns `None` if the rows of
    /// an output differ in shape, or if an output has no rows because it belongs to the whole request.
    pub(crate) fn concat(signature: &Signature, parts: Vec<Tensors>) -> Option<Tensors> {
        let rows = parts.iter().map(Tensors::rows).sum();
        let mut columns: Vec<Vec<Tensor>> = signature.outputs.iter().map(|_| vec![]).collect();
        for part in parts {
            for ((column, spec), tensor) in
                columns.iter_mut().zip(&signature.outputs).zip(part.tensors)
            {
                let is_stacked = signature.is_stacked(spec) && part.rows == 1;
                column.push(if is_stacked { tensor.insert_first_axis() } else { tensor });
            }
        }
        let concat = |(spec, column): (&TensorSpec, Vec<Tensor>)| {
            let axis = spec.batch_axis.or(signature.is_stacked(spec).then_some(0))?;
            Tensor::concat(axis, &column.iter().collect::<Vec<_>>())
        };
        let tensors = signature.outputs.iter().zip(columns).map(concat).collect::<Option<_>>()?;
        Some(Tensors::new(rows, tensors))
    }

    /// Repeats the last row until there are `count` rows. `specs` contains the specification of each tensor.
    pub(crate) fn padded(self, specs: &[TensorSpec], count: usize) -> Tensors {
        let rows = self.rows;
        let pad = |(tensor, spec): (Tensor, &TensorSpec)| {
            let Some(axis) = spec.batch_axis else { return tensor };
            let last = tensor.slice(axis, rows - 1..rows);
            let padding = repeat_n(&last, count.saturating_sub(rows));
            let parts: Vec<&Tensor> = once(&tensor).chain(padding).collect();
            Tensor::concat(axis, &parts).expect("rows of one shape")
        };
        let tensors = self.tensors.into_iter().zip(specs).map(pad).collect();
        Tensors::new(count, tensors)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::datatype::Datatype;
    use crate::tensor::Data;
    use std::sync::Arc;

    /// Returns a signature with the same tensors as inputs and as outputs: numbers of shape `[N, 2]`, strings of shape
    /// `[N]` and labels of shape `[3, N]`. `axes` are the batch axes of the three tensors.
    fn signature(axes: [Option<usize>; 3], fixed_rows: Option<usize>) -> Signature {
        let spec = |name: &str, datatype, shape: &[Option<usize>], batch_axis| TensorSpec {
            name: name.into(),
            datatype,
            shape: shape.to_vec(),
            batch_axis,
        };
        let [numbers, strings, labels] = axes;
        let specs = vec![
            spec("numbers", Datatype::Int64, &[None, Some(2)], numbers),
            spec("strings", Datatype::String, &[None], strings),
            spec("labels", Datatype::String, &[Some(3), None], labels),
        ];
        Signature {
            name: "model".into(),
            version: "1".into(),
            description: None,
            inputs: specs.clone(),
            outputs: specs,
            fixed_rows,
            features: vec![],
            task: crate::signature::Task::Other,
            class_meanings: vec![],
            metrics: vec![],
            by_name: Default::default(),
        }
    }

    /// Returns the three tensors of [`signature`], with `rows` rows.
    fn tensors(rows: usize) -> Vec<Tensor> {
        let numbers = (0..2 * rows as i64).collect();
        let strings = (0..rows).map(|i| i.to_string()).collect();
        let indices: Vec<i64> = (0..3 * rows as i64).map(|index| index % 2).collect();
        let indices = tract_onnx::prelude::Tensor::from_shape(&[3, rows], &indices);
        let labels = Arc::from(["no".to_owned(), "yes".to_owned()]);
        vec![
            Tensor::new(&[rows, 2], Data::Int64(numbers)),
            Tensor::new(&[rows], Data::String(strings)),
            Tensor::from_tract(indices.expect("indices"), Datatype::String, Some(labels))
                .expect("indices"),
        ]
    }

    #[test]
    fn concatenated_chunks_equal_the_original() {
        let signature = signature([Some(0), Some(0), Some(1)], None);
        let tensors = Tensors::new(5, tensors(5));
        for (max_rows, count) in [(1, 5), (2, 3), (3, 2), (5, 1), (usize::MAX, 1)] {
            let chunks: Vec<Tensors> = tensors.chunks(&signature, max_rows).collect();
            assert_eq!(chunks.len(), count);
            assert!(chunks.iter().all(|chunk| chunk.rows() <= max_rows));
            assert_eq!(Tensors::concat(&signature, chunks).as_ref(), Some(&tensors));
        }
    }

    #[test]
    fn tensors_without_a_batch_axis_are_stacked_if_each_row_runs_alone() {
        let signature = signature([None; 3], Some(1));
        let stacked = tensors(4).into_iter().map(|tensor| {
            let rows = [tensor.clone().insert_first_axis(), tensor.insert_first_axis()];
            Tensor::concat(0, &rows.iter().collect::<Vec<_>>()).expect("equal shapes")
        });
        let stacked = Tensors::new(2, stacked.collect());
        let rows: Vec<Tensors> = stacked.chunks(&signature, 1).collect();
        assert_eq!(rows, [Tensors::new(1, tensors(4)), Tensors::new(1, tensors(4))]);
        assert_eq!(Tensors::concat(&signature, rows), Some(stacked));
    }

    #[test]
    fn padding_repeats_the_last_row() {
        let signature = signature([Some(0), None, Some(1)], Some(7));
        let padded = Tensors::new(5, tensors(5)).padded(&signature.inputs, 7);
        let shapes: Vec<&[usize]> = padded.tensors().iter().map(Tensor::shape).collect();
        assert_eq!((padded.rows(), shapes), (7, vec![&[7, 2][..], &[5], &[3, 7]]));
        let chunks: Vec<Tensors> = padded.chunks(&signature, 1).collect();
        assert_eq!(chunks[4], chunks[6]);
        assert_ne!(chunks[3], chunks[4]);
    }

    #[test]
    fn inputs_agree_on_the_number_of_rows() {
        let axes = [Some(0), None, Some(1)];
        let check = |tensors, fixed_rows| {
            let checked = Tensors::from_inputs(&signature(axes, fixed_rows), tensors);
            checked
                .map(|tensors| tensors.rows())
                .map_err(|(index, error)| (index, error.to_string()))
        };
        assert_eq!(check(tensors(4), None), Ok(4));
        let mut different = tensors(4);
        different[2] = tensors(3).remove(2);
        let error = "expected 4 rows along axis 1, as `numbers` has, found 3";
        assert_eq!(check(different, None), Err((2, error.into())));
        assert_eq!(check(tensors(1), Some(1)), Ok(1));
        assert_eq!(check(tensors(2), Some(1)), Err((0, "expected 1 row, found 2".into())));
    }
}

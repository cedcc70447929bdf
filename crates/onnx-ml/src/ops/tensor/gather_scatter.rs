//! Checks of the indices of
//! [Gather](https://onnx.ai/onnx/operators/onnx__Gather.html),
//! [GatherElements](https://onnx.ai/onnx/operators/onnx__GatherElements.html),
//! [GatherND](https://onnx.ai/onnx/operators/onnx__GatherND.html),
//! [ScatterElements](https://onnx.ai/onnx/operators/onnx__ScatterElements.html) and
//! [ScatterND](https://onnx.ai/onnx/operators/onnx__ScatterND.html).
//!
//! tract computes these operators, but panics if an index is out of range. A node before them ([`Positions`]) checks
//! the indices and converts negative indices, which count from the end of an axis. If the indices and the dimensions
//! are constants, the check is done when the model is loaded, and no node is added.

use crate::operator::adapter::{Built, kernel_op};
use crate::operator::invalid_value::{Expected, InvalidValue};
use crate::operator::kernel::{Fact, Kernel};
use crate::operator::lowering::{Io, Lowered, Lowering, Wiring, lower};
use crate::operator::tensors::{self, elements, tensor};
use serde::{Deserialize, Serialize};
use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::*;
use tract_onnx::tract_hir::ops::array::{
    Gather, GatherElements, GatherNd, ScatterElements, ScatterNd, ScatterReduction,
};

pub fn gather(_: &ParsingContext, node: &NodeProto) -> Built {
    let axis = axis(node)?;
    checked(node, Indexing::Axis(axis), Gather::new(axis))
}

pub fn gather_elements(_: &ParsingContext, node: &NodeProto) -> Built {
    let axis = axis(node)?;
    checked(node, Indexing::Elements(axis), GatherElements::new(axis))
}

pub fn gather_nd(_: &ParsingContext, node: &NodeProto) -> Built {
    let batch = node.get_attr_opt::<i64>("batch_dims")?.unwrap_or(0);
    let batch = usize::try_from(batch)
        .with_context(|| format!("expected batch_dims of 0 or more, found {batch}"))?;
    checked(node, Indexing::Tuples { batch }, Lowered(GatherTuples(GatherNd::new(batch))))
}

pub fn scatter_elements(_: &ParsingContext, node: &NodeProto) -> Built {
    let (axis, reduction) = (axis(node)?, reduction(node)?);
    checked(node, Indexing::Elements(axis), ScatterElements::new(axis, reduction))
}

pub fn scatter_nd(_: &ParsingContext, node: &NodeProto) -> Built {
    checked(node, Indexing::Tuples { batch: 0 }, ScatterNd::new(reduction(node)?))
}

/// Reads the attribute `axis`.
fn axis(node: &NodeProto) -> TractResult<i64> {
    Ok(node.get_attr_opt("axis")?.unwrap_or(0))
}

/// Reads the attribute `reduction`.
fn reduction(node: &NodeProto) -> TractResult<ScatterReduction> {
    ScatterReduction::parse(node.get_attr_opt("reduction")?.unwrap_or("none"))
}

/// Builds `operator` with a check of its indices.
fn checked(node: &NodeProto, indexing: Indexing, operator: impl Expansion) -> Built {
    let expected = if node.op_type.starts_with("Scatter") { 3 } else { 2 };
    let found = node.input.iter().filter(|name| !name.is_empty()).count();
    node.expect(found == expected, || format!("{expected} inputs, found {found}"))?;
    lower(Checked { indexing, operator: Box::new(operator) })
}

/// The meaning of an index into data of shape `[d0, d1, …]`.
#[derive(Debug, Clone, Copy, Deserialize, Serialize)]
enum Indexing {
    /// An index into this axis. The indices may have any shape.
    Axis(i64),
    /// An index into this axis. The coordinates along the other axes are the coordinates of the
    /// index in the tensor of indices.
    Elements(i64),
    /// A row along the last axis of the indices is a tuple of coordinates, for the axes after the
    /// first `batch` axes.
    Tuples { batch: usize },
}

impl Indexing {
    /// Returns the upper bound of an index (exclusive): one dimension for all indices, or a dimension for each element
    /// of a tuple.
    ///
    /// # Errors
    ///
    /// Returns an error if the shape of the indices does not match the shape of the data.
    fn sizes<D: DimLike>(self, data: &[D], indices: &[D]) -> TractResult<TVec<D>> {
        let (rank, indices_rank) = (data.len(), indices.len());
        match self {
            Indexing::Axis(axis) => Ok(tvec!(data[tensors::axis(axis, rank)?].clone())),
            Indexing::Elements(axis) => {
                ensure!(
                    rank == indices_rank,
                    "expected indices of rank {rank}, found rank {indices_rank}"
                );
                let axis = tensors::axis(axis, rank)?;
                let others = (0..rank).filter(|other| *other != axis);
                for (most, found) in others.map(|axis| (&data[axis], &indices[axis])) {
                    if let (Ok(most), Ok(found)) = (most.to_usize(), found.to_usize()) {
                        ensure!(
                            found <= most,
                            "expected indices of at most shape {data:?} except along axis {axis}, \
                             found {indices:?}"
                        );
                    }
                }
                Ok(tvec!(data[axis].clone()))
            }
            Indexing::Tuples { batch } => {
                let Some((last, rest)) = indices.split_last() else {
                    bail!("expected indices of rank 1 or more, found a scalar");
                };
                let last = last.to_usize()?;
                let in_range = batch <= rest.len() && batch + last <= rank;
                ensure!(
                    in_range,
                    "expected at most {} coordinates after {batch} batch axes, found \
                     indices of shape {indices:?}",
                    rank.saturating_sub(batch)
                );
                for (data, indices) in data.iter().zip(&rest[..batch]) {
                    if let (Ok(data), Ok(indices)) = (data.to_usize(), indices.to_usize()) {
                        ensure!(data == indices, "expected batches of {data}, found {indices}");
                    }
                }
                Ok(data[batch..][..last].into())
            }
        }
    }
}

/// An operator whose inputs are data, indices and (for scattering) updates, with a check of the
/// indices before it.
#[derive(Debug, Clone)]
struct Checked {
    indexing: Indexing,
    operator: Box<dyn Expansion>,
}

impl Lowering for Checked {
    fn name(&self) -> StaticName {
        self.operator.name()
    }

    fn rules<'r>(&'r self, solver: &mut Solver<'r>, [inputs, outputs]: Io<'r>) -> InferenceResult {
        solver.given_2(&inputs[0].shape, &inputs[1].shape, move |solver, data, indices| {
            let sizes = self.indexing.sizes(&data, &indices)?;
            if let (Indexing::Tuples { .. }, Some(updates)) = (self.indexing, inputs.get(2)) {
                let each = indices.iter().take(indices.len() - 1);
                let updated = each.chain(&data[sizes.len()..]).cloned().collect::<TVec<TDim>>();
                solver.equals(&updates.shape, updated)?;
            }
            self.operator.rules(solver, inputs, outputs)
        })
    }

    fn wire(
        &self,
        Wiring { prefix, model }: Wiring,
        inputs: &[OutletId],
    ) -> TractResult<TVec<OutletId>> {
        let data = model.outlet_fact(inputs[0])?.shape.clone();
        let indices = model.outlet_fact(inputs[1])?;
        let sizes = self.indexing.sizes(&data, &indices.shape)?;
        let sizes = sizes.iter().map(TDim::to_usize).collect::<Result<TVec<usize>, _>>().ok();
        // If all sizes are constants, the check needs no data. For `Elements`, the shapes of data
        // and indices must be constants too, because `Indexing::sizes` compares them.
        let is_elements = matches!(self.indexing, Indexing::Elements(_));
        let shapes_are_compared =
            !is_elements || data.as_concrete().is_some() && indices.shape.is_concrete();
        let sizes = sizes.filter(|_| shapes_are_compared);
        let name = format!("{prefix}.indices");
        let positions = match (&indices.konst, &sizes) {
            (Some(indices), Some(sizes)) => {
                let positions = from_start(&indices.clone().into_tvalue(), sizes)?;
                model.add_const(name, positions)?
            }
            _ => {
                let kernel_inputs = [inputs[1], inputs[0]];
                let kernel_inputs =
                    if sizes.is_some() { &kernel_inputs[..1] } else { &kernel_inputs };
                let kernel =
                    Positions { indexing: self.indexing, sizes: sizes.map(TVec::into_vec) };
                model.wire_node(name, kernel_op(kernel), kernel_inputs)?[0]
            }
        };
        let mut inputs: TVec<OutletId> = inputs.into();
        inputs[1] = positions;
        self.operator.wire(prefix, model, &inputs)
    }
}

/// Checks indices and makes them non-negative. The inputs are the indices and, if `sizes` is
/// `None`, the data.
#[derive(Debug, Deserialize, Serialize)]
pub struct Positions {
    indexing: Indexing,
    /// The dimensions from [`Indexing::sizes`]. `None` if the dimensions are known only at run time.
    sizes: Option<Vec<usize>>,
}

impl Kernel for Positions {
    const NAME: &'static str = "Positions";

    fn may_reject(&self) -> bool {
        true
    }

    fn outputs(&self, inputs: &[Fact]) -> TractResult<TVec<Fact>> {
        let indices = &inputs[0];
        let integers = indices.datum_type.is_integer() || indices.datum_type.is_tdim();
        ensure!(integers, "expected integers as indices, found {:?}", indices.datum_type);
        Ok(tvec!(Fact::new(i64::datum_type(), indices.shape.iter().cloned())))
    }

    fn eval(&self, inputs: &[TValue]) -> TractResult<Vec<Tensor>> {
        let sizes = match &self.sizes {
            Some(sizes) => sizes.as_slice().into(),
            None => self.indexing.sizes(inputs[1].shape(), inputs[0].shape())?,
        };
        Ok(vec![from_start(&inputs[0], &sizes)?])
    }
}

/// Returns the indices, with negative indices converted to positions from the start. `sizes` are
/// the dimensions of consecutive indices, repeated as often as necessary.
///
/// # Errors
///
/// Returns an [`InvalidValue`] if an index is out of range.
fn from_start(indices: &TValue, sizes: &[usize]) -> TractResult<Tensor> {
    let shape = indices.shape();
    let indices = elements::<i64>(indices)?;
    let indices = indices.try_as_plain_ram()?;
    let indices = indices.as_slice::<i64>()?;
    let mut positions = Vec::with_capacity(indices.len());
    for (index, size) in indices.iter().zip(sizes.iter().cycle()) {
        let size = *size as i64;
        let position = if *index < 0 { index + size } else { *index };
        if !(0..size).contains(&position) {
            let expected = Expected::Index { least: -size, most: size - 1 };
            return Err(InvalidValue { expected, found: index.to_string() }.into());
        }
        positions.push(position);
    }
    tensor(shape, positions)
}

/// Wraps tract's `GatherNd` in a [`Lowering`], so that [`Checked`] can contain it. `GatherNd` itself is not an
/// `Expansion`.
#[derive(Debug, Clone)]
struct GatherTuples(GatherNd);

impl Lowering for GatherTuples {
    fn name(&self) -> StaticName {
        "GatherND".into()
    }

    fn rules<'r>(&'r self, solver: &mut Solver<'r>, [inputs, outputs]: Io<'r>) -> InferenceResult {
        InferenceRulesOp::rules(&self.0, solver, inputs, outputs)
    }

    fn wire(
        &self,
        Wiring { prefix, model }: Wiring,
        inputs: &[OutletId],
    ) -> TractResult<TVec<OutletId>> {
        model.wire_node(prefix, self.0.clone(), inputs)
    }
}

//! Indices into the axes of a tensor, for
//! [Gather](https://onnx.ai/onnx/operators/onnx__Gather.html),
//! [GatherElements](https://onnx.ai/onnx/operators/onnx__GatherElements.html),
//! [GatherND](https://onnx.ai/onnx/operators/onnx__GatherND.html),
//! [ScatterElements](https://onnx.ai/onnx/operators/onnx__ScatterElements.html) and
//! [ScatterND](https://onnx.ai/onnx/operators/onnx__ScatterND.html).
//!
//! The operators are tract's, which panic if an index is out of range. A node inserted before them
//! checks the indices and converts negative ones. It is omitted if both indices and dimensions are
//! constants.

use crate::operator::invalid_value::{Expected, InvalidValue};
use crate::operator::kernel::{Built, Fact, Kernel, elements, kernel_op, tensor};
use crate::operator::lowering::{Io, Lowered, Lowering, Wiring, lower};
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
    let batch = usize::try_from(batch).with_context(|| format!("batch_dims: {batch}"))?;
    checked(node, Indexing::Tuples { batch }, Lowered(GatherTuples(GatherNd::new(batch))))
}

pub fn scatter_elements(_: &ParsingContext, node: &NodeProto) -> Built {
    let (axis, reduction) = (axis(node)?, reduction(node)?);
    checked(node, Indexing::Elements(axis), ScatterElements::new(axis, reduction))
}

pub fn scatter_nd(_: &ParsingContext, node: &NodeProto) -> Built {
    checked(node, Indexing::Tuples { batch: 0 }, ScatterNd::new(reduction(node)?))
}

fn axis(node: &NodeProto) -> TractResult<i64> {
    Ok(node.get_attr_opt("axis")?.unwrap_or(0))
}

fn reduction(node: &NodeProto) -> TractResult<ScatterReduction> {
    ScatterReduction::parse(node.get_attr_opt("reduction")?.unwrap_or("none"))
}

fn checked(node: &NodeProto, indexing: Indexing, operator: impl Expansion) -> Built {
    let expected = if node.op_type.starts_with("Scatter") { 3 } else { 2 };
    let found = node.input.iter().filter(|name| !name.is_empty()).count();
    node.expect(found == expected, || format!("{expected} inputs, found {found}"))?;
    lower(Checked { indexing, operator: Box::new(operator) })
}

/// The meaning of an index into data of shape `[d0, d1, …]`.
#[derive(Debug, Clone, Copy, Deserialize, Serialize)]
enum Indexing {
    /// An index into this axis; the indices may have any shape.
    Axis(i64),
    /// An index into this axis; the other coordinates are those of the index itself.
    Elements(i64),
    /// The last axis of the indices holds coordinates into the axes after the first `batch` ones.
    Tuples { batch: usize },
}

impl Indexing {
    /// Returns the dimension that each index along the last axis refers to.
    fn sizes<D: DimLike>(self, data: &[D], indices: &[D]) -> TractResult<TVec<D>> {
        let (rank, wanted) = (data.len(), indices.len());
        match self {
            Indexing::Axis(axis) => Ok(tvec!(data[resolved(axis, rank)?].clone())),
            Indexing::Elements(axis) => {
                ensure!(rank == wanted, "expected indices of rank {rank}, found {wanted}");
                let axis = resolved(axis, rank)?;
                let others = (0..rank).filter(|index| *index != axis);
                for (index, found) in others.map(|index| (&data[index], &indices[index])) {
                    if let (Ok(most), Ok(found)) = (index.to_usize(), found.to_usize()) {
                        ensure!(
                            found <= most,
                            "expected indices of shape {data:?} at most but for the axis {axis}, \
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
                let fits = batch <= rest.len() && batch + last <= rank;
                ensure!(
                    fits,
                    "expected at most {rank} coordinates after {batch} batch axes, found \
                     indices of shape {indices:?}"
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

fn resolved(axis: i64, rank: usize) -> TractResult<usize> {
    let positive = if axis < 0 { axis + rank as i64 } else { axis };
    usize::try_from(positive)
        .ok()
        .filter(|axis| *axis < rank)
        .with_context(|| format!("expected an axis of {rank}, found {axis}"))
}

/// An operator with data, indices and optional updates, preceded by the check of the indices.
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
        let elements = matches!(self.indexing, Indexing::Elements(_));
        let checked = !elements || data.as_concrete().is_some() && indices.shape.is_concrete();
        let sizes = sizes.filter(|_| checked);
        let name = format!("{prefix}.indices");
        let positions = match (&indices.konst, &sizes) {
            (Some(indices), Some(sizes)) => {
                let positions = from_start(&indices.clone().into_tvalue(), sizes)?;
                model.add_const(name, positions)?
            }
            _ => {
                let wanted = [inputs[1], inputs[0]];
                let wanted = if sizes.is_some() { &wanted[..1] } else { &wanted };
                let kernel =
                    Positions { indexing: self.indexing, sizes: sizes.map(TVec::into_vec) };
                model.wire_node(name, kernel_op(kernel), wanted)?[0]
            }
        };
        let mut inputs: TVec<OutletId> = inputs.into();
        inputs[1] = positions;
        self.operator.wire(prefix, model, &inputs)
    }
}

/// Checks indices and makes them non-negative. Its inputs are the indices and, if `sizes` is
/// `None`, the data.
#[derive(Debug, Deserialize, Serialize)]
pub struct Positions {
    indexing: Indexing,
    /// The dimensions from [`Indexing::sizes`], if they are known and all other checks are done.
    sizes: Option<Vec<usize>>,
}

impl Kernel for Positions {
    const NAME: &'static str = "Positions";

    fn may_refuse(&self) -> bool {
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

/// Returns the indices counted from the start of their axis.
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

/// tract's operator, with the checks that it omits.
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

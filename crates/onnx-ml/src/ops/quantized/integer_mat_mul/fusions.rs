//! Fusions of a product of integers with the operators after the product: the conversion of the sums to floats, the
//! multiplication by scales, and the addition of a bias.

use super::IntegerMatMul;
use crate::operator::adapter::{kernel_op, successor};
use crate::operator::kernel::Patch;
use crate::ops::quantized::operand::{Operand, Output};
use tract_onnx::tract_core::ops::binary::{BinMiniOp, TypedBinOp};
use tract_onnx::tract_core::ops::cast::Cast;
use tract_onnx::tract_core::ops::math;
use tract_onnx::tract_hir::internal::*;

impl IntegerMatMul {
    /// Fuses the product with a conversion to floats and a multiplication by scales.
    pub(super) fn fuse_scale(&self, model: &TypedModel, node: &TypedNode) -> Patch {
        let Some(cast) = successor(model, node) else { return Ok(None) };
        if cast.op_as::<Cast>().is_none_or(|cast| cast.to != f32::datum_type()) {
            return Ok(None);
        }
        let Some((last, scale)) = with_row::<math::Mul>(model, cast)? else { return Ok(None) };
        let mut fused = self.clone();
        fused.output = Output::Floats;
        fused.quantization.scales.factors.push(Operand::Input(node.inputs.len()));
        fused.replace(model, node, last, scale)
    }

    /// Fuses the product with the addition of a bias.
    pub(super) fn fuse_bias(&self, model: &TypedModel, node: &TypedNode) -> Patch {
        if self.quantization.bias.is_some() {
            return Ok(None);
        }
        let Some((last, bias)) = with_row::<math::Add>(model, node)? else { return Ok(None) };
        let mut fused = self.clone();
        fused.quantization.bias = Some(Operand::Input(node.inputs.len()));
        fused.bias_is_integer = false;
        fused.replace(model, node, last, bias)
    }

    /// Returns a patch that replaces the nodes from `first` to `last` by this kernel. The inputs of the kernel are the
    /// inputs of `first` and the value `added`.
    fn replace(
        self,
        model: &TypedModel,
        first: &TypedNode,
        last: &TypedNode,
        added: OutletId,
    ) -> Patch {
        let mut patch = TypedModelPatch::default();
        let mut inputs = patch.taps(model, &first.inputs)?;
        inputs.push(patch.tap_model(model, added)?);
        let y = patch.wire_node(&last.name, kernel_op(self), &inputs)?;
        patch.shunt_outside(model, last.id.into(), y[0])?;
        Ok(Some(patch))
    }
}

/// Returns the only reader of `node`, and the reader's other operand. Returns `None` if the reader is not the operator
/// `O`. Also returns `None` unless the operand has a single element, or an element for each column and no other axes.
fn with_row<'m, O: BinMiniOp>(
    model: &'m TypedModel,
    node: &'m TypedNode,
) -> TractResult<Option<(&'m TypedNode, OutletId)>> {
    let Some(next) = successor(model, node) else { return Ok(None) };
    let is_operator = next.op_as::<TypedBinOp>().is_some_and(|op| op.0.is::<O>() && op.1.is_none());
    let others: Vec<_> = next.inputs.iter().filter(|input| input.node != node.id).collect();
    let (true, [other]) = (is_operator, others.as_slice()) else { return Ok(None) };
    let (output, fact) = (&node.outputs[0].fact, model.outlet_fact(**other)?);
    let is_row = match (&fact.shape[..], output.shape.last()) {
        ([outer @ .., last], Some(columns)) => {
            outer.iter().all(TDim::is_one) && (last.is_one() || last == columns)
        }
        _ => false,
    };
    let keeps_shape = next.outputs[0].fact.shape == output.shape;
    let is_float = fact.datum_type == f32::datum_type();
    Ok((is_row && keeps_shape && is_float).then_some((next, **other)))
}

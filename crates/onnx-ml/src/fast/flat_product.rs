//! Products with a constant over several axes, as they follow where images are flattened, made
//! products with a matrix.

use tract_onnx::prelude::*;
use tract_onnx::tract_core::ops::einsum::EinSum;
use tract_onnx::tract_hir::internal::*;

/// Replaces such products in a decluttered model.
///
/// # Errors
///
/// Where the model is none.
pub fn flatten(model: &mut TypedModel) -> TractResult<()> {
    for id in model.eval_order()? {
        if let Some(patch) = flat(model, id)? {
            patch.apply(model)?;
        }
    }
    Ok(())
}

fn flat(model: &TypedModel, id: usize) -> TractResult<Option<TypedModelPatch>> {
    let node = model.node(id);
    let Some(op) = node.op_as::<EinSum>() else { return Ok(None) };
    let (&[a, b], None) = (node.inputs.as_slice(), op.q_params) else { return Ok(None) };
    let (inputs, outputs) = op.axes.to_strs();
    let [of_a, of_b] = inputs.as_slice() else { return Ok(None) };
    let (x, of_x, constant, of_constant) = match model.outlet_fact(a)?.konst.is_some() {
        true => (b, of_b, a, of_a),
        false => (a, of_a, b, of_b),
    };
    let (x_fact, constant) = (model.outlet_fact(x)?, &model.outlet_fact(constant)?.konst);
    let Some(constant) = constant else { return Ok(None) };
    let axes = |axes: &str| axes.chars().collect::<Vec<_>>();
    let (of_x, of_constant, of_y) = (axes(of_x), axes(of_constant), axes(&outputs[0]));
    let rows = of_x.iter().zip(&of_y).take_while(|(x, y)| x == y).count();
    let (summed, columns) = (&of_x[rows..], &of_y[rows..]);
    let lengths: Option<TVec<usize>> =
        x_fact.shape[rows..].iter().map(|dim| dim.to_usize().ok()).collect();
    let Some(lengths) = lengths.filter(|lengths| lengths.len() > 1 && columns.len() < 2) else {
        return Ok(None);
    };
    let place = |axis: &char| of_constant.iter().position(|other| other == axis);
    let order: Vec<usize> = summed.iter().chain(columns).filter_map(place).collect();
    let single = |axis: usize| place(&summed[axis]).is_none();
    let fits = order.len() == of_constant.len()
        && (0..summed.len()).all(|axis| !single(axis) || lengths[axis] == 1)
        && columns.iter().all(|column| place(column).is_some() && !of_x.contains(column))
        && !of_x[..rows].iter().any(|row| of_constant.contains(row))
        && !summed.iter().any(|axis| of_y.contains(axis));
    if !fits {
        return Ok(None);
    }
    let length: usize = lengths.iter().product();
    let shape: TVec<usize> = match columns {
        [_] if length > 0 => tvec!(length, constant.len() / length),
        [] => tvec!(length),
        _ => return Ok(None),
    };
    let matrix = constant.as_ref().clone().permute_axes(&order)?.into_shape(&shape)?;
    let rows_of: String = ('A'..='Z').take(rows).collect();
    let n = if columns.is_empty() { "" } else { "n" };
    let axes = format!("{rows_of}k,k{n}->{rows_of}{n}").parse()?;
    let from = lengths.iter().map(|length| length.to_dim()).collect();
    let flat = AxisOp::Reshape(rows, from, tvec!(length.to_dim()));
    let name = &node.name;
    let mut patch = TypedModelPatch::default();
    let x = patch.tap_model(model, x)?;
    let x = patch.wire_node(format!("{name}.flat"), flat, &[x])?[0];
    let matrix = patch.add_const(format!("{name}.matrix"), matrix)?;
    let y = patch.wire_node(name, EinSum { axes, ..op.clone() }, &[x, matrix])?;
    patch.shunt_outside(model, id.into(), y[0])?;
    Ok(Some(patch))
}

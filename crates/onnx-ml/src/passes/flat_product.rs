//! Rewrites products with a constant to products of rows and a matrix. tract drops the axis of a
//! one-row batch in one product and adds it in another, and flattened images are multiplied over
//! several axes.

use tract_onnx::prelude::*;
use tract_onnx::tract_core::ops::einsum::EinSum;
use tract_onnx::tract_hir::internal::*;

/// Replaces such products in a decluttered model.
///
/// # Errors
///
/// Returns an error if the model is invalid.
pub fn flatten(model: &mut TypedModel) -> TractResult<()> {
    for rewrite in [same_axes, flat] {
        for id in model.eval_order()? {
            let Some(product) = product(model, id)? else { continue };
            if let Some(patch) = rewrite(model, &product)? {
                patch.apply(model)?;
            }
        }
    }
    Ok(())
}

/// A product with a constant, and the letters of the tensors' axes in its equation.
pub struct Product<'a> {
    node: &'a TypedNode,
    pub op: &'a EinSum,
    pub x: OutletId,
    pub constant: OutletId,
    pub of_x: Vec<char>,
    pub of_constant: Vec<char>,
    pub of_y: Vec<char>,
}

/// Returns the product at a node, if it is one.
///
/// # Errors
///
/// Returns an error if the model is invalid.
pub fn product(model: &TypedModel, id: usize) -> TractResult<Option<Product<'_>>> {
    let node = model.node(id);
    let Some(op) = node.op_as::<EinSum>() else { return Ok(None) };
    let (&[a, b], None) = (node.inputs.as_slice(), op.q_params) else { return Ok(None) };
    let (inputs, outputs) = op.axes.to_strs();
    let axes = |axes: &String| axes.chars().collect::<Vec<_>>();
    let ([of_a, of_b], [of_y]) = (inputs.as_slice(), outputs.as_slice()) else { return Ok(None) };
    let [of_a, of_b, of_y] = [of_a, of_b, of_y].map(axes);
    let constant = |outlet| Ok::<_, TractError>(model.outlet_fact(outlet)?.konst.is_some());
    Ok(match (constant(a)?, constant(b)?) {
        (true, _) => {
            Some(Product { node, op, x: b, constant: a, of_x: of_b, of_constant: of_a, of_y })
        }
        (_, true) => {
            Some(Product { node, op, x: a, constant: b, of_x: of_a, of_constant: of_b, of_y })
        }
        _ => None,
    })
}

/// Removes axes of length 1 that occur in the input only. If rows are multiplied by a matrix, also
/// adds the axes that occur in the output only, and orders the row axes as in the output.
fn same_axes(model: &TypedModel, product: &Product) -> TractResult<Option<TypedModelPatch>> {
    let Product { node, op, of_x, of_constant, of_y, .. } = product;
    let mut axes = of_x.clone();
    let mut changes = vec![];
    for (place, axis) in of_x.iter().enumerate().rev() {
        if !of_y.contains(axis) && !of_constant.contains(axis) {
            if !model.outlet_fact(product.x)?.shape[place].is_one() {
                return Ok(None);
            }
            axes.remove(place);
            changes.push(AxisOp::Rm(place));
        }
    }
    let rows = of_y.iter().take_while(|axis| !of_constant.contains(axis)).count();
    let is_row = |axis: &char| of_y[..rows].contains(axis);
    let by_row = axes.last().is_some_and(|axis| !is_row(axis));
    if by_row && axes.iter().all(|axis| is_row(axis) || !of_y.contains(axis)) {
        for (place, axis) in of_y[..rows].iter().enumerate() {
            match axes.iter().position(|other| other == axis) {
                Some(from) if from == place => {}
                Some(from) => {
                    axes.remove(from);
                    axes.insert(place, *axis);
                    changes.push(AxisOp::Move(from, place));
                }
                None => {
                    axes.insert(place, *axis);
                    changes.push(AxisOp::Add(place));
                }
            }
        }
    }
    if changes.is_empty() {
        return Ok(None);
    }
    let mut patch = TypedModelPatch::default();
    let mut x = patch.tap_model(model, product.x)?;
    for (index, change) in changes.into_iter().enumerate() {
        x = patch.wire_node(format!("{}.axis_{index}", node.name), change, &[x])?[0];
    }
    let constant = patch.tap_model(model, product.constant)?;
    let [of_x, of_constant, of_y] =
        [&axes, of_constant, of_y].map(|axes| axes.iter().collect::<String>());
    let axes = format!("{of_x},{of_constant}->{of_y}").parse()?;
    let y = patch.wire_node(&node.name, EinSum { axes, ..(*op).clone() }, &[x, constant])?;
    patch.shunt_outside(model, node.id.into(), y[0])?;
    Ok(Some(patch))
}

fn flat(model: &TypedModel, product: &Product) -> TractResult<Option<TypedModelPatch>> {
    let Product { node, op, of_x, of_constant, of_y, .. } = product;
    let (x_fact, constant) = (model.outlet_fact(product.x)?, model.outlet_fact(product.constant)?);
    let Some(constant) = &constant.konst else { return Ok(None) };
    let rows = of_x.iter().zip(of_y).take_while(|(x, y)| x == y).count();
    let (summed, columns) = (&of_x[rows..], &of_y[rows..]);
    let lengths: Option<TVec<usize>> =
        x_fact.shape[rows..].iter().map(|dim| dim.to_usize().ok()).collect();
    let Some(lengths) = lengths.filter(|lengths| lengths.len() > 1 && columns.len() < 2) else {
        return Ok(None);
    };
    let place = |axis: &char| of_constant.iter().position(|other| other == axis);
    let order: Vec<usize> = summed.iter().chain(columns).filter_map(place).collect();
    let each = (0..order.len()).all(|axis| order.contains(&axis));
    let fits = each
        && order.len() == of_constant.len()
        && summed.iter().all(|axis| place(axis).is_some())
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
    let x = patch.tap_model(model, product.x)?;
    let x = patch.wire_node(format!("{name}.flat"), flat, &[x])?[0];
    let matrix = patch.add_const(format!("{name}.matrix"), matrix)?;
    let y = patch.wire_node(name, EinSum { axes, ..(*op).clone() }, &[x, matrix])?;
    patch.shunt_outside(model, node.id.into(), y[0])?;
    Ok(Some(patch))
}

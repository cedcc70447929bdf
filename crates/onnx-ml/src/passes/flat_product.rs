//! Rewrites products with a constant (Einstein sums) to products of rows with a matrix, which
//! [`dense`](super::dense) can replace. There are two rewrites:
//!
//! - [`align_axes`]: if the batch has one row, tract drops the axis of the batch in some products and adds this axis in
//!   others. The rewrite adds, removes and moves axes, so that the rows have the same axes in input and output.
//! - [`flatten_terms`]: after a `Flatten` of an image, tract sums over several axes. The rewrite
//!   reshapes these axes to one axis.
//!
//! Axes are named by the letters of the equation, as in `mk,kn->mn`.

use tract_onnx::prelude::*;
use tract_onnx::tract_core::ops::einsum::EinSum;
use tract_onnx::tract_hir::internal::*;

/// Applies both rewrites to all products with a constant of a decluttered model.
///
/// # Errors
///
/// Returns an error if the model is invalid.
pub fn flatten(model: &mut TypedModel) -> TractResult<()> {
    for rewrite in [align_axes, flatten_terms] {
        for id in model.eval_order()? {
            let Some(product) = product(model, id)? else { continue };
            if let Some(patch) = rewrite(model, &product)? {
                patch.apply(model)?;
            }
        }
    }
    Ok(())
}

/// A product of a computed tensor (`x`) with a constant.
pub struct Product<'a> {
    node: &'a TypedNode,
    pub op: &'a EinSum,
    pub x: OutletId,
    pub constant: OutletId,
    /// The letters of the axes of `x`.
    pub x_axes: Vec<char>,
    /// The letters of the axes of the constant.
    pub constant_axes: Vec<char>,
    /// The letters of the axes of the output.
    pub y_axes: Vec<char>,
}

/// Returns the product with a constant that node `id` computes. Returns `None` if the node computes something else.
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
    let ([a_axes, b_axes], [y_axes]) = (inputs.as_slice(), outputs.as_slice()) else {
        return Ok(None);
    };
    let [a_axes, b_axes, y_axes] = [a_axes, b_axes, y_axes].map(axes);
    let constant = |outlet| Ok::<_, TractError>(model.outlet_fact(outlet)?.konst.is_some());
    Ok(match (constant(a)?, constant(b)?) {
        (true, _) => Some(Product {
            node,
            op,
            x: b,
            constant: a,
            x_axes: b_axes,
            constant_axes: a_axes,
            y_axes,
        }),
        (_, true) => Some(Product {
            node,
            op,
            x: a,
            constant: b,
            x_axes: a_axes,
            constant_axes: b_axes,
            y_axes,
        }),
        _ => None,
    })
}

/// Gives `x` the row axes of the output.
///
/// Removes axes of length 1 that only `x` has. If the equation multiplies rows by a matrix, also
/// adds axes of length 1 that only the output has, and moves the row axes of `x` to their order in
/// the output. Returns `None` if nothing needs to change.
fn align_axes(model: &TypedModel, product: &Product) -> TractResult<Option<TypedModelPatch>> {
    let Product { node, op, x_axes, constant_axes, y_axes, .. } = product;
    let mut axes = x_axes.clone();
    let mut changes = vec![];
    for (position, axis) in x_axes.iter().enumerate().rev() {
        if !y_axes.contains(axis) && !constant_axes.contains(axis) {
            if !model.outlet_fact(product.x)?.shape[position].is_one() {
                return Ok(None);
            }
            axes.remove(position);
            changes.push(AxisOp::Rm(position));
        }
    }
    // The row axes are the first axes of the output, up to an axis of the constant.
    let rows = y_axes.iter().take_while(|axis| !constant_axes.contains(axis)).count();
    let is_row = |axis: &char| y_axes[..rows].contains(axis);
    let ends_with_terms = axes.last().is_some_and(|axis| !is_row(axis));
    if ends_with_terms && axes.iter().all(|axis| is_row(axis) || !y_axes.contains(axis)) {
        for (position, axis) in y_axes[..rows].iter().enumerate() {
            match axes.iter().position(|other| other == axis) {
                Some(from) if from == position => {}
                Some(from) => {
                    axes.remove(from);
                    axes.insert(position, *axis);
                    changes.push(AxisOp::Move(from, position));
                }
                None => {
                    axes.insert(position, *axis);
                    changes.push(AxisOp::Add(position));
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
    let [x_axes, constant_axes, y_axes] =
        [&axes, constant_axes, y_axes].map(|axes| axes.iter().collect::<String>());
    let axes = format!("{x_axes},{constant_axes}->{y_axes}").parse()?;
    let y = patch.wire_node(&node.name, EinSum { axes, ..(*op).clone() }, &[x, constant])?;
    patch.shunt_outside(model, node.id.into(), y[0])?;
    Ok(Some(patch))
}

/// Reshapes the summed axes of `x` to one axis, and the constant to a matrix (or to a vector, if the
/// output has no column axis). The summed axes must be the last axes of `x`. Returns `None` if there
/// is only one summed axis, or if the equation is not supported.
fn flatten_terms(model: &TypedModel, product: &Product) -> TractResult<Option<TypedModelPatch>> {
    let Product { node, op, x_axes, constant_axes, y_axes, .. } = product;
    let (x_fact, constant) = (model.outlet_fact(product.x)?, model.outlet_fact(product.constant)?);
    let Some(constant) = &constant.konst else { return Ok(None) };
    // `x` and the output begin with the same row axes. Then `x` has the summed axes, and the output
    // has the column axis.
    let rows = x_axes.iter().zip(y_axes).take_while(|(x, y)| x == y).count();
    let (summed, columns) = (&x_axes[rows..], &y_axes[rows..]);
    let lengths: Option<TVec<usize>> =
        x_fact.shape[rows..].iter().map(|dim| dim.to_usize().ok()).collect();
    let Some(lengths) = lengths.filter(|lengths| lengths.len() > 1 && columns.len() < 2) else {
        return Ok(None);
    };
    // The order of the constant's axes in the matrix: the summed axes in the order of `x`, then the
    // column.
    let position = |axis: &char| constant_axes.iter().position(|other| other == axis);
    let order: Vec<usize> = summed.iter().chain(columns).filter_map(position).collect();
    let is_permutation = (0..order.len()).all(|axis| order.contains(&axis));
    let is_supported = is_permutation
        && order.len() == constant_axes.len()
        && summed.iter().all(|axis| position(axis).is_some())
        && columns.iter().all(|column| position(column).is_some() && !x_axes.contains(column))
        && !x_axes[..rows].iter().any(|row| constant_axes.contains(row))
        && !summed.iter().any(|axis| y_axes.contains(axis));
    if !is_supported {
        return Ok(None);
    }
    let length: usize = lengths.iter().product();
    let shape: TVec<usize> = match columns {
        [_] if length > 0 => tvec!(length, constant.len() / length),
        [] => tvec!(length),
        _ => return Ok(None),
    };
    let matrix = constant.as_ref().clone().permute_axes(&order)?.into_shape(&shape)?;
    let row_letters: String = ('A'..='Z').take(rows).collect();
    let n = if columns.is_empty() { "" } else { "n" };
    let axes = format!("{row_letters}k,k{n}->{row_letters}{n}").parse()?;
    let from = lengths.iter().map(|length| length.to_dim()).collect();
    let reshape = AxisOp::Reshape(rows, from, tvec!(length.to_dim()));
    let name = &node.name;
    let mut patch = TypedModelPatch::default();
    let x = patch.tap_model(model, product.x)?;
    let x = patch.wire_node(format!("{name}.flat"), reshape, &[x])?[0];
    let matrix = patch.add_const(format!("{name}.matrix"), matrix)?;
    let y = patch.wire_node(name, EinSum { axes, ..(*op).clone() }, &[x, matrix])?;
    patch.shunt_outside(model, node.id.into(), y[0])?;
    Ok(Some(patch))
}

//! Determines the batch axis of each tensor: the axis that has an entry for each row.
//!
//! The metadata can state batch axes. Otherwise, the batch axis of an input follows from the declared shapes of the
//! inputs, which can contain names of dynamic axes. The batch axis of an output is the axis whose length is 2 for 2
//! rows and 3 for 3 rows.

use crate::error::LoadError;
use crate::metadata::{AXES, StatedAxes};
use crate::signature::TensorSpec;

/// An input as the graph declares it.
pub(crate) struct DeclaredInput {
    /// The name, type and shape of the input. The batch axis is `None`, because it is still unknown.
    pub spec: TensorSpec,
    /// Name of each axis. `None` for an axis that has a fixed length or no name.
    pub symbols: Vec<Option<String>>,
}

/// Sets the batch axis of each input. Returns the specifications of the inputs, and the fixed number of rows in a run.
/// The number is `None` if the batch is dynamic.
///
/// The metadata takes precedence for the inputs that it names. For all other inputs, the first rule whose condition is
/// true applies:
///
/// 1. If an input has a dynamic first axis, or an axis whose name contains "batch", the batch is dynamic.
///    `batch_symbol` chooses the name of the batch among the names of axes. The batch axis of an input is the axis with
///    this name. If no axis of the input has the name, the batch axis is the first axis, provided that the first axis
///    is dynamic and has no other meaning. If the batch has no name, an input of three axes may be the state of a
///    recurrent network, of shape `[layers, batch, units]`: only the second axis is dynamic, neither of the first two
///    axes has a name, and another input has a dynamic first axis. The batch axis of such an input is the second axis.
///    Any other input has no batch axis.
/// 2. If an input has a first axis of length 1, all first axes of length 1 are batch axes, and each row runs alone.
/// 3. If the first axes of all inputs with axes have the same length, they are batch axes, and the length is the fixed
///    number of rows.
/// 4. Otherwise no input has a batch axis, and each row runs alone.
///
/// # Errors
///
/// Returns [`LoadError::Metadata`] if the metadata states an axis that does not exist, or fixed batch axes of different
/// lengths.
pub(crate) fn set_input_axes(
    inputs: Vec<DeclaredInput>,
    stated: &StatedAxes,
) -> Result<(Vec<TensorSpec>, Option<usize>), LoadError> {
    let axes = batch_axes(&inputs);
    let mut specs = vec![];
    for (DeclaredInput { spec, .. }, axis) in inputs.into_iter().zip(axes) {
        let batch_axis = stated_axis(stated, &spec.name, spec.shape.len())?.unwrap_or(axis);
        specs.push(TensorSpec { batch_axis, ..spec });
    }
    let batch_len = |spec: &TensorSpec| Some((spec.name.clone(), spec.shape[spec.batch_axis?]));
    let lens: Vec<(String, Option<usize>)> = specs.iter().filter_map(batch_len).collect();
    let fixed_rows = match lens.as_slice() {
        [] => Some(1),
        lens if lens.iter().any(|(_, len)| len.is_none()) => None,
        [(name, len), others @ ..] => match others.iter().find(|(_, other)| other != len) {
            None => *len,
            Some((other_name, other_len)) => {
                return Err(LoadError::Metadata {
                    key: AXES,
                    reason: format!(
                        "`{name}` and `{other_name}`: expected batch axes of the same length, \
                         found {} and {}",
                        len.unwrap_or_default(),
                        other_len.unwrap_or_default()
                    ),
                });
            }
        },
    };
    Ok((specs, fixed_rows))
}

/// Returns the batch axis that the metadata states for the tensor `name`: `Some(None)` if the metadata states that the
/// tensor has no batch axis, and `None` if the metadata does not mention the tensor.
///
/// # Errors
///
/// Returns [`LoadError::Metadata`] if the stated axis does not exist in a tensor of `rank` axes.
pub(crate) fn stated_axis(
    stated: &StatedAxes,
    name: &str,
    rank: usize,
) -> Result<Option<Option<usize>>, LoadError> {
    match stated.get(name) {
        Some(Some(axis)) if *axis >= rank => Err(LoadError::Metadata {
            key: AXES,
            reason: format!("`{name}`: expected an axis below {rank}, found {axis}"),
        }),
        stated => Ok(stated.copied()),
    }
}

/// Returns the first axis whose length is 2 for 2 rows and 3 for 3 rows. `two` and `three` are an output's shapes for 2
/// and for 3 rows. `None` stands for an unknown length.
pub(crate) fn batch_axis_of_output(
    two: &[Option<usize>],
    three: &[Option<usize>],
) -> Option<usize> {
    let mut lens = two.iter().zip(three);
    lens.position(|lens| lens == (&Some(2), &Some(3)))
}

/// Returns the batch axis of each input, without regard to the metadata.
fn batch_axes(inputs: &[DeclaredInput]) -> Vec<Option<usize>> {
    let batch = batch_symbol(inputs);
    let axes: Vec<Option<usize>> =
        inputs.iter().map(|input| dynamic_batch_axis(input, batch, inputs)).collect();
    if axes.iter().any(Option::is_some) {
        return axes;
    }
    let first_lens: Vec<usize> =
        inputs.iter().filter_map(|input| *input.spec.shape.first()?).collect();
    let with_first = |is_batch: &dyn Fn(usize) -> bool| {
        let first = |input: &DeclaredInput| input.spec.shape.first().copied().flatten();
        inputs.iter().map(|input| first(input).filter(|len| is_batch(*len)).map(|_| 0)).collect()
    };
    match first_lens.as_slice() {
        lens if lens.contains(&1) => with_first(&|len| len == 1),
        [first, others @ ..] if others.iter().all(|len| len == first) => with_first(&|_| true),
        _ => vec![None; inputs.len()],
    }
}

/// Returns the name of the batch. The candidates are the names of first axes, and the names of other axes if they
/// contain "batch". The candidate that is first by these criteria is chosen, each criterion deciding only between
/// candidates that are equal by the previous criteria:
///
/// 1. names that contain "batch" come before all others;
/// 2. usual names of a number of rows, such as `rows`, come before all others;
/// 3. names that only first axes have come before names that other axes have too;
/// 4. names of more axes come before names of fewer axes;
/// 5. names come in the order of the inputs.
fn batch_symbol(inputs: &[DeclaredInput]) -> Option<&str> {
    let mut candidates: Vec<(&str, usize)> = vec![];
    for input in inputs {
        for (axis, symbol) in input.symbols.iter().enumerate() {
            let Some(symbol) = symbol.as_deref() else { continue };
            if axis > 0 && !contains_batch(symbol) {
                continue;
            }
            match candidates.iter_mut().find(|(candidate, _)| *candidate == symbol) {
                Some((_, count)) => *count += 1,
                None => candidates.push((symbol, 1)),
            }
        }
    }
    let rank = |(symbol, count): &(&str, usize)| {
        let is_first_only = !is_axis_within_row(inputs, symbol);
        (contains_batch(symbol), is_row_count(symbol), is_first_only, *count)
    };
    // `max_by_key` returns the last of several maxima. `rev` makes it return the first candidate.
    candidates.iter().rev().max_by_key(|candidate| rank(candidate)).map(|(symbol, _)| *symbol)
}

/// Returns the batch axis of an input if the batch is dynamic. `batch` is the name of the batch, and `inputs` are all
/// inputs of the graph.
fn dynamic_batch_axis(
    input: &DeclaredInput,
    batch: Option<&str>,
    inputs: &[DeclaredInput],
) -> Option<usize> {
    let named = |symbol: &Option<String>| batch.is_some() && symbol.as_deref() == batch;
    if let Some(axis) = input.symbols.iter().position(named) {
        return Some(axis);
    }
    match (input.spec.shape.as_slice(), input.symbols.first()?) {
        ([None, ..], None) => Some(0),
        ([None, ..], Some(symbol)) => {
            // This first axis has a different name than the batch. The two names may still mean the same, because some
            // exporters make up a name for each input. The names mean different things if `batch` is a usual name of a
            // batch, if several inputs share either name, or if an axis that is not a first axis has the name `symbol`.
            let batch = batch.unwrap_or_default();
            let is_shared = |symbol: &str| count(inputs, symbol) > 1;
            let is_other = contains_batch(batch)
                || is_row_count(batch)
                || is_shared(batch)
                || is_shared(symbol);
            (!is_other && !is_axis_within_row(inputs, symbol)).then_some(0)
        }
        // The state of a recurrent network, of shape `[layers, batch, units]`.
        ([Some(_), None, Some(_)], None) if batch.is_none() && input.symbols[1].is_none() => {
            let mut first_axes = inputs.iter().map(|input| input.spec.shape.first());
            first_axes.any(|len| len == Some(&None)).then_some(1)
        }
        _ => None,
    }
}

/// Returns the number of inputs whose first axis has this name.
fn count(inputs: &[DeclaredInput], symbol: &str) -> usize {
    let first = |input: &&DeclaredInput| input.symbols.first() == Some(&Some(symbol.to_owned()));
    inputs.iter().filter(first).count()
}

/// Returns whether an axis other than a first axis has this name. Such a name stands for an axis within a row.
fn is_axis_within_row(inputs: &[DeclaredInput], symbol: &str) -> bool {
    let mut axes = inputs.iter().flat_map(|input| input.symbols.iter().skip(1).flatten());
    axes.any(|axis| axis == symbol)
}

/// Returns whether this is a name that contains "batch", such as `batch_size`. Expressions such as `batch * heads` are
/// not names.
fn contains_batch(symbol: &str) -> bool {
    let is_name = symbol.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    is_name && symbol.to_ascii_lowercase().contains("batch")
}

/// Returns whether this is a usual name of the number of rows.
fn is_row_count(symbol: &str) -> bool {
    ["n", "b", "bs", "rows", "n_rows", "num_rows"].contains(&&*symbol.to_ascii_lowercase())
}

/// Returns the name of an axis. Returns `None` if the declared name has no meaning, because an exporter made it up.
pub(crate) fn symbol(declared: &str) -> Option<String> {
    let made_up = matches!(declared, "" | "?" | "None" | "-1")
        || declared.starts_with("unk__")
        || declared.contains("_dynamic_axes_");
    (!made_up).then(|| declared.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::datatype::Datatype;

    /// Returns the batch axes and the fixed number of rows, without metadata. Each input is a list of axes, such as
    /// "N 4".
    fn axes(inputs: &[&str]) -> (Vec<Option<usize>>, Option<usize>) {
        let (specs, fixed_rows) = stated(inputs, &StatedAxes::new()).expect("valid axes");
        (specs.iter().map(|spec| spec.batch_axis).collect(), fixed_rows)
    }

    /// Returns the result of [`set_input_axes`] for inputs in the notation of [`axes`]. The inputs are called `x0`,
    /// `x1`, ….
    fn stated(
        inputs: &[&str],
        stated: &StatedAxes,
    ) -> Result<(Vec<TensorSpec>, Option<usize>), LoadError> {
        let input = |(index, axes): (usize, &&str)| {
            let axes = || axes.split_ascii_whitespace();
            let spec = TensorSpec {
                name: format!("x{index}"),
                datatype: Datatype::Float32,
                shape: axes().map(|axis| axis.parse().ok()).collect(),
                batch_axis: None,
            };
            let symbol = |axis: &str| symbol(axis).filter(|_| axis.parse::<usize>().is_err());
            DeclaredInput { spec, symbols: axes().map(symbol).collect() }
        };
        set_input_axes(inputs.iter().enumerate().map(input).collect(), stated)
    }

    #[test]
    fn the_batch_is_the_named_axis_or_a_first_axis_without_a_name() {
        let (rows, none) = (Some(0), None);
        for (inputs, expected) in [
            (&["N 4"][..], &[rows][..]),
            (&["? 4", "? 1"], &[rows, rows]),
            (&["unk__3 4", "unk__4 1"], &[rows, rows]),
            (&["a_dynamic_axes_1 4", "b_dynamic_axes_1 1"], &[rows, rows]),
            (&["rows_a 4", "rows_b 4"], &[rows, rows]),
            (&["N 4", ""], &[rows, none]),
            (&["N 4", "1 4", "3"], &[rows, none, none]),
            (&["batch 4", "2 batch 4"], &[rows, Some(1)]),
            (&["sequence batch 4"], &[Some(1)]),
            (&["2 batch_size 8", "batch_size sequence"], &[Some(1), rows]),
            (&["batch 4", "points 3"], &[rows, none]),
            (&["N 4", "M 4"], &[rows, none]),
            (&["nodes 16", "2 edges"], &[rows, none]),
            (&["nodes 16", "2 edges", "edges 3"], &[rows, none, none]),
            (&["edges 3", "2 edges", "nodes 16"], &[none, none, rows]),
            (&["atoms 3", "atoms 2", "residues 6"], &[rows, rows, none]),
            (&["atoms 3", "residues 6", "residues 2"], &[none, rows, rows]),
            (&["atoms 3", "atoms 2", "residues 6", "residues 2"], &[rows, rows, none, none]),
            (&["? ?", "2 ? 128", ""], &[rows, Some(1), none]),
            (&["? 16", "2 ?"], &[rows, none]),
            (&["batch 4", "batch*heads 4"], &[rows, none]),
        ] {
            assert_eq!(axes(inputs), (expected.to_vec(), None), "{inputs:?}");
        }
    }

    #[test]
    fn fixed_first_axes_are_batch_axes_of_one_or_several_rows() {
        let (rows, none) = (Some(0), None);
        for (inputs, expected, fixed_rows) in [
            (&["1 4"][..], &[rows][..], 1),
            (&["1 4 width", "2 1 8", ""], &[rows, none, none], 1),
            (&["3 4", "3 1"], &[rows, rows], 3),
            (&["3 4", ""], &[rows, none], 3),
            (&["3 4", "2 4"], &[none, none], 1),
            (&["", ""], &[none, none], 1),
        ] {
            assert_eq!(axes(inputs), (expected.to_vec(), Some(fixed_rows)), "{inputs:?}");
        }
    }

    #[test]
    fn the_metadata_states_axes() {
        let axes = |axes: &[(&str, Option<usize>)]| -> StatedAxes {
            axes.iter().map(|(name, axis)| ((*name).to_owned(), *axis)).collect()
        };
        let inputs = ["N 4", "2 M 4"];
        let (specs, fixed_rows) = stated(&inputs, &axes(&[("x1", Some(1))])).expect("valid axes");
        assert_eq!(
            (specs[0].batch_axis, specs[1].batch_axis, fixed_rows),
            (Some(0), Some(1), None)
        );
        let (specs, fixed_rows) = stated(&inputs, &axes(&[("x0", None)])).expect("valid axes");
        assert_eq!((specs[0].batch_axis, specs[1].batch_axis, fixed_rows), (None, None, Some(1)));
        for (wrong, message) in [
            (("x0", Some(2)), "`x0`: expected an axis below 2, found 2"),
            (
                ("x1", Some(2)),
                "`x0` and `x1`: expected batch axes of the same length, found 3 and 4",
            ),
        ] {
            let error = stated(&["3 4", "3 2 4"], &axes(&[wrong])).expect_err("invalid axes");
            assert!(error.to_string().contains(message), "{error}");
        }
    }

    #[test]
    fn the_batch_axis_of_an_output_has_an_entry_for_each_row() {
        let axis = |two: &[usize], three: &[usize]| {
            let known = |shape: &[usize]| shape.iter().copied().map(Some).collect::<Vec<_>>();
            batch_axis_of_output(&known(two), &known(three))
        };
        assert_eq!(axis(&[2, 4], &[3, 4]), Some(0));
        assert_eq!(axis(&[5, 2, 4], &[5, 3, 4]), Some(1));
        assert_eq!(axis(&[4, 4], &[6, 4]), None);
        assert_eq!(axis(&[], &[]), None);
        assert_eq!(batch_axis_of_output(&[None, Some(2)], &[None, Some(2)]), None);
    }
}

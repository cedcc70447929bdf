//! [Einsum](https://onnx.ai/onnx/operators/onnx__Einsum.html): tract's operator. Also supports two
//! kinds of equations that tract's operator lacks: with an ellipsis in only some of the inputs, and
//! without an output.

use crate::operator::adapter::Built;
use crate::operator::lowering::{Io, Lowering, Wiring, lower};
use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_core::ops::einsum::EinSum;
use tract_onnx::tract_hir::internal::*;

#[derive(Debug, Clone)]
struct Einsum {
    /// The letters of each input's axes; `*` stands for an ellipsis.
    inputs: Vec<String>,
    /// The letters of the output's axes. `None` if the equation has no `->`. The output then has the axes of the
    /// ellipsis, followed by the letters that occur once, in alphabetical order.
    output: Option<String>,
}

pub fn einsum(_: &ParsingContext, node: &NodeProto) -> Built {
    let equation: String = node.get_attr("equation")?;
    let expected = || format!("letters and ellipses, found `{equation}`");
    node.expect_attr("equation", !equation.contains('*'), expected)?;
    let shortened = equation.replace(' ', "").replace("...", "*");
    let (inputs, output) = match shortened.split_once("->") {
        Some((inputs, output)) => (inputs, Some(output.to_owned())),
        None => (&*shortened, None),
    };
    let inputs: Vec<String> = inputs.split(',').map(str::to_owned).collect();
    for term in inputs.iter().chain(&output) {
        let letters = term.chars().all(|letter| letter.is_ascii_alphabetic() || letter == '*');
        let letters = letters && term.matches('*').count() <= 1;
        node.expect_attr("equation", letters, expected)?;
        // tract uses the first position of a letter for all its occurrences in a term.
        let once = term.chars().all(|letter| term.matches(letter).count() == 1);
        node.expect_attr("equation", once || inputs.len() == 1, || {
            format!(
                "each letter once in {term} because there are several inputs, found a repetition"
            )
        })?;
    }
    let (expected, found) = (inputs.len(), node.input.len());
    node.expect(found == expected, || format!("{expected} inputs, found {found}"))?;
    lower(Einsum { inputs, output })
}

impl Einsum {
    /// Returns the axes mapping for inputs of the given ranks.
    fn axes(&self, ranks: &[usize]) -> TractResult<AxesMapping> {
        let used = |letter: &char| self.inputs.iter().any(|term| term.contains(*letter));
        // For each input, the number of axes for which the ellipsis stands.
        let mut implied = vec![];
        for (term, rank) in self.inputs.iter().zip(ranks) {
            let letters = term.chars().filter(|letter| *letter != '*').count();
            let has_rank = if term.contains('*') { letters <= *rank } else { letters == *rank };
            let term = term.replace('*', "...");
            ensure!(has_rank, "expected {letters} axes for the letters of `{term}`, found {rank}");
            implied.push(rank - letters);
        }
        let longest = implied.iter().copied().max().unwrap_or_default();
        let spare = ('a'..='z').chain('A'..='Z').filter(|letter| !used(letter));
        let spare: Vec<char> = spare.take(longest).collect();
        ensure!(
            spare.len() == longest,
            "expected an ellipsis of at most {} axes, found {longest}",
            spare.len()
        );
        // The axes of the ellipses are aligned at the last axis, as in broadcasting.
        let expand = |term: &str, count: usize| {
            term.replacen('*', &spare[longest - count..].iter().collect::<String>(), 1)
        };
        let inputs = self.inputs.iter().zip(&implied).map(|(term, count)| expand(term, *count));
        let inputs: Vec<String> = inputs.collect();
        let letters = inputs.concat();
        let output = match &self.output {
            Some(output) => expand(output, longest),
            None => {
                let once = |letter: &char| letters.matches(*letter).count() == 1;
                let single = letters.chars().filter(|letter| !spare.contains(letter));
                let mut single: Vec<char> = single.filter(once).collect();
                single.sort_unstable();
                spare.iter().chain(&single).collect()
            }
        };
        for letter in output.chars() {
            let found = letters.contains(letter) && output.matches(letter).count() == 1;
            ensure!(
                found,
                "expected each letter of the output once and in an input, found {output}"
            );
        }
        AxesMapping::from_strs(&inputs, &[output])
    }
}

impl Lowering for Einsum {
    fn name(&self) -> StaticName {
        "Einsum".into()
    }

    fn rules<'r>(&'r self, solver: &mut Solver<'r>, [inputs, outputs]: Io<'r>) -> InferenceResult {
        check_input_arity(inputs, self.inputs.len())?;
        check_output_arity(outputs, 1)?;
        for input in inputs {
            solver.equals(&input.datum_type, &outputs[0].datum_type)?;
        }
        let ranks: Vec<_> = inputs.iter().map(|input| &input.rank).collect();
        solver.given_all(ranks, move |solver, ranks| {
            let ranks: Vec<usize> = ranks.into_iter().map(|rank| rank as usize).collect();
            let axes = self.axes(&ranks)?;
            solver.equals(&outputs[0].rank, axes.rank(InOut::Out(0)) as i64)?;
            for axis in axes.iter_all_axes() {
                let positions = axis.inputs.iter().zip(inputs);
                let mut lengths: Vec<_> = positions
                    .flat_map(|(positions, input)| {
                        positions.iter().map(|position| input.shape[*position].bex())
                    })
                    .collect();
                lengths.extend(
                    axis.outputs[0].iter().map(|position| outputs[0].shape[*position].bex()),
                );
                solver.equals_all(lengths)?;
            }
            Ok(())
        })
    }

    fn wire(
        &self,
        Wiring { prefix, model }: Wiring,
        inputs: &[OutletId],
    ) -> TractResult<TVec<OutletId>> {
        let facts = inputs.iter().map(|input| model.outlet_fact(*input));
        let facts = facts.collect::<TractResult<Vec<_>>>()?;
        let axes = self.axes(&facts.iter().map(|fact| fact.rank()).collect::<Vec<_>>())?;
        let datum_type = facts[0].datum_type;
        model.wire_node(prefix, EinSum::new(axes, datum_type), inputs)
    }
}

//! [RegexFullMatch](https://onnx.ai/onnx/operators/onnx__RegexFullMatch.html): returns `true` for
//! each string that matches a regular expression in RE2 syntax from start to end.

use crate::operator::adapter::{Built, operator};
use crate::operator::kernel::{Fact, Kernel};
use crate::operator::tensors::tensor;
use crate::ops::text::pattern::FullMatch;
use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::*;

#[derive(Debug)]
struct RegexFullMatch(FullMatch);

/// Builds the operator.
pub fn regex_full_match(_: &ParsingContext, node: &NodeProto) -> Built {
    let pattern: &str = node.get_attr("pattern")?;
    operator(node, 1, RegexFullMatch(FullMatch::new(pattern)?))
}

impl Kernel for RegexFullMatch {
    const NAME: &'static str = "RegexFullMatch";

    fn outputs(&self, inputs: &[Fact]) -> TractResult<TVec<Fact>> {
        let found = inputs[0].datum_type;
        ensure!(found == String::datum_type(), "expected strings, found {found:?}");
        Ok(tvec!(Fact::new(bool::datum_type(), inputs[0].shape.iter().cloned())))
    }

    fn eval(&self, inputs: &[TValue]) -> TractResult<Vec<Tensor>> {
        let strings = inputs[0].try_as_plain_ram()?;
        let matches = strings.as_slice::<String>()?.iter().map(|string| self.0.is_match(string));
        Ok(vec![tensor(inputs[0].shape(), matches.collect())?])
    }
}

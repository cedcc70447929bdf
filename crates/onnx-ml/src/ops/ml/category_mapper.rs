//! [CategoryMapper](https://onnx.ai/onnx/operators/onnx_aionnxml_CategoryMapper.html): maps strings
//! to integers or integers to strings, depending on the type of the input.

use crate::operator::adapter::{Built, operator};
use crate::operator::kernel::{Fact, Kernel};
use crate::ops::ml::columns::Selection;
use crate::ops::ml::mapping::Mappings;
use serde::{Deserialize, Serialize};
use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::*;

#[derive(Debug, Deserialize, Serialize)]
pub struct CategoryMapper(Mappings);

/// Builds the operator.
pub fn category_mapper(_: &ParsingContext, node: &NodeProto) -> Built {
    let ints: Vec<i64> = node.get_attr_vec("cats_int64s")?;
    let strings: Vec<String> = node.get_attr_vec("cats_strings")?;
    node.expect_attr("cats_strings", strings.len() == ints.len(), || {
        format!("{} elements, one for each of cats_int64s, found {}", ints.len(), strings.len())
    })?;
    let default_string: Option<String> = node.get_attr_opt("default_string")?;
    let default_string = default_string.unwrap_or_else(|| "_Unused".to_owned());
    let default_int: i64 = node.get_attr_opt("default_int64")?.unwrap_or(-1);
    let mappings = Mappings::both_ways(strings, ints, default_string, default_int);
    operator(node, 1, CategoryMapper(mappings))
}

impl Kernel for CategoryMapper {
    const NAME: &'static str = "CategoryMapper";

    fn outputs(&self, inputs: &[Fact]) -> TractResult<TVec<Fact>> {
        self.0.outputs(&inputs[0])
    }

    fn eval(&self, inputs: &[TValue]) -> TractResult<Vec<Tensor>> {
        Ok(vec![self.0.eval(&inputs[0], &Selection::All, inputs[0].shape())?])
    }
}

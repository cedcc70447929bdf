//! [TfIdfVectorizer](https://onnx.ai/onnx/operators/onnx__TfIdfVectorizer.html): counts how often
//! each n-gram of a pool occurs in a sequence of words. The input is one sequence, or a matrix with
//! a sequence in each row; words are strings or integers.
//!
//! Few n-grams of a large pool occur in a sequence, so most columns are zero. Operators after the TfIdfVectorizer that
//! can work on the non-zero columns alone are therefore fused into it: factors per column, a Normalizer and a linear
//! model. A Tokenizer before the TfIdfVectorizer is fused too.

use crate::encoding::fields::shared_tensor;
use crate::operator::adapter::{Built, kernel, operator, replace, successor};
use crate::operator::kernel::{Fact, Kernel, Patch};
use crate::operator::tensors::tensor;
use crate::ops::ml::linear_classifier::LinearClassifier;
use crate::ops::ml::normalizer::Normalizer;
use crate::ops::text::bag::Bag;
use crate::ops::text::ngrams::Ngrams;
use crate::ops::text::tokenizer::Tokens;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::*;
use tract_onnx::tract_hir::tract_core::ops::binary::TypedBinOp;
use tract_onnx::tract_hir::tract_core::ops::einsum::EinSum;
use tract_onnx::tract_hir::tract_core::ops::math::Mul;

/// The operator, with the Tokenizer, the factors and the Normalizer that are fused into it.
#[derive(Debug, Deserialize, Serialize)]
pub struct TfIdfVectorizer(Bag);

/// Builds the operator.
pub fn tf_idf_vectorizer(_: &ParsingContext, node: &NodeProto) -> Built {
    let ngrams = Arc::new(Ngrams::parse(node)?);
    let bag = Bag { tokenizer: None, ngrams, factors: None, normalizer: None };
    operator(node, 1, TfIdfVectorizer(bag))
}

impl Kernel for TfIdfVectorizer {
    const NAME: &'static str = "TfIdfVectorizer";

    fn outputs(&self, inputs: &[Fact]) -> TractResult<TVec<Fact>> {
        let columns = self.0.ngrams.columns().to_dim();
        let shape = self.0.rows(&inputs[0])?.into_iter().chain([columns]);
        Ok(tvec!(Fact::new(f32::datum_type(), shape)))
    }

    fn eval(&self, inputs: &[TValue]) -> TractResult<Vec<Tensor>> {
        Ok(vec![self.0.dense(&inputs[0])?])
    }

    fn fuse(self: &Arc<Self>, model: &TypedModel, node: &TypedNode) -> Patch {
        let before = model.node(node.inputs[0].node);
        if let Some(tokens) = kernel::<Tokens>(before)
            && successor(model, before).is_some()
            && model.outlet_fact(before.inputs[0])?.rank() == 1
        {
            let bag = Bag { tokenizer: Some(Arc::clone(&tokens.tokenizer)), ..self.0.clone() };
            return replace(model, before, node, TfIdfVectorizer(bag));
        }
        let Some(next) = successor(model, node) else { return Ok(None) };
        if node.outputs[0].fact.rank() != 2 {
            return Ok(None);
        }
        if let Some(factors) = factors(model, node, next)?
            && self.0.factors.is_none()
            && self.0.normalizer.is_none()
        {
            let bag = Bag { factors: Some(factors), ..self.0.clone() };
            return replace(model, node, next, TfIdfVectorizer(bag));
        }
        if let Some(normalizer) = kernel::<Normalizer>(next)
            && self.0.normalizer.is_none()
        {
            let bag = Bag { normalizer: Some(*normalizer), ..self.0.clone() };
            return replace(model, node, next, TfIdfVectorizer(bag));
        }
        if let Some(classifier) = kernel::<LinearClassifier>(next) {
            let classifier = BagClassifier { bag: self.0.clone(), classifier };
            return replace(model, node, next, classifier);
        }
        if let Some(matrix) = matrix(model, node, next)? {
            let product = BagProduct { bag: self.0.clone(), matrix };
            return replace(model, node, next, product);
        }
        Ok(None)
    }
}

/// Returns the constant factors, one per column, by which `next` multiplies the output of `node`.
/// Returns `None` if `next` is not such a multiplication.
fn factors(
    model: &TypedModel,
    node: &TypedNode,
    next: &TypedNode,
) -> TractResult<Option<Arc<Tensor>>> {
    let is_multiplication = next.op_as::<TypedBinOp>().is_some_and(|op| op.0.is::<Mul>());
    let columns = node.outputs[0].fact.shape[1].to_usize()?;
    let other = next.inputs.iter().find(|input| input.node != node.id);
    let (true, Some(other)) = (is_multiplication, other) else { return Ok(None) };
    let factors = model.outlet_fact(*other)?.konst.clone();
    Ok(factors.filter(|factors| {
        factors.datum_type() == f32::datum_type() && factors.shape() == [1, columns]
    }))
}

/// Returns the constant matrix by which `next` multiplies the output of `node`. Returns `None` if
/// `next` is not such a matrix product.
fn matrix(
    model: &TypedModel,
    node: &TypedNode,
    next: &TypedNode,
) -> TractResult<Option<Arc<Tensor>>> {
    let (Some(product), [left, right]) = (next.op_as::<EinSum>(), next.inputs.as_slice()) else {
        return Ok(None);
    };
    let is_product_of_floats = product.q_params.is_none()
        && product.operating_dt == f32::datum_type()
        && left.node == node.id
        && product.axes == "mk,kn->mn".parse()?;
    let matrix = model.outlet_fact(*right)?.konst.clone();
    Ok(matrix.filter(|matrix| is_product_of_floats && matrix.datum_type() == f32::datum_type()))
}

/// Bags of words that a linear classifier classifies.
#[derive(Debug, Deserialize, Serialize)]
pub struct BagClassifier {
    bag: Bag,
    classifier: Arc<LinearClassifier>,
}

impl Kernel for BagClassifier {
    const NAME: &'static str = "TfIdfVectorizer and LinearClassifier";

    const OUTPUTS: usize = LinearClassifier::OUTPUTS;

    fn outputs(&self, inputs: &[Fact]) -> TractResult<TVec<Fact>> {
        let rows = self.bag.rows(&inputs[0])?.into_iter();
        let shape = rows.chain([self.bag.ngrams.columns().to_dim()]);
        self.classifier.outputs(&[Fact::new(f32::datum_type(), shape)])
    }

    fn eval(&self, inputs: &[TValue]) -> TractResult<Vec<Tensor>> {
        let linear = self.classifier.linear(&self.bag.ngrams.columns().to_dim());
        let mut scores = vec![];
        self.bag.for_each(&inputs[0], |columns, values| {
            linear.apply_sparse(columns, values, &mut scores);
        })?;
        self.classifier.finish(linear, scores)
    }
}

/// The product of bags of words and a constant matrix.
#[derive(Debug, Deserialize, Serialize)]
pub struct BagProduct {
    bag: Bag,
    /// `[columns of the bag, width]`.
    #[serde(with = "shared_tensor")]
    matrix: Arc<Tensor>,
}

impl Kernel for BagProduct {
    const NAME: &'static str = "TfIdfVectorizer and MatMul";

    fn outputs(&self, inputs: &[Fact]) -> TractResult<TVec<Fact>> {
        let rows = self.bag.rows(&inputs[0])?.into_iter();
        let shape = rows.chain([self.matrix.shape()[1].to_dim()]);
        Ok(tvec!(Fact::new(f32::datum_type(), shape)))
    }

    fn eval(&self, inputs: &[TValue]) -> TractResult<Vec<Tensor>> {
        let width = self.matrix.shape()[1];
        let matrix = self.matrix.try_as_plain_ram()?;
        let matrix = matrix.as_slice::<f32>()?;
        // Each row of the result is the sum of the matrix rows of the non-zero columns, each
        // multiplied by the value in that column.
        let mut products = vec![];
        self.bag.for_each(&inputs[0], |columns, values| {
            let start = products.len();
            products.resize(start + width, 0.0);
            for (column, value) in columns.iter().zip(values) {
                let row = &matrix[*column as usize * width..][..width];
                for (product, element) in products[start..].iter_mut().zip(row) {
                    *product += value * element;
                }
            }
        })?;
        let rows = inputs[0].shape()[0];
        Ok(vec![tensor(&[rows, width], products)?])
    }
}

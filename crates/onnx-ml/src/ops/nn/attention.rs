//! [Attention](https://onnx.ai/onnx/operators/onnx__Attention.html): softmax(scale · Q·Kᵀ + bias)·V
//! for several heads. A head of keys and values may serve several heads of queries.
//!
//! tract computes the two matrix products. [`AttentionWeights`] computes the steps between them: scale, soft cap, bias,
//! masks and softmax. If tract supports all attributes and inputs of a node, the node uses tract's operator.
//!
//! Letters for lengths of axes: N batch, H heads, S queries, T keys, D size of a head.

use crate::operator::adapter::{self, Built};
use crate::operator::lowering::{Io, Lowering, Wiring, lower};
use crate::operator::tract_operators;
use crate::ops::nn::attention_weights::{AttentionWeights, QkStage};
use tract_onnx::model::{ParsingContext, optional_inputs, optional_outputs};
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_core::ops::array::TypedConcat;
use tract_onnx::tract_core::ops::cast::cast;
use tract_onnx::tract_core::ops::einsum::EinSum;
use tract_onnx::tract_hir::internal::*;

#[derive(Debug, Clone)]
struct Attention {
    /// tract's operator, if tract supports all attributes and inputs of the node. Some shapes still need this crate's
    /// operator.
    tract_operator: Option<Box<dyn Expansion>>,
    /// Number of query heads and number of key heads, from the attributes. The numbers are needed if the inputs have
    /// rank 3, `[N, S, H * D]`.
    heads: Option<[usize; 2]>,
    /// The steps between the products. The scale and the indices of inputs are set when the node is
    /// wired.
    weights: AttentionWeights,
    /// Factor for the products; `None` means `1 / sqrt(D)`.
    scale: Option<f32>,
    /// Index of the input with the mask.
    mask_input: Option<usize>,
    /// Indices of the inputs with the keys and the values of earlier calls.
    past_inputs: Option<[usize; 2]>,
    /// Index of the input with the number of valid keys in an external cache.
    lengths_input: Option<usize>,
    /// The operator has four outputs: 0 the result, 1 the present keys, 2 the present values, 3 an
    /// intermediate value. This field has the indices of the outputs that the node has.
    outputs: Vec<usize>,
}

pub fn attention(context: &ParsingContext, node: &NodeProto) -> Built {
    let inputs: Vec<Option<usize>> = optional_inputs(node).take(7).collect();
    node.expect(inputs[..3].iter().all(Option::is_some), || {
        format!("inputs Q, K and V, found inputs {:?}", node.input)
    })?;
    let past = match (inputs[4], inputs[5]) {
        (Some(key), Some(value)) => Some([key, value]),
        (None, None) => None,
        _ => bail!("expected past keys and past values, found only one of them"),
    };
    ensure!(
        past.is_none() || inputs[6].is_none(),
        "expected either past keys and values or lengths of an external cache, found both"
    );
    let outputs = optional_outputs(node).take(4).enumerate();
    let outputs: Vec<usize> = outputs.filter_map(|(index, output)| output.map(|_| index)).collect();
    let qk_stage = match node.get_attr_opt("qk_matmul_output_mode")?.unwrap_or(0i64) {
        0 => QkStage::Products,
        1 => QkStage::Capped,
        2 => QkStage::Biased,
        3 => QkStage::Weights,
        found => bail!("expected 0 to 3 as qk_matmul_output_mode, found {found}"),
    };
    let window_size = |name: &str| -> TractResult<Option<i64>> {
        Ok(node.get_attr_opt(name)?.filter(|size: &i64| *size >= 0))
    };
    let heads: [Option<usize>; 2] =
        [node.get_attr_opt("q_num_heads")?, node.get_attr_opt("kv_num_heads")?];
    let heads = match heads {
        [Some(queries), Some(keys)] if queries > 0 && keys > 0 => Some([queries, keys]),
        [None, None] => None,
        [queries, keys] => bail!(
            "expected positive q_num_heads and kv_num_heads, or neither; \
             found {queries:?} and {keys:?}"
        ),
    };
    let weights = AttentionWeights {
        scale: 1.0,
        softcap: node.get_attr_opt("softcap")?.unwrap_or(0.0),
        causal: node.get_attr_opt::<i64>("is_causal")?.unwrap_or(0) != 0,
        left: window_size("left_window_size")?,
        right: window_size("right_window_size")?,
        mask_input: None,
        past_input: None,
        lengths_input: None,
        qk_output: outputs.contains(&3).then_some(qk_stage),
    };
    let tract_supports_it = weights.softcap == 0.0
        && weights.qk_output.is_none()
        && weights.left.or(weights.right).is_none()
        && inputs[3].or(inputs[6]).is_none();
    let attention = Attention {
        tract_operator: if tract_supports_it {
            Some(tract_operators::expansion("Attention", context, node)?)
        } else {
            None
        },
        heads,
        weights,
        scale: node.get_attr_opt("scale")?,
        mask_input: inputs[3],
        past_inputs: past,
        lengths_input: inputs[6],
        outputs,
    };
    lower(attention)
}

impl Lowering for Attention {
    fn name(&self) -> StaticName {
        "Attention".into()
    }

    fn outputs(&self) -> usize {
        self.outputs.len()
    }

    fn rules<'r>(&'r self, solver: &mut Solver<'r>, [inputs, outputs]: Io<'r>) -> InferenceResult {
        for (output, index) in outputs.iter().zip(&self.outputs) {
            let like = if matches!(index, 0 | 3) { &inputs[0] } else { &inputs[*index] };
            solver.equals(&output.datum_type, &like.datum_type)?;
            match index {
                0 => solver.equals(&output.rank, &inputs[0].rank)?,
                _ => solver.equals(&output.rank, 4)?,
            }
        }
        Ok(())
    }

    fn wire(&self, mut wiring: Wiring, inputs: &[OutletId]) -> TractResult<TVec<OutletId>> {
        if let Some(tract_operator) = &self.tract_operator {
            // tract's causal mask is right only if the number of queries equals the number of keys.
            let length = |input: usize| {
                let shape = &wiring.fact(inputs[input])?.shape;
                TractResult::Ok(shape[shape.rank().saturating_sub(2)].clone())
            };
            if !self.weights.causal || self.past_inputs.is_none() && length(0)? == length(1)? {
                return tract_operator.wire(wiring.prefix, wiring.model, inputs);
            }
        }
        let datum_type = wiring.fact(inputs[0])?.datum_type;
        let packed = wiring.fact(inputs[0])?.rank() == 3;
        let [mut queries, mut keys, mut values] = [inputs[0], inputs[1], inputs[2]];
        if packed {
            let [query_heads, heads] = self.heads.context(
                "expected q_num_heads and kv_num_heads for inputs of rank 3, found neither",
            )?;
            queries = wiring.split_heads("queries", queries, query_heads)?;
            keys = wiring.split_heads("keys", keys, heads)?;
            values = wiring.split_heads("values", values, heads)?;
        }
        for outlet in [queries, keys, values] {
            let shape = &wiring.fact(outlet)?.shape;
            ensure!(
                shape.rank() == 4,
                "expected queries, keys and values of rank 4, found shape {shape:?}"
            );
        }
        if let Some([past_keys, past_values]) = self.past_inputs {
            let concat = TypedConcat { axis: 2 };
            keys = wiring.node("present_keys", concat.clone(), &[inputs[past_keys], keys])?;
            values = wiring.node("present_values", concat, &[inputs[past_values], values])?;
        }
        let (present_keys, present_values) = (keys, values);

        // A head of keys and values serves a group of query heads: split the heads of the queries,
        // so that the shape is [N, H, group, S, D].
        let [query_heads, key_heads] = [queries, keys]
            .map(|outlet| TractResult::Ok(wiring.model.outlet_fact(outlet)?.shape[1].to_usize()?));
        let (query_heads, key_heads) = (query_heads?, key_heads?);
        ensure!(
            key_heads > 0 && query_heads.is_multiple_of(key_heads),
            "expected the number of query heads to be a multiple of {key_heads}, found {query_heads}"
        );
        let f32 = f32::datum_type();
        let split = AxisOp::Reshape(
            1,
            tvec![query_heads.to_dim()],
            tvec![key_heads.to_dim(), (query_heads / key_heads).to_dim()],
        );
        queries = wiring.node("queries.float", cast(f32), &[queries])?;
        queries = wiring.node("queries.groups", split.clone(), &[queries])?;
        keys = wiring.node("keys.float", cast(f32), &[keys])?;
        values = wiring.node("values.float", cast(f32), &[values])?;
        let products = wiring.product("products", "bhgsd,bhtd->bhgst", [queries, keys])?;
        let products = wiring.node("products.heads", split.recip(), &[products])?;

        let size = wiring.fact(queries)?.shape[4].to_usize()?;
        let weights = self.wire_weights(&mut wiring, inputs, products, size)?;
        let groups = wiring.node("weights.groups", split.clone(), &weights[..1])?;
        let output = wiring.product("output", "bhgst,bhtv->bhgsv", [groups, values])?;
        let output = wiring.node("output.heads", split.recip(), &[output])?;
        let mut output = wiring.node("output.type", cast(datum_type), &[output])?;
        if packed {
            output = wiring.join_heads("output", output)?;
        }
        self.outputs
            .iter()
            .map(|index| match index {
                0 => Ok(output),
                1 => Ok(present_keys),
                2 => Ok(present_values),
                _ => wiring.node("qk_output", cast(datum_type), &weights[1..2]),
            })
            .collect()
    }
}

impl Attention {
    /// Adds the node that computes the weights from the products of queries and keys, for heads of
    /// `size` elements.
    fn wire_weights(
        &self,
        wiring: &mut Wiring,
        inputs: &[OutletId],
        products: OutletId,
        size: usize,
    ) -> TractResult<TVec<OutletId>> {
        let mut weights = self.weights.clone();
        weights.scale = self.scale.unwrap_or_else(|| 1.0 / (size as f32).sqrt());
        // The inputs of `AttentionWeights`: the products, and the optional inputs that the node
        // has.
        let mut weights_inputs = tvec!(products);
        let mut pass_input = |index: Option<usize>| {
            index.map(|index| {
                weights_inputs.push(inputs[index]);
                weights_inputs.len() - 1
            })
        };
        weights.mask_input = pass_input(self.mask_input);
        weights.past_input = pass_input(self.past_inputs.map(|[keys, _]| keys));
        weights.lengths_input = pass_input(self.lengths_input);
        let name = format!("{}.weights", wiring.prefix);
        let outputs = 1 + usize::from(self.outputs.contains(&3));
        adapter::wire(&name, wiring.model, weights, &weights_inputs, outputs)
    }
}

impl Wiring<'_> {
    /// Adds a product in Einstein notation.
    fn product(&mut self, name: &str, axes: &str, inputs: [OutletId; 2]) -> TractResult<OutletId> {
        self.node(name, EinSum::new(axes.parse()?, f32::datum_type()), &inputs)
    }

    /// Reshapes and transposes `[N, S, H * D]` to `[N, H, S, D]`.
    fn split_heads(&mut self, name: &str, outlet: OutletId, heads: usize) -> TractResult<OutletId> {
        let width = self.fact(outlet)?.shape[2].to_usize()?;
        let divides = width.is_multiple_of(heads);
        ensure!(divides, "expected a width divisible by {heads} heads, found {width}");
        let to = tvec![heads.to_dim(), (width / heads).to_dim()];
        let reshape = AxisOp::Reshape(2, tvec![width.to_dim()], to);
        let split = self.node(&format!("{name}.split"), reshape, &[outlet])?;
        self.node(&format!("{name}.order"), AxisOp::Move(2, 1), &[split])
    }

    /// Transposes and reshapes `[N, H, S, D]` to `[N, S, H * D]`.
    fn join_heads(&mut self, name: &str, outlet: OutletId) -> TractResult<OutletId> {
        let shape = &self.fact(outlet)?.shape;
        let (heads, size) = (shape[1].clone(), shape[3].clone());
        let width = heads.clone() * size.clone();
        let ordered = self.node(&format!("{name}.order"), AxisOp::Move(1, 2), &[outlet])?;
        let reshape = AxisOp::Reshape(2, tvec![heads, size], tvec![width]);
        self.node(&format!("{name}.join"), reshape, &[ordered])
    }
}

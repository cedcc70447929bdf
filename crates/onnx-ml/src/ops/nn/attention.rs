//! [Attention](https://onnx.ai/onnx/operators/onnx__Attention.html): softmax(scale · Q·Kᵀ + bias)·V
//! for several heads. A head of keys and values may serve several heads of queries.
//!
//! tract computes the matrix products. The parts of the operator that tract lacks are computed
//! between the products, by [`weights`](super::attention_weights). A node that uses none of these
//! parts gets tract's own operator.

use crate::operator::kernel::{self, Built};
use crate::operator::lowering::{Io, Lowering, Wiring, lower};
use crate::operator::tract_operators;
use crate::ops::nn::attention_weights::{AttentionWeights, Shown};
use tract_onnx::model::{ParsingContext, optional_inputs, optional_outputs};
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_core::ops::array::TypedConcat;
use tract_onnx::tract_core::ops::cast::cast;
use tract_onnx::tract_core::ops::einsum::EinSum;
use tract_onnx::tract_hir::internal::*;

#[derive(Debug, Clone)]
struct Attention {
    /// tract's operator, for a node that needs nothing else.
    plain: Option<Box<dyn Expansion>>,
    /// Number of query heads and of key heads, if the heads are stored side by side in the last
    /// dimension.
    heads: Option<[usize; 2]>,
    weights: AttentionWeights,
    scale: Option<f32>,
    mask: Option<usize>,
    past: Option<[usize; 2]>,
    lengths: Option<usize>,
    /// Indices of the outputs that the node has, of the operator's four.
    wanted: Vec<usize>,
}

pub fn attention(context: &ParsingContext, node: &NodeProto) -> Built {
    let inputs: Vec<Option<usize>> = optional_inputs(node).take(7).collect();
    node.expect(inputs[..3].iter().all(Option::is_some), "queries, keys and values")?;
    let past = match (inputs[4], inputs[5]) {
        (Some(key), Some(value)) => Some([key, value]),
        (None, None) => None,
        _ => bail!("expected past keys and past values, found only one of them"),
    };
    ensure!(
        past.is_none() || inputs[6].is_none(),
        "expected either a past or lengths of an external cache, found both"
    );
    let wanted = optional_outputs(node).take(4).enumerate();
    let wanted: Vec<usize> = wanted.filter_map(|(index, output)| output.map(|_| index)).collect();
    let shown = match node.get_attr_opt("qk_matmul_output_mode")?.unwrap_or(0i64) {
        0 => Shown::Products,
        1 => Shown::Capped,
        2 => Shown::Biased,
        3 => Shown::Weights,
        found => bail!("expected 0 to 3 as qk_matmul_output_mode, found {found}"),
    };
    let bound = |name: &str| -> TractResult<Option<i64>> {
        Ok(node.get_attr_opt(name)?.filter(|size: &i64| *size >= 0))
    };
    let heads = match (node.get_attr_opt("q_num_heads")?, node.get_attr_opt("kv_num_heads")?) {
        (Some(queries), Some(keys)) if queries > 0 && keys > 0 => Some([queries, keys]),
        (None, None) => None,
        _ => bail!("expected numbers of heads of queries and of keys"),
    };
    let weights = AttentionWeights {
        scale: 1.0,
        softcap: node.get_attr_opt("softcap")?.unwrap_or(0.0),
        causal: node.get_attr_opt::<i64>("is_causal")?.unwrap_or(0) != 0,
        left: bound("left_window_size")?,
        right: bound("right_window_size")?,
        mask: None,
        past: None,
        lengths: None,
        shown: wanted.contains(&3).then_some(shown),
    };
    let plain = weights.softcap == 0.0
        && weights.shown.is_none()
        && weights.left.or(weights.right).is_none()
        && inputs[3].or(inputs[6]).is_none();
    let attention = Attention {
        plain: if plain {
            Some(tract_operators::expansion("Attention", context, node)?)
        } else {
            None
        },
        heads,
        weights,
        scale: node.get_attr_opt("scale")?,
        mask: inputs[3],
        past,
        lengths: inputs[6],
        wanted,
    };
    lower(attention)
}

impl Lowering for Attention {
    fn name(&self) -> StaticName {
        "Attention".into()
    }

    fn outputs(&self) -> usize {
        self.wanted.len()
    }

    fn rules<'r>(&'r self, solver: &mut Solver<'r>, [inputs, outputs]: Io<'r>) -> InferenceResult {
        for (output, index) in outputs.iter().zip(&self.wanted) {
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
        if let Some(plain) = &self.plain {
            let steps = |input: usize| {
                let shape = &wiring.fact(inputs[input])?.shape;
                TractResult::Ok(shape[shape.rank().saturating_sub(2)].clone())
            };
            if !self.weights.causal || self.past.is_none() && steps(0)? == steps(1)? {
                return plain.wire(wiring.prefix, wiring.model, inputs);
            }
        }
        let datum_type = wiring.fact(inputs[0])?.datum_type;
        let packed = wiring.fact(inputs[0])?.rank() == 3;
        let [mut queries, mut keys, mut values] = [inputs[0], inputs[1], inputs[2]];
        if packed {
            let [query_heads, heads] = self.heads.context("expected numbers of heads")?;
            queries = wiring.split_heads("queries", queries, query_heads)?;
            keys = wiring.split_heads("keys", keys, heads)?;
            values = wiring.split_heads("values", values, heads)?;
        }
        for outlet in [queries, keys, values] {
            let shape = &wiring.fact(outlet)?.shape;
            ensure!(shape.rank() == 4, "expected four dimensions, found {shape:?}");
        }
        if let Some([past_keys, past_values]) = self.past {
            let concat = TypedConcat { axis: 2 };
            keys = wiring.node("present_keys", concat.clone(), &[inputs[past_keys], keys])?;
            values = wiring.node("present_values", concat, &[inputs[past_values], values])?;
        }
        let (present_keys, present_values) = (keys, values);

        let [query_heads, heads] = [queries, keys]
            .map(|outlet| TractResult::Ok(wiring.model.outlet_fact(outlet)?.shape[1].to_usize()?));
        let (query_heads, heads) = (query_heads?, heads?);
        ensure!(
            heads > 0 && query_heads.is_multiple_of(heads),
            "expected a multiple of {heads} heads of queries, found {query_heads}"
        );
        let f32 = f32::datum_type();
        let split = AxisOp::Reshape(
            1,
            tvec![query_heads.to_dim()],
            tvec![heads.to_dim(), (query_heads / heads).to_dim()],
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
        self.wanted
            .iter()
            .map(|index| match index {
                0 => Ok(output),
                1 => Ok(present_keys),
                2 => Ok(present_values),
                _ => wiring.node("shown", cast(datum_type), &weights[1..2]),
            })
            .collect()
    }
}

impl Attention {
    /// Adds the node that computes the weights from the products of queries and keys, for heads of `size`
    /// elements.
    fn wire_weights(
        &self,
        wiring: &mut Wiring,
        inputs: &[OutletId],
        products: OutletId,
        size: usize,
    ) -> TractResult<TVec<OutletId>> {
        let mut weights = self.weights.clone();
        weights.scale = self.scale.unwrap_or_else(|| 1.0 / (size as f32).sqrt());
        let mut given = tvec!(products);
        let mut give = |outlet: Option<usize>| {
            outlet.map(|outlet| {
                given.push(inputs[outlet]);
                given.len() - 1
            })
        };
        weights.mask = give(self.mask);
        weights.past = give(self.past.map(|[keys, _]| keys));
        weights.lengths = give(self.lengths);
        let name = format!("{}.weights", wiring.prefix);
        let outputs = 1 + usize::from(self.wanted.contains(&3));
        kernel::wire(&name, wiring.model, weights, &given, outputs)
    }
}

impl Wiring<'_> {
    fn product(&mut self, name: &str, axes: &str, inputs: [OutletId; 2]) -> TractResult<OutletId> {
        self.node(name, EinSum::new(axes.parse()?, f32::datum_type()), &inputs)
    }

    /// Reshapes `[N, S, H * D]` to `[N, H, S, D]`.
    fn split_heads(&mut self, name: &str, outlet: OutletId, heads: usize) -> TractResult<OutletId> {
        let width = self.fact(outlet)?.shape[2].to_usize()?;
        let whole = width.is_multiple_of(heads);
        ensure!(whole, "expected a width of {heads} equal heads, found {width}");
        let to = tvec![heads.to_dim(), (width / heads).to_dim()];
        let reshape = AxisOp::Reshape(2, tvec![width.to_dim()], to);
        let split = self.node(&format!("{name}.split"), reshape, &[outlet])?;
        self.node(&format!("{name}.order"), AxisOp::Move(2, 1), &[split])
    }

    fn join_heads(&mut self, name: &str, outlet: OutletId) -> TractResult<OutletId> {
        let shape = &self.fact(outlet)?.shape;
        let (heads, size) = (shape[1].clone(), shape[3].clone());
        let width = heads.clone() * size.clone();
        let ordered = self.node(&format!("{name}.order"), AxisOp::Move(1, 2), &[outlet])?;
        let reshape = AxisOp::Reshape(2, tvec![heads, size], tvec![width]);
        self.node(&format!("{name}.join"), reshape, &[ordered])
    }
}

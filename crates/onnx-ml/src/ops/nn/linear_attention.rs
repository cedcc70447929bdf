//! [LinearAttention](https://onnx.ai/onnx/operators/onnx__LinearAttention.html): attention whose
//! cost is linear in the number of steps. Each head of keys and values has a state: a matrix of
//! `d_k` rows and `d_v` columns. Each step multiplies the state by a decay, adds the outer product
//! of the step's key and value, and computes the output as the product of the query and the state.

use crate::operator::adapter::{Built, variadic};
use crate::operator::kernel::{Fact, Kernel};
use crate::operator::tensors::{elements, slices, tensor};
use tract_onnx::model::{ParsingContext, optional_inputs};
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::*;

#[derive(Debug)]
struct LinearAttention {
    query_heads: usize,
    /// Number of heads of keys and values. Each of these heads serves `query_heads / heads` heads of queries.
    heads: usize,
    /// Factor for queries; `None` means `1 / sqrt(d_k)`.
    scale: Option<f32>,
    /// `true` for the delta rule: before a value is added to the state, the output of the state for the value's key is
    /// subtracted from the value.
    delta: bool,
    /// Index of the input with the initial state.
    past_input: Option<usize>,
    /// Index of the input with the logarithms of the decays.
    decay_input: Option<usize>,
    /// Index of the input with the factors for the added products.
    beta_input: Option<usize>,
}

pub fn linear_attention(_: &ParsingContext, node: &NodeProto) -> Built {
    let (query_heads, heads) = (node.get_attr("q_num_heads")?, node.get_attr("kv_num_heads")?);
    let is_divisible = heads > 0 && query_heads >= heads && query_heads % heads == 0;
    node.expect(is_divisible, || {
        format!("q_num_heads to be a multiple of kv_num_heads, found {query_heads} and {heads}")
    })?;
    let rule = node.get_attr_opt("update_rule")?.unwrap_or("gated_delta");
    let (gated, delta) = match rule {
        "linear" => (false, false),
        "gated" => (true, false),
        "delta" => (false, true),
        "gated_delta" => (true, true),
        rule => bail!("expected update_rule linear, gated, delta or gated_delta, found {rule}"),
    };
    let positions: Vec<Option<usize>> = optional_inputs(node).take(6).collect();
    node.expect(positions[..3].iter().all(Option::is_some), || {
        format!("a query, a key and a value, found inputs {:?}", node.input)
    })?;
    node.expect(!gated || positions[4].is_some(), || {
        format!("an input `decay` for update_rule {rule}, found none")
    })?;
    node.expect(!delta || positions[5].is_some(), || {
        format!("an input `beta` for update_rule {rule}, found none")
    })?;
    let kernel = LinearAttention {
        query_heads,
        heads,
        scale: node.get_attr_opt("scale")?.filter(|scale| *scale != 0.0),
        delta,
        past_input: positions[3],
        decay_input: positions[4].filter(|_| gated),
        beta_input: positions[5].filter(|_| delta),
    };
    variadic(node, kernel)
}

impl Kernel for LinearAttention {
    const NAME: &'static str = "LinearAttention";
    const OUTPUTS: usize = 2;

    fn outputs(&self, inputs: &[Fact]) -> TractResult<TVec<Fact>> {
        let shape = |index: usize| match inputs[index].shape.as_slice() {
            [batch, steps, width] => Ok((batch.clone(), steps.clone(), width.to_usize()?)),
            shape => bail!("input {index}: expected rank 3, found shape {shape:?}"),
        };
        let (batch, steps, width) = shape(0)?;
        let (_, key_steps, keys) = shape(1)?;
        let (_, value_steps, values) = shape(2)?;
        // Number of columns of one head of keys, and of one head of values.
        let (key, value) = (keys / self.heads, values / self.heads);
        ensure!(
            key > 0 && value > 0,
            "expected non-empty keys and values, found {keys} and {values} columns"
        );
        let sizes_match = width == key * self.query_heads
            && keys == key * self.heads
            && values == value * self.heads
            && [&key_steps, &value_steps] == [&steps, &steps];
        ensure!(
            sizes_match,
            "expected {} query heads and {} key heads of equal size, found {width} columns of queries, \
             {keys} of keys and {values} of values",
            self.query_heads,
            self.heads
        );
        let state = [batch.clone(), self.heads.to_dim(), key.to_dim(), value.to_dim()];
        // The numbers of columns that the decay and the beta may have.
        for (index, widths) in
            [(self.decay_input, [keys, self.heads]), (self.beta_input, [self.heads, 1])]
        {
            let Some(index) = index else { continue };
            let (_, found_steps, found) = shape(index)?;
            let is_expected = widths.contains(&found) && found_steps == steps;
            ensure!(
                is_expected,
                "input {index}: expected {steps} steps and one of {widths:?} columns, \
                 found {found_steps} steps and {found} columns"
            );
        }
        let mut datum_type = inputs[0].datum_type;
        if let Some(past) = self.past_input {
            let found = &inputs[past].shape;
            ensure!(found[..] == state, "expected a state of shape {state:?}, found {found:?}");
            datum_type = inputs[past].datum_type;
        }
        let output = [batch, steps, (self.query_heads * value).to_dim()];
        Ok(tvec!(Fact::new(inputs[0].datum_type, output), Fact::new(datum_type, state)))
    }

    fn eval(&self, inputs: &[TValue]) -> TractResult<Vec<Tensor>> {
        let floats = inputs.iter().map(elements::<f32>).collect::<TractResult<Vec<_>>>()?;
        let floats = slices::<f32>(&floats)?;
        let width = |index: usize| inputs[index].shape()[2];
        let (batch, steps) = (inputs[0].shape()[0], inputs[0].shape()[1]);
        let (key, value) = (width(1) / self.heads, width(2) / self.heads);
        let scale = self.scale.unwrap_or_else(|| 1.0 / (key as f32).sqrt());
        let group = self.query_heads / self.heads;
        let mut states = match self.past_input {
            Some(past) => floats[past].to_vec(),
            None => vec![0.0; batch * self.heads * key * value],
        };
        let mut output = vec![0.0; batch * steps * self.query_heads * value];
        for (index, elements) in states.chunks_exact_mut((key * value).max(1)).enumerate() {
            let (row, head) = (index / self.heads, index % self.heads);
            let mut state = State { elements, value };
            for step in row * steps..(row + 1) * steps {
                // Returns the columns of an input that belong to this head. An input with one
                // column is shared by all heads.
                let head_columns = |input: usize| {
                    let (line, heads) = (&floats[input][step * width(input)..], self.heads);
                    match width(input) {
                        1 => &line[..1],
                        width => &line[head * (width / heads)..][..width / heads],
                    }
                };
                if let Some(decay) = self.decay_input {
                    state.decay(head_columns(decay));
                }
                let beta = self.beta_input.map_or(1.0, |beta| head_columns(beta)[0]);
                state.update(head_columns(1), head_columns(2), beta, self.delta);
                for query_head in head * group..(head + 1) * group {
                    let row = step * self.query_heads + query_head;
                    let queries = &floats[0][row * key..][..key];
                    state.read(queries, scale, &mut output[row * value..][..value]);
                }
            }
        }
        let datum_type = inputs[0].datum_type();
        let output = tensor(&[batch, steps, self.query_heads * value], output)?;
        let states = tensor(&[batch, self.heads, key, value], states)?;
        let state_type = self.past_input.map_or(datum_type, |past| inputs[past].datum_type());
        Ok(vec![
            output.cast_to_dt(datum_type)?.into_owned(),
            states.cast_to_dt(state_type)?.into_owned(),
        ])
    }
}

/// The state of one head, `[d_k, d_v]`.
struct State<'a> {
    elements: &'a mut [f32],
    /// Number of columns, `d_v`.
    value: usize,
}

impl State<'_> {
    /// Multiplies each row by `exp(logarithm)`. `logarithms` has an element for each row, or one
    /// element for all rows.
    fn decay(&mut self, logarithms: &[f32]) {
        let rows = self.elements.chunks_exact_mut(self.value);
        for (row, logarithm) in rows.zip(logarithms.iter().cycle()) {
            let factor = logarithm.exp();
            row.iter_mut().for_each(|element| *element *= factor);
        }
    }

    /// Adds `beta` times the outer product of key and value. With the delta rule, first subtracts the state's output
    /// for the key from the value.
    fn update(&mut self, keys: &[f32], values: &[f32], beta: f32, delta: bool) {
        let mut values = values.to_vec();
        if delta {
            for (row, key) in self.elements.chunks_exact(self.value).zip(keys) {
                values.iter_mut().zip(row).for_each(|(value, element)| *value -= key * element);
            }
        }
        for (row, key) in self.elements.chunks_exact_mut(self.value).zip(keys) {
            let key = beta * key;
            row.iter_mut().zip(&values).for_each(|(element, value)| *element += key * value);
        }
    }

    /// Adds the product of the query, times `scale`, and the state to `output`.
    fn read(&self, queries: &[f32], scale: f32, output: &mut [f32]) {
        for (row, query) in self.elements.chunks_exact(self.value).zip(queries) {
            let query = query * scale;
            output.iter_mut().zip(row).for_each(|(sum, element)| *sum += query * element);
        }
    }
}

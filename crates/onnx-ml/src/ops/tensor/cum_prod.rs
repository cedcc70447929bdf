//! [CumProd](https://onnx.ai/onnx/operators/onnx__CumProd.html): cumulative product along an axis.

use crate::operator::adapter::{Built, operator};
use crate::operator::kernel::{Fact, Kernel};
use crate::operator::tensors::{axis, elements, tensor};
use std::ops::Mul;
use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::*;

#[derive(Debug)]
struct CumProd {
    /// `true` if an element of the output excludes the element of the input at the same index.
    exclusive: bool,
    /// `true` if the products begin at the end of the axis.
    reverse: bool,
}

pub fn cum_prod(_: &ParsingContext, node: &NodeProto) -> Built {
    let flag = |name| Ok::<_, TractError>(node.get_attr_opt::<i64>(name)?.unwrap_or(0) != 0);
    operator(node, 2, CumProd { exclusive: flag("exclusive")?, reverse: flag("reverse")? })
}

impl Kernel for CumProd {
    const NAME: &'static str = "CumProd";

    fn outputs(&self, inputs: &[Fact]) -> TractResult<TVec<Fact>> {
        ensure!(inputs[0].is_number(), "expected numbers, found {:?}", inputs[0].datum_type);
        Ok(tvec!(Fact::new(inputs[0].datum_type, inputs[0].shape.iter().cloned())))
    }

    fn eval(&self, inputs: &[TValue]) -> TractResult<Vec<Tensor>> {
        let found = elements::<i64>(&inputs[1])?;
        let [found] = *found.try_as_plain_ram()?.as_slice()? else {
            bail!("expected one axis, found shape {:?}", inputs[1].shape());
        };
        let axis = axis(found, inputs[0].rank())?;
        let datum_type = inputs[0].datum_type();
        let products = if datum_type.is_float() {
            self.products(&*elements::<f64>(&inputs[0])?, axis, 1.0, f64::mul)?
        } else {
            self.products(&*elements::<i64>(&inputs[0])?, axis, 1, i64::wrapping_mul)?
        };
        Ok(vec![products.cast_to_dt(datum_type)?.into_owned()])
    }
}

impl CumProd {
    /// Computes the products with elements of type `T`.
    fn products<T: Datum + Copy>(
        &self,
        factors: &Tensor,
        axis: usize,
        one: T,
        multiply: fn(T, T) -> T,
    ) -> TractResult<Tensor> {
        let mut products = factors.try_as_plain_ram()?.as_slice::<T>()?.to_vec();
        let inner: usize = factors.shape()[axis + 1..].iter().product();
        let length = factors.shape()[axis];
        for line in 0..factors.len() / length.max(1) {
            let start = line / inner * inner * length + line % inner;
            let mut product = one;
            for step in 0..length {
                let step = if self.reverse { length - 1 - step } else { step };
                let element = &mut products[start + step * inner];
                let next = multiply(product, *element);
                *element = if self.exclusive { product } else { next };
                product = next;
            }
        }
        tensor(factors.shape(), products)
    }
}

//! [BitShift](https://onnx.ai/onnx/operators/onnx__BitShift.html): shifts bits to the left or
//! right. If the shift is negative or at least the type's width, the result is 0, or -1 for a
//! negative number that is shifted to the right.

use crate::operator::adapter::{Built, operator};
use crate::operator::kernel::{Fact, Kernel};
use crate::operator::tensors::elements;
use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_core::broadcast::multi_broadcast;
use tract_onnx::tract_hir::internal::*;
use tract_onnx::tract_hir::tract_ndarray::Zip;

#[derive(Debug)]
struct BitShift {
    /// `true` for a shift to the left, `false` for a shift to the right.
    left: bool,
}

pub fn bit_shift(_: &ParsingContext, node: &NodeProto) -> Built {
    let left = match node.get_attr("direction")? {
        "LEFT" => true,
        "RIGHT" => false,
        found => bail!("expected direction LEFT or RIGHT, found {found}"),
    };
    operator(node, 2, BitShift { left })
}

impl Kernel for BitShift {
    const NAME: &'static str = "BitShift";

    fn outputs(&self, inputs: &[Fact]) -> TractResult<TVec<Fact>> {
        let datum_type = inputs[0].datum_type;
        ensure!(datum_type.is_integer(), "expected integers, found {datum_type:?}");
        let shape = multi_broadcast(&[&inputs[0].shape, &inputs[1].shape])?;
        Ok(tvec!(Fact::new(datum_type, shape)))
    }

    fn eval(&self, inputs: &[TValue]) -> TractResult<Vec<Tensor>> {
        let datum_type = inputs[0].datum_type();
        let bits = 8 * datum_type.size_of() as i64;
        let shape = multi_broadcast(&[inputs[0].shape(), inputs[1].shape()])?;
        let (values, shifts) = (elements::<i64>(&inputs[0])?, elements::<i64>(&inputs[1])?);
        let values = values.to_plain_array_view::<i64>()?;
        let shifts = shifts.to_plain_array_view::<i64>()?;
        let unsigned = datum_type.is_unsigned();
        let (values, shifts) = (values.broadcast(&*shape), shifts.broadcast(&*shape));
        let (values, shifts) = values.zip(shifts).with_context(|| {
            let shapes = [inputs[0].shape(), inputs[1].shape()];
            format!("expected shapes that broadcast to {shape:?}, found {shapes:?}")
        })?;
        let shifted = Zip::from(values).and(shifts).map_collect(|value, shift| {
            match (self.left, (0..bits).contains(shift)) {
                (true, true) => value << shift,
                (false, true) if unsigned => (*value as u64 >> shift) as i64,
                (false, true) => value >> shift,
                (false, false) if !unsigned => value >> 63,
                _ => 0,
            }
        });
        Ok(vec![narrowed(shifted.into_tensor(), datum_type)?])
    }
}

/// Casts to `datum_type` by dropping the upper bits of each element.
fn narrowed(tensor: Tensor, datum_type: DatumType) -> TractResult<Tensor> {
    let wide = tensor.to_plain_array_view::<i64>()?;
    use DatumType::*;
    Ok(match datum_type {
        U8 => wide.mapv(|value| value as u8).into_tensor(),
        U16 => wide.mapv(|value| value as u16).into_tensor(),
        U32 => wide.mapv(|value| value as u32).into_tensor(),
        U64 => wide.mapv(|value| value as u64).into_tensor(),
        I8 => wide.mapv(|value| value as i8).into_tensor(),
        I16 => wide.mapv(|value| value as i16).into_tensor(),
        I32 => wide.mapv(|value| value as i32).into_tensor(),
        _ => tensor,
    })
}

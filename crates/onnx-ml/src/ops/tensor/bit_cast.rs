//! [BitCast](https://onnx.ai/onnx/operators/onnx__BitCast.html): reinterprets the bits of each
//! element as another type of the same width.

use crate::operator::adapter::{Built, operator};
use crate::operator::kernel::{Fact, Kernel};
use crate::operator::tensors::tensor;
use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::*;

#[derive(Debug)]
struct BitCast {
    /// Type of the output.
    to: DatumType,
}

pub fn bit_cast(_: &ParsingContext, node: &NodeProto) -> Built {
    operator(node, 1, BitCast { to: node.get_attr("to")? })
}

impl Kernel for BitCast {
    const NAME: &'static str = "BitCast";

    fn outputs(&self, inputs: &[Fact]) -> TractResult<TVec<Fact>> {
        let (from, to) = (inputs[0].datum_type, self.to);
        let has_same_width = from.size_of() == to.size_of() && from.is_copy() && to.is_copy();
        ensure!(has_same_width, "expected a type of the same size as {to:?}, found {from:?}");
        Ok(tvec!(Fact::new(to, inputs[0].shape.iter().cloned())))
    }

    fn eval(&self, inputs: &[TValue]) -> TractResult<Vec<Tensor>> {
        let plain = inputs[0].try_as_plain_ram()?;
        let bits = Bits { shape: inputs[0].shape(), bytes: plain.as_bytes() };
        use DatumType::*;
        Ok(vec![match self.to {
            Bool => bits.read(|[byte]| byte != 0),
            U8 => bits.read(u8::from_ne_bytes),
            U16 => bits.read(u16::from_ne_bytes),
            U32 => bits.read(u32::from_ne_bytes),
            U64 => bits.read(u64::from_ne_bytes),
            I8 => bits.read(i8::from_ne_bytes),
            I16 => bits.read(i16::from_ne_bytes),
            I32 => bits.read(i32::from_ne_bytes),
            I64 => bits.read(i64::from_ne_bytes),
            F16 => bits.read(f16::from_ne_bytes),
            F32 => bits.read(f32::from_ne_bytes),
            F64 => bits.read(f64::from_ne_bytes),
            to => bail!("expected a numeric or boolean type, found {to:?}"),
        }?])
    }
}

/// The bytes of the elements, and the shape.
struct Bits<'a> {
    shape: &'a [usize],
    bytes: &'a [u8],
}

impl Bits<'_> {
    /// Creates the tensor by converting `WIDTH` bytes for each element.
    fn read<T: Datum, const WIDTH: usize>(
        &self,
        read: fn([u8; WIDTH]) -> T,
    ) -> TractResult<Tensor> {
        let (elements, _) = self.bytes.as_chunks();
        tensor(self.shape, elements.iter().map(|bytes| read(*bytes)).collect())
    }
}

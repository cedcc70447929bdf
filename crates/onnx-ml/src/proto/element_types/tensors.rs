//! Converts the data of tensors to the carriers of their element types.

use super::formats::{Format, integer};
use std::fmt;
use tract_onnx::pb::TensorProto;

/// A tensor whose data does not have the size of its shape.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    /// Name of the tensor.
    pub tensor: String,
    /// The shape of the tensor.
    pub dims: Vec<i64>,
    /// Number of the elements in the tensor's data.
    pub found: usize,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Error { tensor, dims, found } = self;
        write!(
            f,
            "tensor `{tensor}`: expected the elements of shape {dims:?}, found {found} elements"
        )
    }
}

impl std::error::Error for Error {}

/// Converts a tensor to the carrier of its element type. Does not change a tensor whose element type tract supports.
///
/// # Errors
///
/// Returns an error if the tensor's data does not have the size of its shape.
pub fn widen(tensor: &mut TensorProto) -> Result<(), Error> {
    let Some(format) = Format::of(tensor.data_type) else { return Ok(()) };
    let count = tensor.dims.iter().try_fold(1_usize, |count, dim| {
        usize::try_from(*dim).ok().and_then(|dim| count.checked_mul(dim))
    });
    let bits = format.bits();
    // A unit contains one element, or the elements that share a byte.
    let per_unit = (8 / bits).max(1) as usize;
    let unit_bytes = bits.div_ceil(8) as usize;
    let units: Box<dyn ExactSizeIterator<Item = u16>> = if tensor.raw_data.is_empty() {
        Box::new(tensor.int32_data.iter().map(|unit| *unit as u16))
    } else {
        Box::new(tensor.raw_data.chunks(unit_bytes).map(little_endian))
    };
    let found = units.len();
    let Some(count) = count.filter(|count| count.div_ceil(per_unit) == found) else {
        let found = found * per_unit;
        return Err(Error { tensor: tensor.name.clone(), dims: tensor.dims.clone(), found });
    };
    let mask = u16::MAX >> (16 - bits);
    let elements_of_unit =
        move |unit: u16| (0..per_unit as u32).map(move |n| unit >> (n * bits) & mask);
    let codes = units.flat_map(elements_of_unit).take(count);
    let data = match format {
        Format::Float(float) => {
            let mut bytes = Vec::with_capacity(4 * count);
            codes.for_each(|code| bytes.extend_from_slice(&float.decode(code).to_le_bytes()));
            bytes
        }
        Format::Integer { bits, is_signed } => {
            codes.map(|code| integer(code, bits, is_signed) as u8).collect()
        }
    };
    tensor.raw_data = data;
    tensor.int32_data = vec![];
    tensor.data_type = format.carrier();
    Ok(())
}

/// Returns the number with the given bytes, from the least significant byte to the most significant.
fn little_endian(bytes: &[u8]) -> u16 {
    bytes.iter().rev().fold(0, |number, byte| number << 8 | u16::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tensor(data_type: i32, dims: &[i64], raw_data: &[u8]) -> TensorProto {
        TensorProto {
            data_type,
            dims: dims.to_vec(),
            raw_data: raw_data.to_vec(),
            ..TensorProto::default()
        }
    }

    fn floats(mut tensor: TensorProto) -> Result<Vec<f32>, Error> {
        widen(&mut tensor)?;
        let bytes = tensor.raw_data.chunks(4).map(|bytes| bytes.try_into());
        Ok(bytes.map(|bytes| f32::from_le_bytes(bytes.expect("4 bytes"))).collect())
    }

    #[test]
    fn reads_raw_data_and_typed_data() {
        assert_eq!(floats(tensor(16, &[2], &[0x80, 0x3f, 0, 0xc0])), Ok(vec![1.0, -2.0]));
        let mut typed = tensor(10, &[2], &[]);
        typed.int32_data = vec![0x3c00, 0xc000];
        assert_eq!(floats(typed), Ok(vec![1.0, -2.0]));
    }

    #[test]
    fn unpacks_elements_that_share_a_byte() {
        let mut int4 = tensor(22, &[3], &[0xf1, 0x08]);
        assert_eq!(widen(&mut int4), Ok(()));
        assert_eq!((int4.data_type, int4.raw_data), (3, vec![1, 0xff, 0xf8]));
        let mut uint2 = tensor(25, &[5], &[0b1110_0100, 0b10]);
        assert_eq!(widen(&mut uint2), Ok(()));
        assert_eq!((uint2.data_type, uint2.raw_data), (2, vec![0, 1, 2, 3, 2]));
    }

    #[test]
    fn rejects_data_that_does_not_have_the_size_of_the_shape() {
        let found = |tensor: TensorProto| floats(tensor).map_err(|error| error.found);
        assert_eq!(found(tensor(16, &[3], &[0, 0, 0, 0])), Err(2));
        assert_eq!(found(tensor(21, &[5], &[0, 0])), Err(4));
        assert_eq!(found(tensor(10, &[-1], &[])), Err(0));
        assert_eq!(found(tensor(10, &[i64::MAX, i64::MAX], &[0, 0])), Err(1));
    }
}

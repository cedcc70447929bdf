//! Serialization of tract's types that do not implement serde's traits, and of a few related types. Each module
//! serializes one type, and is named in an attribute `#[serde(with = "…")]` of a field.

use super::weights::Weights;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de, ser};
use tract_onnx::tract_hir::internal::*;

/// Serializes a `DatumType` as its name.
pub mod datum_type {
    use super::*;

    pub fn serialize<S: Serializer>(value: &DatumType, serializer: S) -> Result<S::Ok, S::Error> {
        format!("{value:?}").serialize(serializer)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<DatumType, D::Error> {
        let name: &str = Deserialize::deserialize(deserializer)?;
        name.parse().map_err(de::Error::custom)
    }
}

/// Serializes an `Option<DatumType>` as an optional name.
pub mod optional_datum_type {
    use super::*;

    pub fn serialize<S: Serializer>(value: &Option<DatumType>, s: S) -> Result<S::Ok, S::Error> {
        value.map(|value| format!("{value:?}")).serialize(s)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Option<DatumType>, D::Error> {
        let name: Option<&str> = Deserialize::deserialize(d)?;
        name.map(str::parse).transpose().map_err(de::Error::custom)
    }
}

/// Serializes a `Tensor` as its shape and its elements. Supports the element types that occur in
/// optimized models.
pub mod tensor_value {
    use super::*;

    /// The elements of a tensor, in row-major order.
    #[derive(Deserialize, Serialize)]
    enum Elements {
        Bool(Vec<bool>),
        F32(Weights<f32>),
        F64(Weights<f64>),
        I16(Weights<i16>),
        I32(Weights<i32>),
        I64(Weights<i64>),
        I8(Weights<i8>),
        String(Vec<String>),
        U16(Weights<u16>),
        U32(Weights<u32>),
        U64(Weights<u64>),
        U8(Weights<u8>),
    }

    /// Returns `true` if the tensor's element type is supported.
    pub fn is_supported(tensor: &Tensor) -> bool {
        elements(tensor).is_ok()
    }

    fn elements(tensor: &Tensor) -> TractResult<Elements> {
        let view = tensor.try_as_plain_ram()?;
        Ok(match tensor.datum_type() {
            DatumType::Bool => Elements::Bool(view.as_slice()?.to_vec()),
            DatumType::F32 => Elements::F32(view.as_slice()?.to_vec().into()),
            DatumType::F64 => Elements::F64(view.as_slice()?.to_vec().into()),
            DatumType::I16 => Elements::I16(view.as_slice()?.to_vec().into()),
            DatumType::I32 => Elements::I32(view.as_slice()?.to_vec().into()),
            DatumType::I64 => Elements::I64(view.as_slice()?.to_vec().into()),
            DatumType::I8 => Elements::I8(view.as_slice()?.to_vec().into()),
            DatumType::String => Elements::String(view.as_slice()?.to_vec()),
            DatumType::U16 => Elements::U16(view.as_slice()?.to_vec().into()),
            DatumType::U32 => Elements::U32(view.as_slice()?.to_vec().into()),
            DatumType::U64 => Elements::U64(view.as_slice()?.to_vec().into()),
            DatumType::U8 => Elements::U8(view.as_slice()?.to_vec().into()),
            other => bail!("expected a tensor of a serializable type, found {other:?}"),
        })
    }

    pub fn serialize<S: Serializer>(value: &Tensor, serializer: S) -> Result<S::Ok, S::Error> {
        let elements = elements(value).map_err(ser::Error::custom)?;
        (value.shape(), elements).serialize(serializer)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Tensor, D::Error> {
        let (shape, elements): (Vec<usize>, Elements) = Deserialize::deserialize(deserializer)?;
        let tensor = match elements {
            Elements::Bool(elements) => Tensor::from_shape(&shape, &elements),
            Elements::F32(elements) => Tensor::from_shape(&shape, &elements),
            Elements::F64(elements) => Tensor::from_shape(&shape, &elements),
            Elements::I16(elements) => Tensor::from_shape(&shape, &elements),
            Elements::I32(elements) => Tensor::from_shape(&shape, &elements),
            Elements::I64(elements) => Tensor::from_shape(&shape, &elements),
            Elements::I8(elements) => Tensor::from_shape(&shape, &elements),
            Elements::String(elements) => tract_ndarray::ArrayD::from_shape_vec(shape, elements)
                .map(IntoTensor::into_tensor)
                .map_err(TractError::from),
            Elements::U16(elements) => Tensor::from_shape(&shape, &elements),
            Elements::U32(elements) => Tensor::from_shape(&shape, &elements),
            Elements::U64(elements) => Tensor::from_shape(&shape, &elements),
            Elements::U8(elements) => Tensor::from_shape(&shape, &elements),
        };
        tensor.map_err(de::Error::custom)
    }
}

/// Serializes an `Arc<Tensor>` like [`tensor_value`].
pub mod shared_tensor {
    use super::*;

    pub fn serialize<S: Serializer>(value: &Arc<Tensor>, serializer: S) -> Result<S::Ok, S::Error> {
        tensor_value::serialize(value, serializer)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Arc<Tensor>, D::Error> {
        tensor_value::deserialize(d).map(Arc::new)
    }
}

/// Serializes an `Option<Arc<Tensor>>` like [`tensor_value`].
pub mod optional_tensor {
    use super::*;

    #[derive(Deserialize, Serialize)]
    struct Shared(#[serde(with = "shared_tensor")] Arc<Tensor>);

    pub fn serialize<S: Serializer>(
        value: &Option<Arc<Tensor>>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        value.clone().map(Shared).serialize(serializer)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Option<Arc<Tensor>>, D::Error> {
        let shared: Option<Shared> = Deserialize::deserialize(d)?;
        Ok(shared.map(|shared| shared.0))
    }
}

/// Serializes an `Option` that is `None`. Fails if the option is `Some`. This is for fields with symbols, because an
/// operator that creates symbols is not serializable.
pub mod none {
    use super::*;

    pub fn serialize<T, S: Serializer>(
        value: &Option<T>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match value {
            Some(_) => Err(ser::Error::custom(
                "expected serializable operators, found an operator that creates symbols",
            )),
            None => serializer.serialize_unit(),
        }
    }

    pub fn deserialize<'de, T, D: Deserializer<'de>>(d: D) -> Result<Option<T>, D::Error> {
        <()>::deserialize(d).map(|()| None)
    }
}

/// Serializes a `OnceLock` as an `Option`. The option is `None` if the `OnceLock` has not been initialized.
pub mod once {
    use super::*;
    use std::sync::OnceLock;

    pub fn serialize<T: Serialize, S: Serializer>(
        value: &OnceLock<T>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        value.get().serialize(serializer)
    }

    pub fn deserialize<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<OnceLock<T>, D::Error> {
        let value: Option<T> = Deserialize::deserialize(deserializer)?;
        Ok(value.map_or_else(OnceLock::new, OnceLock::from))
    }
}

/// Serializes a `PoolSpec`, which describes the sliding windows of a convolution or a pool.
pub mod pool_spec {
    use super::*;
    use tract_onnx::tract_core::ops::cnn::{PaddingSpec, PoolSpec};
    use tract_onnx::tract_core::ops::nn::DataFormat;

    /// The fields of a `PoolSpec`.
    #[derive(Deserialize, Serialize)]
    #[serde(remote = "PoolSpec")]
    struct Spec {
        #[serde(with = "Format")]
        data_format: DataFormat,
        #[serde(with = "sizes")]
        kernel_shape: TVec<usize>,
        #[serde(with = "Padding")]
        padding: PaddingSpec,
        #[serde(with = "optional_sizes")]
        dilations: Option<TVec<usize>>,
        #[serde(with = "optional_sizes")]
        strides: Option<TVec<usize>>,
        input_channels: usize,
        output_channels: usize,
    }

    /// The counterpart of tract's `DataFormat`: the order of the axes.
    #[derive(Deserialize, Serialize)]
    #[serde(remote = "DataFormat")]
    #[allow(clippy::upper_case_acronyms, reason = "tract's names")]
    enum Format {
        NCHW,
        NHWC,
        CHW,
        HWC,
    }

    /// The counterpart of tract's `PaddingSpec`.
    #[derive(Deserialize, Serialize)]
    #[serde(remote = "PaddingSpec")]
    enum Padding {
        Explicit(#[serde(with = "sizes")] TVec<usize>, #[serde(with = "sizes")] TVec<usize>),
        ExplicitOnnxPool(
            #[serde(with = "sizes")] TVec<usize>,
            #[serde(with = "sizes")] TVec<usize>,
            bool,
        ),
        Valid,
        SameUpper,
        SameLower,
    }

    pub fn serialize<S: Serializer>(value: &PoolSpec, serializer: S) -> Result<S::Ok, S::Error> {
        Spec::serialize(value, serializer)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<PoolSpec, D::Error> {
        Spec::deserialize(deserializer)
    }
}

/// Serializes tract's operator `Resize`.
pub mod resize {
    use super::*;
    use tract_onnx::tract_core::ops::nn::resize::{
        CoordTransformer, Interpolator, Nearest, Resize,
    };

    /// The fields of a `Resize`.
    #[derive(Deserialize, Serialize)]
    #[serde(remote = "Resize")]
    struct Resized {
        #[serde(with = "Coordinates")]
        coord_transformer: CoordTransformer,
        #[serde(with = "Interpolation")]
        interpolator: Interpolator,
        #[serde(with = "Rounding")]
        nearest: Nearest,
        optional_scales_input: Option<usize>,
        optional_sizes_input: Option<usize>,
    }

    /// The counterpart of tract's `CoordTransformer`.
    #[derive(Deserialize, Serialize)]
    #[serde(remote = "CoordTransformer")]
    enum Coordinates {
        HalfPixel,
        AlignCorners,
        Asymmetric,
        PytorchHalfPixel,
        HalfPixelSymmetric,
        TfHalfPixelForNn,
    }

    /// The counterpart of tract's `Interpolator`.
    #[derive(Deserialize, Serialize)]
    #[serde(remote = "Interpolator")]
    enum Interpolation {
        Linear,
        Nearest,
        Cubic,
    }

    /// The counterpart of tract's `Nearest`.
    #[derive(Deserialize, Serialize)]
    #[serde(remote = "Nearest")]
    enum Rounding {
        Floor,
        RoundPreferCeil,
    }

    pub fn serialize<S: Serializer>(value: &Resize, serializer: S) -> Result<S::Ok, S::Error> {
        Resized::serialize(value, serializer)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Resize, D::Error> {
        Resized::deserialize(deserializer)
    }
}

/// Serializes a list of axes or lengths.
pub mod sizes {
    use super::*;

    pub fn serialize<S: Serializer>(value: &TVec<usize>, serializer: S) -> Result<S::Ok, S::Error> {
        value.as_slice().serialize(serializer)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<TVec<usize>, D::Error> {
        let sizes: Vec<usize> = Deserialize::deserialize(d)?;
        Ok(sizes.into())
    }
}

/// Serializes an optional list of lengths.
mod optional_sizes {
    use super::*;

    pub fn serialize<S: Serializer>(
        value: &Option<TVec<usize>>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        value.as_deref().serialize(serializer)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Option<TVec<usize>>, D::Error> {
        let sizes: Option<Vec<usize>> = Deserialize::deserialize(d)?;
        Ok(sizes.map(TVec::from))
    }
}

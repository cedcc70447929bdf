//! Numeric loops over slices. They do not depend on ONNX's operators.

pub(crate) mod axis_view;
pub(crate) mod broadcast;
pub(crate) mod conv_plane;
pub(crate) mod conv_tiles;
pub(crate) mod element_wise_chain;
pub(crate) mod integer_conv;
pub(crate) mod integer_product;
pub(crate) mod logistic;
pub(crate) mod math;
pub(crate) mod quantize;
pub(crate) mod reduce;
pub(crate) mod simd;
pub(crate) mod slices;
pub(crate) mod softmax;
pub(crate) mod trees;

//! The operators of neural networks: convolutions, pools, attention, activations, normalization and
//! losses.

mod affine_grid;
mod attention;
mod attention_weights;
mod batch_normalization;
mod causal_conv_with_state;
mod celu;
mod col2im;
mod conv_pool;
mod conv_transpose;
mod cross_entropy;
mod deform_conv;
pub(crate) mod doubles;
mod element_wise;
mod fused;
mod linear_attention;
mod log_softmax;
mod lp_pool;
mod max_unpool;
mod non_max_suppression;
mod resize;
mod roi_align;
mod softplus;
mod stft;
mod swiglu;
pub(crate) mod windows;

use tract_onnx::model::OnnxOpRegister;

/// Registers the operators of this group.
pub(super) fn register(operators: &mut OnnxOpRegister) {
    operators.insert("AffineGrid", affine_grid::affine_grid);
    operators.insert("Attention", attention::attention);
    operators.insert("AveragePool", conv_pool::pool);
    operators.insert("BatchNormalization", batch_normalization::batch_normalization);
    operators.insert("CausalConvWithState", causal_conv_with_state::causal_conv_with_state);
    operators.insert("Celu", celu::celu);
    operators.insert("Col2Im", col2im::col2im);
    operators.insert("Conv", conv_pool::conv);
    operators.insert("ConvTranspose", conv_transpose::conv_transpose);
    operators.insert("DeformConv", deform_conv::deform_conv);
    operators.insert("FusedConv", fused::fused_conv);
    operators.insert("FusedGemm", fused::fused_gemm);
    operators.insert("FusedMatMul", fused::fused_mat_mul);
    operators.insert("GlobalLpPool", lp_pool::global_lp_pool);
    operators.insert("HardSwish", element_wise::element_wise);
    operators.insert("IsInf", doubles::doubles);
    operators.insert("IsNaN", doubles::doubles);
    operators.insert("LeakyRelu", element_wise::element_wise);
    operators.insert("LinearAttention", linear_attention::linear_attention);
    operators.insert("LogSoftmax", log_softmax::log_softmax);
    operators.insert("LpPool", lp_pool::lp_pool);
    operators.insert("MaxPool", conv_pool::pool);
    operators.insert("MaxUnpool", max_unpool::max_unpool);
    operators.insert("NegativeLogLikelihoodLoss", cross_entropy::negative_log_likelihood_loss);
    operators.insert("NonMaxSuppression", non_max_suppression::non_max_suppression);
    operators.insert("Resize", resize::resize);
    operators.insert("RoiAlign", roi_align::roi_align);
    operators.insert("STFT", stft::stft);
    operators.insert("Round", doubles::doubles);
    operators.insert("Sigmoid", element_wise::element_wise);
    operators.insert("SoftmaxCrossEntropyLoss", cross_entropy::softmax_cross_entropy_loss);
    operators.insert("Softplus", softplus::softplus);
    operators.insert("SwiGLU", swiglu::swiglu);
    operators.insert("Upsample", resize::upsample);
}

//! Models whose attributes do not fit together are refused when they are loaded, and data that has
//! no answer when they run: with a reason, and never with a panic.

#![allow(clippy::unwrap_used)]

mod features;
mod graphs;
mod linear_svm;
mod main_domain;
mod node;
mod text;
mod tree_ensemble;
mod trees;

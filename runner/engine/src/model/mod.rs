//! A Llama model on the CPU: shape, weights, forward pass and the kernels under it.

pub(crate) mod attention;
pub(crate) mod config;
pub(crate) mod kernel;
pub(crate) mod linear;
pub(crate) mod llama;
#[cfg(test)]
mod oracle;
pub(crate) mod rope;
pub(crate) mod weights;

//! A linear layer whose weights were laid out once for the tiles of the kernel.

use candle_core::{Result, Tensor};
use candle_nn::Module;
use rayon::prelude::*;

use super::kernel::{Matrix, MatrixMut, Sizes, TILE_COLUMNS, multiply};

/// `y = x · Wᵀ` without bias. The weights are kept as panels of [`TILE_COLUMNS`] outputs: panel after panel, input
/// after input, the outputs of one input side by side; the last panel is filled up with zeros.
pub(crate) struct PackedLinear {
    panels: Vec<f32>,
    inputs: usize,
    outputs: usize,
}

impl PackedLinear {
    /// Packs a weight of shape (outputs, inputs), as checkpoints store it.
    ///
    /// # Errors
    /// When the tensor does not have two dimensions or is not f32.
    pub(crate) fn new(weight: &Tensor) -> Result<Self> {
        let (outputs, inputs) = weight.dims2()?;
        let panel_count = outputs.div_ceil(TILE_COLUMNS);
        let mut panels = vec![0f32; panel_count * inputs * TILE_COLUMNS];
        with_values(weight, |values| {
            for (output, row) in values.chunks_exact(inputs).enumerate() {
                let start = output / TILE_COLUMNS * inputs * TILE_COLUMNS + output % TILE_COLUMNS;
                for (value, slot) in row
                    .iter()
                    .zip(panels[start..].iter_mut().step_by(TILE_COLUMNS))
                {
                    *slot = *value;
                }
            }
        })?;
        Ok(Self {
            panels,
            inputs,
            outputs,
        })
    }

    /// Bytes of the packed weights.
    pub(crate) fn bytes(&self) -> u64 {
        (self.panels.len() * size_of::<f32>()) as u64
    }

    /// Outputs of rows that stand one after another in `input`, in the same order.
    pub(crate) fn apply(&self, input: &[f32]) -> Vec<f32> {
        let rows = input.len() / self.inputs;
        let mut output = vec![0f32; rows * self.outputs];
        let rows_at_once = rows.div_ceil(rayon::current_num_threads()).max(1);
        if rows_at_once >= rows {
            self.apply_into(input, &mut output);
        } else {
            output
                .par_chunks_mut(rows_at_once * self.outputs)
                .zip(input.par_chunks(rows_at_once * self.inputs))
                .for_each(|(output, input)| self.apply_into(input, output));
        }
        output
    }

    fn apply_into(&self, input: &[f32], output: &mut [f32]) {
        let rows = input.len() / self.inputs;
        let sizes = Sizes {
            rows,
            depth: self.inputs,
            columns: TILE_COLUMNS,
        };
        let left = Matrix {
            values: input,
            stride: self.inputs,
        };
        let mut rest = Vec::new();
        for (panel, values) in self
            .panels
            .chunks_exact(self.inputs * TILE_COLUMNS)
            .enumerate()
        {
            let right = Matrix {
                values,
                stride: TILE_COLUMNS,
            };
            let column = panel * TILE_COLUMNS;
            let columns = (self.outputs - column).min(TILE_COLUMNS);
            if columns == TILE_COLUMNS {
                let output = MatrixMut {
                    values: &mut output[column..],
                    stride: self.outputs,
                };
                multiply(sizes, left, right, output, false);
            } else {
                rest.resize(rows * TILE_COLUMNS, 0f32);
                multiply(
                    sizes,
                    left,
                    right,
                    MatrixMut {
                        values: &mut rest,
                        stride: TILE_COLUMNS,
                    },
                    false,
                );
                for (row, values) in rest.chunks_exact(TILE_COLUMNS).enumerate() {
                    let start = row * self.outputs + column;
                    output[start..start + columns].copy_from_slice(&values[..columns]);
                }
            }
        }
    }
}

impl Module for PackedLinear {
    fn forward(&self, input: &Tensor) -> Result<Tensor> {
        let rows = input.dim(0)?;
        let output = with_values(input, |values| self.apply(values))?;
        Tensor::from_vec(output, (rows, self.outputs), input.device())
    }
}

/// Calls `read` with a tensor's values in row-major order, without a copy where they are laid out like that already.
///
/// # Errors
/// When the tensor is not f32.
pub(crate) fn with_values<T>(tensor: &Tensor, read: impl FnOnce(&[f32]) -> T) -> Result<T> {
    let tensor = tensor.contiguous()?;
    let (storage, layout) = tensor.storage_and_layout();
    let values = match &*storage {
        candle_core::Storage::Cpu(storage) => storage.as_slice::<f32>()?,
        _ => candle_core::bail!("the built-in engine computes on the CPU only"),
    };
    let start = layout.start_offset();
    Ok(read(&values[start..start + layout.shape().elem_count()]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    #[test]
    fn equals_the_product_of_candle() {
        let (inputs, outputs, rows) = (24, 37, 9);
        let weight = Tensor::randn(0f32, 1.0, (outputs, inputs), &Device::Cpu).unwrap();
        let input = Tensor::randn(0f32, 1.0, (rows, inputs), &Device::Cpu).unwrap();
        let expected = input.matmul(&weight.t().unwrap()).unwrap();
        let actual = PackedLinear::new(&weight).unwrap().forward(&input).unwrap();
        let difference = (actual - expected)
            .unwrap()
            .abs()
            .unwrap()
            .max_all()
            .unwrap()
            .to_scalar::<f32>()
            .unwrap();
        assert!(difference < 1e-4, "largest difference {difference}");
    }
}

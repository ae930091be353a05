//! The arithmetic that takes the time, compiled twice: for CPUs with AVX2 and FMA, and for all others.
//!
//! Every output element is accumulated over the inner dimension in ascending order with one accumulator. So a row's
//! result does not depend on how many rows are computed with it, and a prompt gives the same bits whether it was
//! computed whole, in pieces, or partly taken from a cache.

/// Columns that one tile computes; packed weights and score rows come in multiples of it.
pub(crate) const TILE_COLUMNS: usize = 16;
/// Rows that one full tile computes: 6 × 16 accumulators fill the sixteen vector registers of AVX2.
const TILE_ROWS: usize = 6;
const LANES: usize = 8;
const VECTORS: usize = TILE_COLUMNS / LANES;

/// A piece of arithmetic that is compiled for each instruction set. Implementations of `run` must be
/// `#[inline(always)]`, or they are compiled without the instructions.
trait Job {
    /// `FUSED`: a multiplication and an addition are one instruction with one rounding.
    fn run<const FUSED: bool>(self);
}

fn dispatch(job: impl Job) {
    #[cfg(target_arch = "x86_64")]
    {
        if std::arch::is_x86_feature_detected!("avx2") && std::arch::is_x86_feature_detected!("fma")
        {
            #[expect(
                unsafe_code,
                reason = "both instruction sets were detected in the line above"
            )]
            unsafe {
                run_with_avx2(job);
            }
        } else {
            job.run::<false>();
        }
    }
    // Everywhere else a fused multiply-add is part of the base instruction set.
    #[cfg(not(target_arch = "x86_64"))]
    job.run::<true>();
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn run_with_avx2(job: impl Job) {
    job.run::<true>();
}

#[inline(always)]
fn multiply_add<const FUSED: bool>(a: f32, b: f32, c: f32) -> f32 {
    if FUSED { a.mul_add(b, c) } else { a * b + c }
}

/// A row-major matrix inside a slice: element (i, j) is `values[i * stride + j]`.
#[derive(Clone, Copy)]
pub(crate) struct Matrix<'a> {
    pub(crate) values: &'a [f32],
    pub(crate) stride: usize,
}

/// A row-major matrix to write to.
pub(crate) struct MatrixMut<'a> {
    pub(crate) values: &'a mut [f32],
    pub(crate) stride: usize,
}

/// The sizes of a product: (rows × depth) · (depth × columns).
#[derive(Clone, Copy)]
pub(crate) struct Sizes {
    pub(crate) rows: usize,
    pub(crate) depth: usize,
    /// A multiple of [`TILE_COLUMNS`].
    pub(crate) columns: usize,
}

struct Product<'a> {
    sizes: Sizes,
    left: Matrix<'a>,
    right: Matrix<'a>,
    output: MatrixMut<'a>,
    accumulate: bool,
}

impl Job for Product<'_> {
    #[inline(always)]
    fn run<const FUSED: bool>(self) {
        let Product {
            sizes,
            left,
            right,
            output,
            accumulate,
        } = self;
        for column in (0..sizes.columns).step_by(TILE_COLUMNS) {
            let right = Matrix {
                values: &right.values[column..],
                stride: right.stride,
            };
            let mut row = 0;
            while row < sizes.rows {
                let rows = (sizes.rows - row).min(TILE_ROWS);
                let left = Matrix {
                    values: &left.values[row * left.stride..],
                    stride: left.stride,
                };
                let output = MatrixMut {
                    values: &mut output.values[row * output.stride + column..],
                    stride: output.stride,
                };
                match rows {
                    1 => tile::<FUSED, 1>(sizes.depth, left, right, output, accumulate),
                    2 => tile::<FUSED, 2>(sizes.depth, left, right, output, accumulate),
                    3 => tile::<FUSED, 3>(sizes.depth, left, right, output, accumulate),
                    4 => tile::<FUSED, 4>(sizes.depth, left, right, output, accumulate),
                    5 => tile::<FUSED, 5>(sizes.depth, left, right, output, accumulate),
                    _ => tile::<FUSED, TILE_ROWS>(sizes.depth, left, right, output, accumulate),
                }
                row += rows;
            }
        }
    }
}

#[inline(always)]
fn tile<const FUSED: bool, const ROWS: usize>(
    depth: usize,
    left: Matrix<'_>,
    right: Matrix<'_>,
    output: MatrixMut<'_>,
    accumulate: bool,
) {
    let mut sums = [[[0f32; LANES]; VECTORS]; ROWS];
    if accumulate {
        for (row, sums) in sums.iter_mut().enumerate() {
            for (vector, sums) in sums.iter_mut().enumerate() {
                let start = row * output.stride + vector * LANES;
                sums.copy_from_slice(&output.values[start..start + LANES]);
            }
        }
    }
    let rows: [&[f32]; ROWS] =
        std::array::from_fn(|row| &left.values[row * left.stride..row * left.stride + depth]);
    for (index, right_row) in right.values.chunks(right.stride).take(depth).enumerate() {
        let right: [[f32; LANES]; VECTORS] = std::array::from_fn(|vector| {
            let mut lanes = [0f32; LANES];
            lanes.copy_from_slice(&right_row[vector * LANES..vector * LANES + LANES]);
            lanes
        });
        for row in 0..ROWS {
            let left = rows[row][index];
            for vector in 0..VECTORS {
                for lane in 0..LANES {
                    sums[row][vector][lane] =
                        multiply_add::<FUSED>(left, right[vector][lane], sums[row][vector][lane]);
                }
            }
        }
    }
    for (row, sums) in sums.iter().enumerate() {
        for (vector, sums) in sums.iter().enumerate() {
            let start = row * output.stride + vector * LANES;
            output.values[start..start + LANES].copy_from_slice(sums);
        }
    }
}

/// `output = left · right`, or `output += left · right` with `accumulate`.
pub(crate) fn multiply(
    sizes: Sizes,
    left: Matrix<'_>,
    right: Matrix<'_>,
    output: MatrixMut<'_>,
    accumulate: bool,
) {
    debug_assert_eq!(sizes.columns % TILE_COLUMNS, 0);
    dispatch(Product {
        sizes,
        left,
        right,
        output,
        accumulate,
    });
}

/// e to the power of `x`, to about one unit in the last place over [-87, 88]; exactly 0 below. Without a branch, so
/// that loops over it become vector instructions.
#[inline(always)]
fn exponential<const FUSED: bool>(x: f32) -> f32 {
    // 1.5 × 2^23: adding it leaves the rounded integer in the low bits of the sum.
    const ROUNDER: f32 = 12_582_912.0;
    // ln 2 in two parts: the first has few enough bits for an exact product with a small integer.
    const LN_2_HIGH: f32 = 0.693_359_4;
    const LN_2_LOW: f32 = -2.121_944_4e-4;
    let clamped = x.clamp(-87.0, 88.0);
    let shifted = multiply_add::<FUSED>(clamped, std::f32::consts::LOG2_E, ROUNDER);
    let power = shifted - ROUNDER;
    let rest = multiply_add::<FUSED>(power, -LN_2_HIGH, clamped);
    let rest = multiply_add::<FUSED>(power, -LN_2_LOW, rest);
    let mut sum = 1.0 / 720.0;
    for coefficient in [1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0] {
        sum = multiply_add::<FUSED>(sum, rest, coefficient);
    }
    let scaled = f32::from_bits(sum.to_bits().wrapping_add(shifted.to_bits() << 23));
    if x < -87.0 { 0.0 } else { scaled }
}

struct SwiGlu<'a> {
    gate: &'a mut [f32],
    up: &'a [f32],
}

impl Job for SwiGlu<'_> {
    #[inline(always)]
    fn run<const FUSED: bool>(self) {
        for (gate, up) in self.gate.iter_mut().zip(self.up) {
            *gate = *gate / (1.0 + exponential::<FUSED>(-*gate)) * up;
        }
    }
}

/// `gate = silu(gate) · up`, element by element.
pub(crate) fn swiglu(gate: &mut [f32], up: &[f32]) {
    dispatch(SwiGlu { gate, up });
}

/// One step of attention with a running softmax (Milakov and Gimelshein 2018; Dao et al. 2022): rows of scores against
/// one block of keys become weights, and what was accumulated before is rescaled to the new maximum.
pub(crate) struct SoftmaxStep<'a> {
    /// Scores of each row, `stride` apart; replaced by weights, 0 where a key is not visible.
    pub(crate) scores: &'a mut [f32],
    pub(crate) stride: usize,
    /// Scores computed in each row, a multiple of [`TILE_COLUMNS`].
    pub(crate) columns: usize,
    /// Keys that the first row sees; each later row sees `visible_step` more, never more than `columns`.
    pub(crate) visible: usize,
    pub(crate) visible_step: usize,
    /// The largest score so far of each row.
    pub(crate) maxima: &'a mut [f32],
    /// The sum of weights so far of each row, relative to the maximum.
    pub(crate) sums: &'a mut [f32],
    /// What each row accumulated so far; `width` values, `output_stride` apart.
    pub(crate) output: &'a mut [f32],
    pub(crate) output_stride: usize,
    pub(crate) width: usize,
}

impl Job for SoftmaxStep<'_> {
    #[inline(always)]
    fn run<const FUSED: bool>(self) {
        for row in 0..self.maxima.len() {
            let scores = &mut self.scores[row * self.stride..row * self.stride + self.columns];
            let visible = (self.visible + row * self.visible_step).min(self.columns);
            scores[visible..].fill(f32::NEG_INFINITY);
            let mut largest = [f32::NEG_INFINITY; TILE_COLUMNS];
            for chunk in scores.as_chunks::<TILE_COLUMNS>().0 {
                for lane in 0..TILE_COLUMNS {
                    largest[lane] = if chunk[lane] > largest[lane] {
                        chunk[lane]
                    } else {
                        largest[lane]
                    };
                }
            }
            let largest = largest.into_iter().fold(self.maxima[row], f32::max);
            let mut sums = [0f32; TILE_COLUMNS];
            for chunk in scores.as_chunks_mut::<TILE_COLUMNS>().0 {
                for lane in 0..TILE_COLUMNS {
                    chunk[lane] = exponential::<FUSED>(chunk[lane] - largest);
                    sums[lane] += chunk[lane];
                }
            }
            let factor = exponential::<FUSED>(self.maxima[row] - largest);
            let sum = sums.into_iter().fold(0.0, |sum, lane| sum + lane);
            self.maxima[row] = largest;
            self.sums[row] = multiply_add::<FUSED>(self.sums[row], factor, sum);
            if factor != 1.0 {
                for value in &mut self.output
                    [row * self.output_stride..row * self.output_stride + self.width]
                {
                    *value *= factor;
                }
            }
        }
    }
}

impl SoftmaxStep<'_> {
    /// Does the step.
    pub(crate) fn apply(self) {
        dispatch(self);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ramp(length: usize, modulus: usize) -> Vec<f32> {
        (0..length)
            .map(|index| (index % modulus) as f32 * 0.25 - 1.0)
            .collect()
    }

    #[test]
    fn a_product_equals_the_definition_for_every_row_count() {
        for rows in 1..=14 {
            let sizes = Sizes {
                rows,
                depth: 37,
                columns: 32,
            };
            let (left, right) = (ramp(rows * 40, 7), ramp(37 * 48, 11));
            let mut output = vec![1.0; rows * 33];
            let view = MatrixMut {
                values: &mut output,
                stride: 33,
            };
            multiply(
                sizes,
                Matrix {
                    values: &left,
                    stride: 40,
                },
                Matrix {
                    values: &right,
                    stride: 48,
                },
                view,
                true,
            );
            for row in 0..rows {
                for column in 0..32 {
                    let expected: f32 = 1.0
                        + (0..37)
                            .map(|i| left[row * 40 + i] * right[i * 48 + column])
                            .sum::<f32>();
                    assert!((output[row * 33 + column] - expected).abs() < 1e-3);
                }
            }
        }
    }

    #[test]
    fn a_row_has_the_same_bits_alone_and_among_others() {
        let sizes = Sizes {
            rows: 13,
            depth: 200,
            columns: 16,
        };
        let left: Vec<f32> = (0..13 * 200)
            .map(|i| ((i * 7919) % 1000) as f32 * 1e-3 - 0.5)
            .collect();
        let right: Vec<f32> = (0..200 * 16)
            .map(|i| ((i * 104_729) % 1000) as f32 * 1e-3 - 0.5)
            .collect();
        let right = Matrix {
            values: &right,
            stride: 16,
        };
        let mut together = vec![0.0; 13 * 16];
        let output = MatrixMut {
            values: &mut together,
            stride: 16,
        };
        multiply(
            sizes,
            Matrix {
                values: &left,
                stride: 200,
            },
            right,
            output,
            false,
        );
        for row in 0..13 {
            let mut alone = vec![0.0; 16];
            let output = MatrixMut {
                values: &mut alone,
                stride: 16,
            };
            multiply(
                Sizes { rows: 1, ..sizes },
                Matrix {
                    values: &left[row * 200..],
                    stride: 200,
                },
                right,
                output,
                false,
            );
            assert_eq!(alone, together[row * 16..row * 16 + 16]);
        }
    }

    #[test]
    fn the_exponential_is_close_and_vanishes() {
        for step in -8600..=8700 {
            let x = step as f32 * 0.01;
            let expected = f64::from(x).exp();
            let error = (f64::from(exponential::<true>(x)) / expected - 1.0).abs();
            assert!(error < 3e-7, "exp({x}) is off by {error}");
        }
        assert_eq!(exponential::<true>(f32::NEG_INFINITY), 0.0);
        assert_eq!(exponential::<true>(0.0), 1.0);
    }

    #[test]
    fn silu_of_gate_times_up() {
        let mut gate = [-100.0, -1.0, 0.0, 2.0];
        swiglu(&mut gate, &[1.0, 2.0, 3.0, 4.0]);
        let expected = [
            0.0,
            -2.0 / (1.0 + 1f32.exp()),
            0.0,
            8.0 / (1.0 + (-2f32).exp()),
        ];
        for (value, expected) in gate.iter().zip(expected) {
            assert!((value - expected).abs() < 1e-6);
        }
    }
}

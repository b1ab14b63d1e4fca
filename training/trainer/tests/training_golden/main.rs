//! Losses and gradients against numbers of the reference: `AVICUNA_GOLDEN`, or the fixtures.

mod beyond;
#[path = "../../../../models/tests/golden/mod.rs"]
mod golden;
mod model;
mod reference;

use candle_core::{DType, Tensor};

type Anything<T = ()> = Result<T, Box<dyn std::error::Error>>;

/// `tensor` differs from `expected` by at most `relative` of the latter's largest value.
fn close(tensor: &Tensor, expected: &Tensor, relative: f32, what: &str) -> Anything {
    assert_eq!(tensor.dims(), expected.dims(), "{what}");
    let largest = |t: &Tensor| t.abs()?.flatten_all()?.max(0)?.to_scalar::<f32>();
    let (difference, top) = (largest(&tensor.sub(expected)?)?, largest(expected)?);
    assert!(difference <= relative * top, "{what}: off by {difference}, the largest is {top}");
    Ok(())
}

fn integers(tensor: &Tensor) -> candle_core::Result<Vec<i64>> {
    tensor.to_dtype(DType::I64)?.flatten_all()?.to_vec1()
}

fn values(tensor: &Tensor) -> candle_core::Result<Vec<f32>> {
    tensor.to_dtype(DType::F32)?.flatten_all()?.to_vec1()
}

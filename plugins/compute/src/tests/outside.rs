//! What surrounds a session: bytes and work that count with its own.

extern crate std;

use super::{elements, gradient, leaf, text};
use crate::compose::*;
use crate::{Apply, OPERATION_MAX, Op, Rule, Session, Shape, Tensor, Unary};

#[test]
fn bytes_elsewhere_count_with_those_of_tensors() {
    let mut session = Session::new(100_000);
    session.charge_bytes(60_000).unwrap();
    let x = leaf(&mut session, &[4_000], &[1.0; 4_000]);
    let error = text(session.charge_bytes(20_000));
    assert!(error.ends_with("with the others, the limit is 100000"), "{error}");
    // Buffers that wait for use make room.
    session.release(x).unwrap();
    session.next_batch();
    session.charge_bytes(20_000).unwrap();
    assert_eq!(session.buffers().bytes(), 80_000);
    assert!(session.insert(&Tensor::new(&[4_000], &[1.0; 4_000]).unwrap()).is_err());
    let peak = session.buffers().bytes_peak();
    assert!(peak > 60_000 + 32_000 && peak <= 100_000, "{peak}");
}

/// Numbers of kept tensors take memory as long as they live, however many batches end.
#[test]
fn kept_numbers_count_until_they_are_released() {
    let mut session = Session::new(1 << 20);
    let x = leaf(&mut session, &[1], &[1.0]);
    let before = session.buffers().bytes();
    session.keep(x).unwrap();
    let one = session.buffers().bytes() - before;
    assert!(one > 0);
    let mut kept = std::vec![x];
    let full = loop {
        session.next_batch();
        let all = (0..100).try_for_each(|_| {
            let other = session.detach(x)?;
            session.keep(other)?;
            kept.push(other);
            Ok(())
        });
        if let Err(error) = all {
            break error;
        }
    };
    assert!(matches!(full, crate::Mistake { rule: Rule::Memory { .. }, .. }), "{full}");
    session.next_batch();
    assert!(session.buffers().bytes() >= kept.len() * one, "{}", kept.len());
    kept.into_iter().for_each(|id| session.release(id).unwrap());
    session.next_batch();
    assert_eq!(session.buffers().bytes(), 0);
}

#[test]
fn work_elsewhere_counts_and_one_operation_is_bounded() {
    let mut session = Session::new(1 << 20);
    session.set_work_max(1_000);
    session.charge_work(900).unwrap();
    assert_eq!(session.work(), 900);
    let x = leaf(&mut session, &[50], &[1.0; 50]);
    let error = text(unary(&mut session, Unary::Neg, x));
    assert_eq!(
        error,
        "neg of f64 [50]: it is 1114 units of work with what was done, the limit is 1000"
    );
    session.charge_work(100).unwrap();
    session.set_work_max(u64::MAX);
    // Views of few elements, and a product of very many.
    let shape = Shape::new(&[1 << 13, 1 << 13]).unwrap();
    let one =
        Op::Full { shape: Shape::new(&[1, 1]).unwrap(), dtype: crate::Dtype::F32, value: 1.0 };
    let one = session.apply(one, &[]).unwrap();
    assert!(session.apply(Op::Expand(shape), &[one]).is_err(), "256 MiB of 1");
    let mut session = Session::new(1 << 30);
    let one =
        Op::Full { shape: Shape::new(&[1, 1]).unwrap(), dtype: crate::Dtype::F32, value: 1.0 };
    let one = session.apply(one, &[]).unwrap();
    let wide = session.apply(Op::Expand(shape), &[one]).unwrap();
    let product = session.apply(Op::MatMul { left: false, right: false }, &[wide, wide]);
    let units = 64 + 3 * (1u64 << 26) + (1u64 << 39);
    assert_eq!(product.unwrap_err().rule, Rule::Operation { units });
    assert!(units > OPERATION_MAX && session.work() < 1 << 29);
}

#[test]
fn gradients_are_added_by_hand() {
    let mut session = Session::new(1 << 20);
    let x = leaf(&mut session, &[2], &[3.0, 5.0]);
    let apart = session.detach(x).unwrap();
    session.add_gradient(x, apart).unwrap();
    session.add_gradient(x, apart).unwrap();
    // The tensor that was added stays as it was.
    assert_eq!(elements(session.get(apart).unwrap()), [3.0, 5.0]);
    assert_eq!(gradient(&mut session, x), [6.0, 10.0]);
    assert_eq!(
        text(session.add_gradient(apart, x)),
        "gradient of f64 [2], f64 [2]: no gradient is wanted for the tensor"
    );
    let other = leaf(&mut session, &[1], &[3.0]);
    assert_eq!(
        text(session.add_gradient(x, other)),
        "gradient of f64 [2], f64 [1]: the gradient must be of the kind of its tensor"
    );
}

#[test]
fn an_item_is_the_only_element() {
    let mut session = Session::new(1 << 20);
    let mut item = |tensor: Result<Tensor, Rule>| {
        let id = session.insert(&tensor.unwrap()).unwrap();
        session.item(id)
    };
    assert_eq!(item(Tensor::new(&[], &[0.1f32])), Ok(f64::from(0.1f32)));
    assert_eq!(item(Tensor::new(&[1, 1], &[-2.5f64])), Ok(-2.5));
    assert_eq!(item(Tensor::new(&[1], &[i64::MAX])), Ok(9_223_372_036_854_775_808.0));
    assert_eq!(item(Tensor::new(&[1], &[true])), Ok(1.0));
    assert_eq!(
        text(item(Tensor::new(&[2], &[1.0f32; 2]))),
        "tensor of f32 [2]: the tensor must have one element"
    );
    assert!(item(Tensor::new(&[0], &[] as &[f32])).is_err());
}

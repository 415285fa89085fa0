//! What a plan may try with the interface `compute`, and how each must end.

use fedwasm_compute::{Axes, Op, Reduce, Shape, Unary};

use crate::apply;
use crate::bindings::fedwasm::training_plan::compute::{
    self, ComputeError, Optimizer, Sgd, TensorId,
};
use crate::bindings::fedwasm::training_plan::store::{self, Slot};
use crate::bindings::fedwasm::training_plan::types::{AccessError, PlanError};

const NEG: Op = Op::Unary(Unary::Neg);
const SGD: Optimizer = Optimizer::Sgd(Sgd { momentum: 0.0, nesterov: false, weight_decay: 0.0 });

fn wrong(text: impl std::fmt::Display) -> PlanError {
    PlanError::Internal(text.to_string())
}

fn full(sizes: &[usize]) -> Op {
    let shape = Shape::new(sizes).unwrap_or(Shape::SCALAR);
    Op::Full { shape, dtype: fedwasm_compute::Dtype::F32, value: 1.0 }
}

/// Every function with a number of a tensor, with its name.
fn all(id: TensorId) -> Vec<(&'static str, Result<(), ComputeError>)> {
    vec![
        ("apply", apply(NEG, &[id]).map(drop)),
        ("kind-of", compute::kind_of(id).map(drop)),
        ("read", compute::read(id, 0, 1).map(drop)),
        ("write", compute::write(id, 0, &[1])),
        ("item", compute::item(id).map(drop)),
        ("keep", compute::keep(id)),
        ("release", compute::release(&[id])),
        ("detach", compute::detach(id).map(drop)),
        ("want-gradient", compute::want_gradient(id, true)),
        ("backward", compute::backward(id)),
        ("backward-with", compute::backward_with(id, id)),
        ("take-gradient", compute::take_gradient(id).map(drop)),
        ("add-gradient", compute::add_gradient(id, id)),
        ("clip-by-value", compute::clip_by_value(&[id], 1.0)),
        ("clip-by-norm", compute::clip_by_norm(&[id], 1.0).map(drop)),
        ("step", compute::step(SGD, 0.1, 1, &[id], &[])),
    ]
}

/// Where the interface is closed, every function says so.
pub(crate) fn all_closed() -> Result<(), PlanError> {
    let mut said = all(0);
    said.extend([
        ("next", compute::next().map(drop)),
        ("keep-mask", compute::keep_mask(&[1], 0.5).map(drop)),
        ("set-recording", compute::set_recording(true)),
        ("clear-gradients", compute::clear_gradients()),
        ("load", compute::load(Slot::Model, 0).map(drop)),
        ("save", compute::save(Slot::Model, 0, 0)),
        ("emit", compute::emit(0, 0)),
    ]);
    for (name, said) in said {
        if !matches!(said, Err(ComputeError::Access(AccessError::Closed))) {
            return Err(wrong(format!("{name}: {said:?}")));
        }
    }
    Ok(())
}

/// A number without a tensor is a mistake, whatever is done with it.
fn all_mistakes(id: TensorId) -> Result<(), PlanError> {
    for (name, said) in all(id) {
        match said {
            Err(ComputeError::Mistake(text)) if text.contains(&format!("no tensor {id}")) => {}
            other => return Err(wrong(format!("{name} of {id}: {other:?}"))),
        }
    }
    for said in [compute::save(Slot::Model, 0, id), apply(NEG, &[id; 64]).map(drop)] {
        if !matches!(said, Err(ComputeError::Mistake(_))) {
            return Err(wrong(format!("{id}: {said:?}")));
        }
    }
    Ok(())
}

/// Numbers that never were, that were released, and of a batch that is over; kept ones stay.
fn numbers() -> Result<(), PlanError> {
    [0, 1, 1 << 31, u32::MAX].into_iter().try_for_each(all_mistakes)?;
    let does = |id: Result<TensorId, ComputeError>| id.map_err(crate::refused);
    let (gone, kept, batch) = (
        does(apply(full(&[2]), &[]))?,
        does(apply(full(&[3]), &[]))?,
        does(apply(full(&[]), &[]))?,
    );
    compute::keep(kept).map_err(crate::refused)?;
    compute::release(&[gone]).map_err(crate::refused)?;
    all_mistakes(gone)?;
    compute::next().map_err(crate::refused)?.ok_or(wrong("no batch"))?;
    all_mistakes(batch)?;
    compute::read(kept, 0, 12).map_err(crate::refused)?;
    compute::release(&[kept]).map_err(crate::refused)?;
    all_mistakes(kept)
}

/// Leaves the number of a kept tensor in the state, or uses the one that is there.
fn of_another_call() -> Result<(), PlanError> {
    let before = store::read(Slot::State, 0, 0, 8).map_err(|error| wrong(error.name()))?;
    let before = u64::from_le_bytes(before.try_into().unwrap_or_default());
    if before > 0 {
        return all_mistakes(before as u32 - 1);
    }
    let mut id = 0;
    for _ in 0..1_000 {
        id = apply(full(&[1]), &[]).map_err(crate::refused)?;
        compute::keep(id).map_err(crate::refused)?;
    }
    let bytes = (u64::from(id) + 1).to_le_bytes();
    store::write(Slot::State, 0, 0, &bytes).map_err(|error| wrong(error.name()))
}

/// Operations and places that are none.
fn shapes() -> Result<(), PlanError> {
    let x = apply(full(&[2, 3]), &[]).map_err(crate::refused)?;
    let huge = |n: u32| {
        let mut bytes = vec![0, 8];
        (0..8).for_each(|_| bytes.extend(n.to_le_bytes()));
        bytes.push(0);
        bytes.extend(1.0f64.to_le_bytes());
        bytes
    };
    let mut whole = Vec::new();
    NEG.write(&mut whole);
    let longer = [&whole[..], &[0]].concat();
    let mut mistakes = vec![
        ("a product that overflows", compute::apply(&huge(u32::MAX), &[])),
        ("too many elements", compute::apply(&huge(12), &[])),
        ("no bytes", compute::apply(&[], &[x])),
        ("an unknown code", compute::apply(&[255], &[x])),
        ("bytes behind", compute::apply(&longer, &[x])),
        ("65 inputs", apply(Op::Concat(0), &[x; 65])),
        ("very many inputs", apply(Op::Concat(0), &vec![x; 1 << 20])),
        ("no inputs", apply(NEG, &[])),
        ("an axis", apply(Op::Concat(7), &[x])),
        ("a mask of all", compute::keep_mask(&[2], 1.0)),
        ("a mask of none", compute::keep_mask(&[2], f64::NAN)),
        ("a mask too large", compute::keep_mask(&[u32::MAX, u32::MAX], 0.5)),
        ("a mask of 9 axes", compute::keep_mask(&[1; 9], 0.5)),
        ("a mask of very many axes", compute::keep_mask(&vec![1; 1 << 20], 0.5)),
        ("int8", compute::load(Slot::State, 1)),
    ];
    // Every cut of an operation's bytes, and every byte changed.
    let mut bytes = Vec::new();
    Op::Reduce(Reduce::Sum, Axes::from_bits(1), false).write(&mut bytes);
    for cut in 0..bytes.len() {
        mistakes.push(("a cut", compute::apply(&bytes[..cut], &[x])));
    }
    for (name, said) in mistakes {
        // A text of what the plan passed would take the host's memory.
        if !matches!(&said, Err(ComputeError::Mistake(text)) if text.len() < 1_000) {
            return Err(wrong(format!("{name}: {said:?}")));
        }
    }
    for code in 0..=u8::MAX {
        for filler in [0, 1, 2, 7, 127, 255] {
            // Whatever it is, it ends; released at once.
            if let Ok(id) = compute::apply(&[&[code][..], &[filler; 60]].concat(), &[x, x]) {
                compute::release(&[id]).map_err(crate::refused)?;
            }
            for len in 1..40 {
                let bytes = [&[code][..], &vec![filler; len]].concat();
                if let Ok(id) = compute::apply(&bytes, &[x]) {
                    compute::release(&[id]).map_err(crate::refused)?;
                }
            }
        }
    }
    let places = [(0, 25), (24, 1), (u64::MAX, 1), (u64::MAX, 0), (1 << 40, 4)];
    for (offset, len) in places {
        let said = [
            compute::read(x, offset, len).map(drop),
            compute::write(x, offset, &vec![0; len as usize]),
        ];
        for said in said {
            if !matches!(said, Err(ComputeError::Access(AccessError::OutOfBounds))) {
                return Err(wrong(format!("{offset} {len}: {said:?}")));
            }
        }
    }
    for said in
        [compute::read(x, 0, (16 << 20) + 1).map(drop), compute::read(x, 0, u32::MAX).map(drop)]
    {
        if !matches!(said, Err(ComputeError::Access(AccessError::TooLarge))) {
            return Err(wrong(format!("{said:?}")));
        }
    }
    for said in [compute::save(Slot::Model, 9, x), compute::load(Slot::Model, 9).map(drop)] {
        if !matches!(said, Err(ComputeError::Access(AccessError::UnknownTensor))) {
            return Err(wrong(format!("{said:?}")));
        }
    }
    compute::release(&[]).map_err(crate::refused)
}

/// Does what `deed` names before the training; `n` says how much of it.
pub(crate) fn run(deed: &str, n: u64) -> Result<(), PlanError> {
    let does = |id: Result<TensorId, ComputeError>| id.map_err(crate::refused);
    match deed {
        "numbers" => numbers(),
        "of-another-call" => of_another_call(),
        "shapes" => shapes(),
        // As long as the host lets it: operations on nothing.
        "spin" => loop {
            let empty = does(apply(full(&[0]), &[]))?;
            compute::release(&[does(apply(NEG, &[empty]))?, empty]).map_err(crate::refused)?;
        },
        // A tape without an end.
        "tape" => {
            let mut x = does(apply(full(&[1]), &[]))?;
            compute::want_gradient(x, true).map_err(crate::refused)?;
            loop {
                x = does(apply(NEG, &[x]))?;
            }
        }
        // Numbers without an end, each of the same elements.
        "hoard" => {
            let x = does(apply(full(&[1]), &[]))?;
            loop {
                compute::keep(does(compute::detach(x))?).map_err(crate::refused)?;
            }
        }
        "fill" => does(apply(full(&[n as usize]), &[])).map(drop),
        // Large products, one after the other.
        "work" => {
            let x = does(apply(full(&[1 << 11, 1 << 11]), &[]))?;
            loop {
                let product = does(apply(Op::MatMul { left: false, right: false }, &[x, x]))?;
                compute::release(&[product]).map_err(crate::refused)?;
            }
        }
        "kind" => {
            let x = does(apply(full(&[1]), &[]))?;
            (0..n).try_for_each(|_| compute::want_gradient(x, false)).map_err(crate::refused)
        }
        "apply" => {
            let x = does(apply(full(&[1]), &[]))?;
            let mut bytes = Vec::new();
            NEG.write(&mut bytes);
            for _ in 0..n / 32 {
                let mut ids = [0; 32];
                for id in &mut ids {
                    *id = does(compute::apply(&bytes, &[x]))?;
                }
                compute::release(&ids).map_err(crate::refused)?;
            }
            Ok(())
        }
        _ => Ok(()),
    }
}

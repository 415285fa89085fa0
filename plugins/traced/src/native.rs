//! A graph's plan in a native build, whose functions may be native code, too: arguments, data, members
//! and optimizer are the graph's.

use std::cell::RefCell;
use std::rc::Rc;

use fedwasm_graph::{Role, Value};
use fedwasm_sdk::{Adapter, Batch, Result, Tensor};

use crate::held;
use crate::plan::{Member, Plan};

/// The exports of the plan.
pub type Exports = Adapter<Plan>;

/// Makes functions for a model.
pub trait Author {
    /// The functions of a model with these arguments, in the graph's order, and these members.
    ///
    /// # Errors
    /// [`fedwasm_sdk::PlanError`] if there are none.
    fn functions(
        &self,
        arguments: &[Value],
        members: &[(String, Member)],
    ) -> Result<Rc<dyn Functions>>;
}

/// What a plan does with a batch.
pub trait Functions {
    /// What the function of this role gives, by the graph's names and in their order.
    ///
    /// # Errors
    /// [`fedwasm_sdk::PlanError`].
    fn call(&self, role: Role, names: &[String], batch: &Batch) -> Result<Vec<Tensor>>;
}

thread_local! {
    static AUTHOR: RefCell<Option<Rc<dyn Author>>> = const { RefCell::new(None) };
}

/// Puts back what a thread had before.
struct Before(Rc<[u8]>, Option<Rc<dyn Author>>);

impl Drop for Before {
    fn drop(&mut self) {
        held::hold(Rc::clone(&self.0));
        AUTHOR.set(self.1.take());
    }
}

/// Lets [`Exports`] be the plan of this graph while `f` runs, with functions of the author's if one is
/// given.
pub fn with_graph<T>(graph: Rc<[u8]>, author: Option<Rc<dyn Author>>, f: impl FnOnce() -> T) -> T {
    let _before = Before(held::hold(graph), AUTHOR.replace(author));
    f()
}

pub(crate) fn author() -> Option<Rc<dyn Author>> {
    AUTHOR.with_borrow(Clone::clone)
}

//! Computes the outputs of a graph.

use crate::error::LoadError;
use crate::panics::catch_panic;
use crate::plan::can_reuse_state;
use onnx_ml::dynamic::{DynamicModel, PlanCounts, Written};
use onnx_ml::may_reject;
use std::cell::Cell;
use std::sync::Arc;
use tract_onnx::prelude::*;

/// The graph of a model, ready to run.
pub(crate) enum Runner {
    /// One plan for all shapes.
    Plan {
        plan: Arc<TypedRunnableModel>,
        /// True if a thread can use one state of the plan for several runs.
        reuses_state: bool,
    },
    /// A plan for each combination of input shapes.
    Dynamic(Box<dyn Dynamic>),
}

/// A [`DynamicModel`]. With the trait object, only a binary that creates a `DynamicModel` contains the code that makes
/// plans. Calls to `DynamicModel` itself would add this code, about 7 MB, to every binary.
pub(crate) trait Dynamic: Send + Sync {
    /// See [`DynamicModel::run`].
    fn run(&self, inputs: TVec<TValue>) -> TractResult<TVec<TValue>>;
    /// See [`DynamicModel::write`].
    fn write(&self) -> TractResult<Written>;
    /// See [`DynamicModel::plan_counts`].
    fn plan_counts(&self) -> PlanCounts;
}

impl Dynamic for DynamicModel {
    fn run(&self, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        DynamicModel::run(self, inputs)
    }

    fn write(&self) -> TractResult<Written> {
        DynamicModel::write(self)
    }

    fn plan_counts(&self) -> PlanCounts {
        DynamicModel::plan_counts(self)
    }
}

thread_local! {
    /// The state of the plan that ran last on this thread. The next run of that plan reuses it.
    static STATE: Cell<Option<TypedSimpleState>> = const { Cell::new(None) };
}

/// An error that contains the message of a panic in tract.
#[derive(Debug, thiserror::Error)]
#[error("the runtime panicked: {0}")]
pub(crate) struct Panicked(pub String);

impl Runner {
    pub(crate) fn new(plan: Arc<TypedRunnableModel>) -> Result<Runner, LoadError> {
        let reuses_state = can_reuse_state(&plan)?;
        Ok(Runner::Plan { plan, reuses_state })
    }

    /// Returns whether an operator may reject a value of a row.
    pub(crate) fn may_reject(&self) -> bool {
        match self {
            Runner::Plan { plan, .. } => may_reject(plan.model()),
            Runner::Dynamic(_) => true,
        }
    }

    /// Returns how often a plan for a request's shapes existed, and how often a plan was made. Returns `None` if a
    /// single plan serves all shapes.
    pub(crate) fn plan_counts(&self) -> Option<PlanCounts> {
        match self {
            Runner::Plan { .. } => None,
            Runner::Dynamic(model) => Some(model.plan_counts()),
        }
    }

    /// Computes the outputs. A panic of tract becomes an error.
    pub(crate) fn run(&self, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let run = || match self {
            Runner::Plan { plan, reuses_state } => {
                let mut state = match STATE.take() {
                    Some(state) if Arc::ptr_eq(state.plan(), plan) => state,
                    _ => plan.spawn()?,
                };
                let outputs = state.run(inputs)?;
                if *reuses_state {
                    STATE.set(Some(state));
                }
                Ok(outputs)
            }
            Runner::Dynamic(model) => model.run(inputs),
        };
        catch_panic(run).unwrap_or_else(|panic| Err(Panicked(panic).into()))
    }
}

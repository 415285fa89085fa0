//! The plan that a graph is.

use std::rc::Rc;

use fedwasm_graph::{self as graph, Graph, MemberKind, Role, Value};
use fedwasm_interpreter::{Callable, Scope, attribute, module, number};
use fedwasm_sdk::bindings::exports::fedwasm::training_plan::plan as exports;
use fedwasm_sdk::{
    Batch, Data, Dtype, Init, Module, Parameter, PlanError, Random, Result, Source, Task, Tensor,
    Training, TrainingPlan, Visitor, no_grad, noted,
};

use crate::announce::{self, Chosen, Values};
use crate::held;
use crate::program::{Parts, Program, parameter};

/// A graph with arguments.
pub struct Plan {
    members: Vec<(String, Member)>,
    arguments: Vec<Value>,
    data: Data,
    programs: Vec<(Role, Program)>,
}

/// A part of the model.
pub enum Member {
    /// A module of the table.
    Module(Rc<dyn Callable>),
    /// A parameter by itself.
    Parameter(Parameter),
}

impl std::fmt::Debug for Member {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let parameters = self.parameters();
        f.debug_list().entries(parameters.iter().map(|(name, _)| name)).finish()
    }
}

impl std::fmt::Debug for Plan {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Plan").field("members", &self.members).finish_non_exhaustive()
    }
}

impl Module for Member {
    fn visit(&self, visitor: &mut Visitor<'_>) {
        match self {
            Self::Module(module) => module.visit(visitor),
            Self::Parameter(parameter) => parameter.visit(visitor),
        }
    }
}

impl Module for Plan {
    fn visit(&self, visitor: &mut Visitor<'_>) {
        self.members.iter().for_each(|(path, member)| visitor.field(path, member));
    }
}

/// Arguments alone.
struct Known<'a>(&'a [Value]);

impl Scope for Known<'_> {
    fn argument(&self, nth: u32) -> Option<&Value> {
        self.0.get(nth as usize)
    }

    fn size(&self, _: graph::NodeId, _: i8) -> Option<usize> {
        None
    }
}

impl Known<'_> {
    fn shape(&self, sizes: &[graph::Number]) -> Result<Vec<usize>> {
        let size = |size: &graph::Number| {
            match number(size, self)? {
                Value::Integer(value) if value >= 0 => usize::try_from(value).map_err(|_| value),
                Value::Integer(value) => Err(value),
                other => return Err(PlanError::Internal(format!("{other:?} is not a size"))),
            }
            .map_err(|value| PlanError::InvalidArgument(format!("a size is {value}")))
        };
        sizes.iter().map(size).collect()
    }

    fn real(&self, x: &graph::Number) -> Result<f64> {
        match number(x, self)? {
            Value::Integer(value) => Ok(value as f64),
            Value::Real(value) => Ok(value),
            other => Err(PlanError::Internal(format!("{other:?} is not a number"))),
        }
    }

    fn member(&self, member: &graph::Member) -> Result<Member> {
        let made = match &member.kind {
            MemberKind::Module { kind, attributes } => {
                let attributes = attributes.iter().map(|one| attribute(one, self));
                Member::Module(module(*kind, &attributes.collect::<Result<Vec<_>>>()?)?.into())
            }
            MemberKind::Parameter { shape, init, is_buffer } => {
                let init = match init {
                    graph::Init::Full(value) => Init::Full(self.real(value)?),
                    graph::Init::Uniform(bound) => Init::Uniform(self.real(bound)?),
                    graph::Init::Normal(deviation) => Init::Normal(self.real(deviation)?),
                };
                let shape = self.shape(shape)?;
                let new = if *is_buffer { Parameter::buffer } else { Parameter::new };
                Member::Parameter(new(&shape, init))
            }
        };
        if member.is_frozen {
            made.freeze();
        }
        if member.is_local {
            made.keep_local();
        }
        Ok(made)
    }

    fn data(&self, graph: &Graph) -> Result<Data> {
        let mut data = Data::empty();
        for input in &graph.inputs {
            data = data.input_of(&input.name, dtype(input.dtype), &self.shape(&input.shape)?);
        }
        for target in &graph.targets {
            data = data.target(&target.name, dtype(target.dtype), &self.shape(&target.shape)?);
        }
        Ok(data)
    }
}

fn dtype(dtype: graph::Dtype) -> Dtype {
    match dtype {
        graph::Dtype::F32 => Dtype::F32,
        graph::Dtype::F64 => Dtype::F64,
        graph::Dtype::I64 => Dtype::I64,
        graph::Dtype::Bool => Dtype::Bool,
    }
}

impl Plan {
    fn modules(&self) -> Vec<Option<Rc<dyn Callable>>> {
        let module = |(_, member): &(String, Member)| match member {
            Member::Module(module) => Some(Rc::clone(module)),
            Member::Parameter(_) => None,
        };
        self.members.iter().map(module).collect()
    }

    fn program(&self, role: Role) -> Option<&Program> {
        self.programs.iter().find(|(known, _)| *known == role).map(|(_, program)| program)
    }

    fn run(&self, role: Role, batch: &Batch) -> Result<Option<Vec<Tensor>>> {
        let Some(program) = self.program(role) else { return Ok(None) };
        program.run(batch, &self.arguments).map(Some)
    }

    /// The one output of a role.
    fn one(&self, role: Role, batch: &Batch) -> Result<Tensor> {
        let one = self.run(role, batch)?.and_then(|outputs| outputs.into_iter().next());
        let none = || PlanError::Unsupported(format!("this plan has no {}", role.name()));
        one.ok_or_else(none)
    }

    /// Sums over all rows, and the parameters that become their means.
    fn sum_up(&self, statistics: &Program, training: &mut Training) -> Result<()> {
        let all = self.parameters();
        let named = |name: &str| parameter(name, &all).map_err(PlanError::Internal);
        let targets = statistics.names().map(named).collect::<Result<Vec<Parameter>>>()?;
        let mut sums: Vec<Tensor> = Vec::new();
        let mut rows = 0;
        while let Some(batch) = training.next_batch()? {
            rows += batch.rows();
            let given = no_grad(|| statistics.run(&batch, &self.arguments))?;
            let given = given.iter().zip(statistics.names()).zip(&targets);
            for (nth, ((given, name), target)) in given.enumerate() {
                if given.shape() != target.shape() {
                    let (got, wanted) = (given.shape(), target.shape());
                    let text = format!("the statistic `{name}` has shape {got:?}, not {wanted:?}");
                    // One that failed has no shape, and its mistake was noted.
                    return Err(noted(PlanError::Internal(text)));
                }
                let term = given.to_f64();
                match sums.get_mut(nth) {
                    Some(sum) => *sum = &*sum + term,
                    None => sums.push(term),
                }
            }
            training.count();
        }
        for (sum, target) in sums.iter().zip(&targets) {
            target.set(&(sum / rows as f64).to_f32());
        }
        Ok(())
    }
}

impl TrainingPlan for Plan {
    // The graph's is announced instead.
    const TASK: Task = Task::Other("nothing");
    type Arguments = Values;
    type Optimizer = Chosen;

    fn metadata(metadata: exports::Metadata) -> exports::Metadata {
        match held::graph() {
            Ok(graph) => announce::metadata(&graph, metadata),
            Err(_) => metadata,
        }
    }

    fn takes_steps() -> bool {
        let sums =
            |graph: &Graph| graph.functions.iter().any(|(role, _)| *role == Role::Statistics);
        held::graph().map_or(true, |graph| !sums(&graph))
    }

    fn metric_names() -> Vec<String> {
        let Ok(graph) = held::graph() else { return Vec::new() };
        let metrics = graph.functions.iter().filter(|(role, _)| *role == Role::Metrics);
        let names = metrics.flat_map(|(_, function)| &function.outputs);
        names.map(|(name, _)| name.clone()).collect()
    }

    fn model(arguments: &Values) -> Result<Self> {
        let graph = held::graph()?;
        let known = Known(&arguments.0);
        let mut members = Vec::with_capacity(graph.members.len());
        for member in &graph.members {
            let source =
                Source { place: graph.name.as_str().into(), module: member.path.as_str().into() };
            let made = source.within(|| known.member(member).map_err(noted))?;
            members.push((member.path.clone(), made));
        }
        let data = known.data(&graph)?;
        let arguments = arguments.0.clone();
        let mut plan = Self { members, arguments, data, programs: Vec::new() };
        #[cfg(not(target_arch = "wasm32"))]
        if let Some(author) = crate::native::author() {
            let functions = author.functions(&plan.arguments, &plan.members)?;
            for (role, function) in &graph.functions {
                plan.programs.push((*role, Program::native(*role, function, &functions)));
            }
            return Ok(plan);
        }
        let (parameters, modules) = (plan.parameters(), plan.modules());
        let parts = Parts {
            graph: &graph,
            arguments: &plan.arguments,
            modules: &modules,
            parameters: &parameters,
        };
        let programs = graph.functions.iter().map(|(role, function)| {
            Program::new(*role, function, &parts).map(|program| (*role, program))
        });
        plan.programs = programs.collect::<Result<_>>()?;
        Ok(plan)
    }

    fn data(&self) -> Data {
        self.data.clone()
    }

    /// All are drawn, in their order, before the graph's values take their places: what one parameter
    /// starts from does not depend on whether another has a value.
    fn init(&mut self, random: &mut Random) -> Result<()> {
        self.draw(random)?;
        let all = self.parameters();
        for (name, bytes) in held::values()? {
            let wrong = |rule| PlanError::Internal(format!("an initial value: {rule}"));
            let parameter = parameter(&name, &all).map_err(wrong)?;
            let (floats, rest) = bytes.as_chunks::<4>();
            let (shape, n) = (parameter.shape(), floats.len());
            if !rest.is_empty() || n != shape.iter().product::<usize>() {
                return Err(wrong(format!("`{name}` of shape {shape:?} has {n} numbers")));
            }
            let values: Vec<f32> = floats.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
            parameter.set(&Tensor::from_slice(&values, &shape));
        }
        Ok(())
    }

    fn training_step(&mut self, batch: &Batch) -> Result<Tensor> {
        self.one(Role::TrainingStep, batch)
    }

    fn train(&mut self, training: &mut Training) -> Result<()> {
        if let Some(statistics) = self.program(Role::Statistics) {
            return self.sum_up(statistics, training);
        }
        while let Some(batch) = training.next_batch()? {
            let loss = self.training_step(&batch)?;
            training.step(&loss)?;
        }
        Ok(())
    }

    fn predict(&mut self, batch: &Batch) -> Result<Tensor> {
        self.one(Role::Predict, batch)
    }

    fn testing_loss(&mut self, batch: &Batch) -> Result<Option<Tensor>> {
        let roles = [Role::TestingStep, Role::TrainingStep];
        match roles.into_iter().find(|role| self.program(*role).is_some()) {
            Some(role) => self.one(role, batch).map(Some),
            None => Ok(None),
        }
    }

    fn named_metrics(&mut self, batch: &Batch) -> Result<Vec<(String, f64)>> {
        let Some(metrics) = self.program(Role::Metrics) else { return Ok(Vec::new()) };
        let values = metrics.run(batch, &self.arguments)?;
        let named = metrics.names().zip(&values);
        named.map(|(name, value)| Ok((name.to_owned(), value.item()?))).collect()
    }
}

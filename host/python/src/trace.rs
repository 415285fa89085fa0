//! From what the tracer recorded to the bytes of a graph, and from these to a component.

use fedwasm_artifact::traced::{NEWEST, splice as splice_into};
use fedwasm_graph::bounds::DEPTH_MAX;
use fedwasm_graph::{
    Argument, ArgumentKind, AttrKind, Attribute, Binary, Call, Data, Default, Dtype, Function,
    FunctionKind, Graph, Init, Member, MemberKind, ModuleKind, Node, Number, Optimizer,
    OptimizerKind, Place, Role, Signature, Task, Unary, Value,
};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyBytes, PyDict, PyFloat, PyInt, PyList, PyString, PyTuple};

/// Returns the bytes of a graph that `fedwasm.graphs` describes.
///
/// # Errors
/// `ValueError` with the first rule that the graph breaks.
#[pyfunction]
pub(crate) fn encode<'py>(
    py: Python<'py>,
    graph: &Bound<'py, PyDict>,
) -> PyResult<Bound<'py, PyBytes>> {
    let graph = Reader::new(graph)?.graph(graph)?;
    graph.check().map_err(refused)?;
    Ok(PyBytes::new(py, &fedwasm_graph::encode(&graph)))
}

/// Returns a graph as text: every call in order.
///
/// # Errors
/// `ValueError` if the bytes are not a graph.
#[pyfunction]
pub(crate) fn graph_text(graph: &[u8]) -> PyResult<String> {
    let graph = fedwasm_graph::decode(graph).map_err(refused)?;
    Ok(graph.text().to_string())
}

fn refused(error: impl std::fmt::Display) -> PyErr {
    PyValueError::new_err(error.to_string())
}

fn unknown(what: &str, name: &str) -> PyErr {
    PyValueError::new_err(format!("there is no {what} `{name}`"))
}

/// Reads a description: it knows arguments by name.
struct Reader {
    arguments: Vec<String>,
}

/// The item of a dictionary that must be there.
fn item<'py>(of: &Bound<'py, PyDict>, name: &str) -> PyResult<Bound<'py, PyAny>> {
    of.get_item(name)?.ok_or_else(|| unknown("item", name))
}

/// A list of tuples, each by its reader.
fn each<T>(
    of: &Bound<'_, PyAny>,
    mut read: impl FnMut(&Bound<'_, PyTuple>) -> PyResult<T>,
) -> PyResult<Vec<T>> {
    of.try_iter()?.map(|one| read(one?.cast::<PyTuple>()?)).collect()
}

fn text_of(of: &Bound<'_, PyTuple>, nth: usize) -> PyResult<String> {
    of.get_item(nth)?.extract()
}

impl Reader {
    fn new(graph: &Bound<'_, PyDict>) -> PyResult<Self> {
        Ok(Self { arguments: each(&item(graph, "arguments")?, |one| text_of(one, 0))? })
    }

    fn graph(&self, graph: &Bound<'_, PyDict>) -> PyResult<Graph> {
        let text = |name| item(graph, name)?.extract::<String>();
        let task = match text("task")?.as_str() {
            "classification" => Task::Classification,
            "regression" => Task::Regression,
            other => Task::Other(other.to_owned()),
        };
        let values = each(&item(graph, "values")?, |one| {
            Ok((text_of(one, 0)?, crate::tensor::bytes_of(&one.get_item(1)?)?))
        })?;
        Ok(Graph {
            name: text("name")?,
            version: text("version")?,
            doc: text("doc")?,
            task,
            arguments: each(&item(graph, "arguments")?, argument)?,
            inputs: each(&item(graph, "inputs")?, |one| self.data(one))?,
            targets: each(&item(graph, "targets")?, |one| self.data(one))?,
            members: each(&item(graph, "members")?, |one| self.member(one))?,
            values,
            optimizer: optimizer(item(graph, "optimizer")?.cast::<PyTuple>()?)?,
            files: item(graph, "files")?.extract()?,
            functions: each(&item(graph, "functions")?, |one| self.function(one))?,
        })
    }

    /// `(name, dtype, [size, ..])`.
    fn data(&self, of: &Bound<'_, PyTuple>) -> PyResult<Data> {
        let dtype = text_of(of, 1)?;
        Ok(Data {
            name: text_of(of, 0)?,
            dtype: Dtype::by_name(&dtype).ok_or_else(|| unknown("type of elements", &dtype))?,
            shape: self.numbers(&of.get_item(2)?)?,
        })
    }

    /// `(path, "parameter" or "module", .., is_frozen, is_local)`.
    fn member(&self, of: &Bound<'_, PyTuple>) -> PyResult<Member> {
        let what = of.get_item(2)?;
        let what = what.cast::<PyTuple>()?;
        let kind = match text_of(of, 1)?.as_str() {
            "module" => {
                let name = text_of(what, 0)?;
                let kind = ModuleKind::by_name(&name).ok_or_else(|| unknown("module", &name))?;
                let given = what.get_item(1)?;
                let attributes = self.attributes(kind.signature(), given.cast::<PyDict>()?)?;
                MemberKind::Module { kind, attributes }
            }
            _ => {
                let init = text_of(what, 0)?;
                let scale = self.number(&what.get_item(2)?)?;
                MemberKind::Parameter {
                    shape: self.numbers(&what.get_item(1)?)?,
                    init: match init.as_str() {
                        "full" => Init::Full(scale),
                        "uniform" => Init::Uniform(scale),
                        "normal" => Init::Normal(scale),
                        other => return Err(unknown("start", other)),
                    },
                    is_buffer: what.get_item(3)?.extract()?,
                }
            }
        };
        let is_frozen = of.get_item(3)?.extract()?;
        Ok(Member { path: text_of(of, 0)?, kind, is_frozen, is_local: of.get_item(4)?.extract()? })
    }

    /// `(role, [node, ..], [(name, node), ..])`.
    fn function(&self, of: &Bound<'_, PyTuple>) -> PyResult<(Role, Function)> {
        let role = text_of(of, 0)?;
        let role = Role::by_name(&role).ok_or_else(|| unknown("function of plans", &role))?;
        let nodes = each(&of.get_item(1)?, |one| self.node(one))?;
        Ok((role, Function { nodes, outputs: of.get_item(2)?.extract()? }))
    }

    /// `((call, ..), [node, ..], {name: attribute}, (file, line) or None, kind or None)`.
    fn node(&self, of: &Bound<'_, PyTuple>) -> PyResult<Node> {
        let call = of.get_item(0)?;
        let call = call.cast::<PyTuple>()?;
        let what = call.get_item(1)?;
        let mut attributes = Vec::new();
        let call = match text_of(call, 0)?.as_str() {
            "input" => Call::Input(what.extract()?),
            "target" => Call::Target(what.extract()?),
            "value" => Call::Value(what.extract()?),
            "module" => Call::Module(what.extract()?),
            "output" => Call::Output(what.extract()?),
            "function" => {
                let name: String = what.extract()?;
                let kind =
                    FunctionKind::by_name(&name).ok_or_else(|| unknown("function", &name))?;
                let given = of.get_item(2)?;
                attributes = self.attributes(kind.signature(), given.cast::<PyDict>()?)?;
                Call::Function(kind)
            }
            other => return Err(unknown("call", other)),
        };
        let place: Option<(u16, u32)> = of.get_item(3)?.extract()?;
        Ok(Node {
            call,
            inputs: of.get_item(1)?.extract()?,
            attributes,
            place: place.map(|(file, line)| Place { file, line }),
            kind: of.get_item(4)?.extract()?,
        })
    }

    /// Attributes by name, in the order of the table and as its kinds.
    fn attributes(
        &self,
        signature: &Signature,
        given: &Bound<'_, PyDict>,
    ) -> PyResult<Vec<Attribute>> {
        let known = signature.attributes;
        for name in given.keys() {
            let name: String = name.extract()?;
            if known.iter().all(|one| one.name != name) {
                return Err(unknown("attribute", &format!("{name}` of `{}", signature.name)));
            }
        }
        let mut attributes = Vec::new();
        for one in known {
            attributes.push(match given.get_item(one.name)? {
                Some(value) => self.attribute(one.kind, value.cast::<PyTuple>()?)?,
                None => Attribute::None,
            });
        }
        while attributes.last() == Some(&Attribute::None) {
            attributes.pop();
        }
        Ok(attributes)
    }

    /// `("number", ..)` and the like. One number stands for a list of one.
    fn attribute(&self, kind: AttrKind, of: &Bound<'_, PyTuple>) -> PyResult<Attribute> {
        let value = of.get_item(1)?;
        let is_list = matches!(kind, AttrKind::Integers | AttrKind::Sizes | AttrKind::Reals);
        Ok(match text_of(of, 0)?.as_str() {
            "bool" => Attribute::Bool(value.extract()?),
            "text" => Attribute::Text(value.extract()?),
            "number" if is_list => Attribute::Numbers(vec![self.number(&value)?]),
            "number" => Attribute::Number(self.number(&value)?),
            "numbers" => Attribute::Numbers(self.numbers(&value)?),
            _ => Attribute::Argument(self.argument(&value.extract::<String>()?)?),
        })
    }

    fn argument(&self, name: &str) -> PyResult<u32> {
        let nth = self.arguments.iter().position(|known| known == name);
        nth.map(|nth| nth as u32).ok_or_else(|| unknown("argument", name))
    }

    fn numbers(&self, of: &Bound<'_, PyAny>) -> PyResult<Vec<Number>> {
        of.try_iter()?.map(|one| self.number(&one?)).collect()
    }

    /// `("constant", x)`, `("argument", name)`, `("size", node, axis)`, `(function, number, ..)`.
    fn number(&self, of: &Bound<'_, PyAny>) -> PyResult<Number> {
        self.number_in(of, DEPTH_MAX - 1)
    }

    /// A number with at most so many levels below its own: each takes room on the stack.
    fn number_in(&self, of: &Bound<'_, PyAny>, depth_max: usize) -> PyResult<Number> {
        let inner = |of: &Bound<'_, PyAny>| -> PyResult<Box<Number>> {
            let depth_max = depth_max.checked_sub(1).ok_or_else(|| {
                PyValueError::new_err(format!("a number has at most {DEPTH_MAX} levels"))
            })?;
            Ok(Box::new(self.number_in(of, depth_max)?))
        };
        let of = of.cast::<PyTuple>()?;
        let kind = text_of(of, 0)?;
        let first = of.get_item(1)?;
        Ok(match kind.as_str() {
            "constant" if first.is_instance_of::<PyInt>() => Number::Integer(first.extract()?),
            "constant" => Number::Real(first.extract()?),
            "argument" => Number::Argument(self.argument(&first.extract::<String>()?)?),
            "size" => Number::Size(first.extract()?, of.get_item(2)?.extract()?),
            name => match (Unary::by_name(name), Binary::by_name(name)) {
                (Some(function), _) => Number::Unary(function, inner(&first)?),
                (_, Some(function)) => {
                    Number::Binary(function, inner(&first)?, inner(&of.get_item(2)?)?)
                }
                _ => return Err(unknown("function of numbers", name)),
            },
        })
    }
}

/// `(name, kind, (default, ..), doc)`.
fn argument(of: &Bound<'_, PyTuple>) -> PyResult<Argument> {
    let kind = text_of(of, 1)?;
    let kind = ArgumentKind::by_name(&kind).ok_or_else(|| unknown("kind of arguments", &kind))?;
    let default = of.get_item(2)?;
    let default = default.cast::<PyTuple>()?;
    let default = match text_of(default, 0)?.as_str() {
        "required" => Default::Required,
        "input_columns" => Default::InputColumns,
        "target_classes" => Default::TargetClasses,
        _ => Default::Value(value_of(kind, &default.get_item(1)?)?),
    };
    Ok(Argument { name: text_of(of, 0)?, kind, default, doc: text_of(of, 3)? })
}

/// A value of an argument.
fn value_of(kind: ArgumentKind, of: &Bound<'_, PyAny>) -> PyResult<Value> {
    Ok(match kind {
        ArgumentKind::Size | ArgumentKind::Integer => Value::Integer(of.extract()?),
        ArgumentKind::Real => Value::Real(of.extract()?),
        ArgumentKind::Boolean => Value::Boolean(of.extract()?),
        ArgumentKind::Text => Value::Text(of.extract()?),
        ArgumentKind::Integers => Value::Integers(of.extract()?),
        ArgumentKind::Reals => Value::Reals(of.extract()?),
        ArgumentKind::Texts => Value::Texts(of.extract()?),
    })
}

/// Computes a function of numbers, as `sqrt` or `**`, with the bits that it has in a component.
///
/// # Errors
/// `ValueError` if it has no value.
#[pyfunction]
#[pyo3(signature = (name, a, b=None))]
pub(crate) fn number<'py>(
    py: Python<'py>,
    name: &str,
    a: &Bound<'py, PyAny>,
    b: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let constant = |of: &Bound<'py, PyAny>| -> PyResult<Box<Number>> {
        Ok(Box::new(match of.is_instance_of::<PyInt>() {
            true => Number::Integer(of.extract()?),
            false => Number::Real(of.extract()?),
        }))
    };
    let number = match (Unary::by_name(name), Binary::by_name(name), b) {
        (Some(function), _, None) => Number::Unary(function, constant(a)?),
        (_, Some(function), Some(b)) => Number::Binary(function, constant(a)?, constant(b)?),
        _ => return Err(unknown("function of numbers", name)),
    };
    let value = fedwasm_interpreter::number(&number, &Nothing);
    crate::eager::object(py, &value.map_err(|mistake| crate::tensor::raised(&mistake))?)
}

/// No arguments and no tensors.
struct Nothing;

impl fedwasm_interpreter::Scope for Nothing {
    fn argument(&self, _: u32) -> Option<&Value> {
        None
    }

    fn size(&self, _: u32, _: i8) -> Option<usize> {
        None
    }
}

/// What an attribute is when it is computed at once: its kind is that of the table.
pub(crate) fn plain(kind: AttrKind, of: &Bound<'_, PyAny>) -> PyResult<Value> {
    let is_list = of.is_instance_of::<PyList>() || of.is_instance_of::<PyTuple>();
    Ok(match kind {
        AttrKind::Integers | AttrKind::Sizes if is_list => Value::Integers(of.extract()?),
        AttrKind::Integers | AttrKind::Sizes => Value::Integers(vec![of.extract()?]),
        AttrKind::Reals if is_list => Value::Reals(of.extract()?),
        AttrKind::Texts => Value::Texts(of.extract()?),
        _ if of.is_instance_of::<PyBool>() => Value::Boolean(of.extract()?),
        _ if of.is_instance_of::<PyInt>() => Value::Integer(of.extract()?),
        _ if of.is_instance_of::<PyFloat>() => Value::Real(of.extract()?),
        _ if of.is_instance_of::<PyString>() => Value::Text(of.extract()?),
        other => return Err(PyValueError::new_err(format!("{of} is not {other:?}"))),
    })
}

/// `(kind, [(name, value), ..])`.
fn optimizer(of: &Bound<'_, PyTuple>) -> PyResult<Optimizer> {
    let kind = text_of(of, 0)?;
    let defaults = each(&of.get_item(1)?, |one| {
        let value = one.get_item(1)?;
        let value = match () {
            () if value.is_instance_of::<PyBool>() => Value::Boolean(value.extract()?),
            () if value.is_instance_of::<PyInt>() => Value::Integer(value.extract()?),
            () if value.is_instance_of::<PyString>() => Value::Text(value.extract()?),
            () => Value::Real(value.extract()?),
        };
        Ok((text_of(one, 0)?, value))
    })?;
    let kind = OptimizerKind::by_name(&kind).ok_or_else(|| unknown("optimizer", &kind))?;
    Ok(Optimizer { kind, defaults })
}

/// Returns the component of a graph: the runtime of traced plans with it.
///
/// # Errors
/// `ValueError` if the graph does not fit.
#[pyfunction]
pub(crate) fn splice<'py>(py: Python<'py>, graph: &[u8]) -> PyResult<Bound<'py, PyBytes>> {
    let component = splice_into(NEWEST, graph).map_err(refused)?;
    Ok(PyBytes::new(py, &component))
}

/// Returns what a component is, as JSON.
///
/// # Errors
/// `ValueError` if it is not admitted.
#[pyfunction]
pub(crate) fn inspect(component: Vec<u8>) -> PyResult<String> {
    let component = fedwasm_artifact::Component::admit(component).map_err(refused)?;
    serde_json::to_string(&component.inspect()).map_err(refused)
}

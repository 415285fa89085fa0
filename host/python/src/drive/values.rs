//! Values of Python as the values of TOML, so that an argument is checked as the same argument of a
//! file is.

use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyFloat, PyInt, PyString};
use toml::{Table, Value};

use super::failure::mistake;

/// How deep values may lie in each other.
const DEPTH_MAX: usize = 32;

/// The text of a file that gives these arguments. An argument that is None is not given.
pub(crate) fn file(arguments: &Bound<'_, PyDict>) -> PyResult<String> {
    let table = table(arguments, "", 0)?;
    toml::to_string(&table).map_err(mistake)
}

fn table(dict: &Bound<'_, PyDict>, path: &str, depth: usize) -> PyResult<Table> {
    let mut table = Table::new();
    for (key, value) in dict {
        let Ok(key) = key.extract::<String>() else {
            return Err(mistake(format!("`{path}` has the key {key}, and keys are texts")));
        };
        let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
        if let Some(value) = of(&value, &path, depth)? {
            table.insert(key, value);
        }
    }
    Ok(table)
}

/// None for None.
fn of(value: &Bound<'_, PyAny>, path: &str, depth: usize) -> PyResult<Option<Value>> {
    if depth > DEPTH_MAX {
        return Err(mistake(format!("`{path}` is nested more than {DEPTH_MAX} times")));
    }
    if value.is_none() {
        return Ok(None);
    }
    if let Ok(boolean) = value.cast::<PyBool>() {
        return Ok(Some(Value::Boolean(boolean.is_true())));
    }
    if value.is_instance_of::<PyInt>() {
        let integer = value.extract().map(Value::Integer);
        let too_large = |_| mistake(format!("`{path}` is {value}, which 64 bits do not hold"));
        return integer.map(Some).map_err(too_large);
    }
    if value.is_instance_of::<PyFloat>() {
        return Ok(Some(Value::Float(value.extract()?)));
    }
    if value.is_instance_of::<PyString>() {
        return Ok(Some(Value::String(value.extract()?)));
    }
    if let Ok(dict) = value.cast::<PyDict>() {
        return Ok(Some(Value::Table(table(dict, path, depth + 1)?)));
    }
    // Numbers of NumPy, then paths, then everything that has elements.
    if let Ok(item) = value.call_method0("item") {
        return of(&item, path, depth + 1);
    }
    if let Ok(text) = value.call_method0("__fspath__") {
        return of(&text, path, depth + 1);
    }
    let Ok(elements) = value.try_iter() else {
        let class = value.get_type();
        let class = class.name()?;
        let text =
            format!("`{path}` is of the type {class}; expected a number, a text, a list or a dict");
        return Err(mistake(text));
    };
    let mut list = Vec::new();
    for (nth, element) in elements.enumerate() {
        let path = format!("{path}[{nth}]");
        let element = of(&element?, &path, depth + 1)?;
        list.push(element.ok_or_else(|| mistake(format!("`{path}` is None")))?);
    }
    Ok(Some(Value::Array(list)))
}

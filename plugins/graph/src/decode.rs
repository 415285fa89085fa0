//! Bytes as a graph, if they are one.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use crate::bounds::*;
use crate::{
    Argument, ArgumentKind, Attribute, Binary, Call, Data, Default, Dtype, Error, Function,
    FunctionKind, Graph, Init, Member, MemberKind, ModuleKind, Node, Number, Optimizer,
    OptimizerKind, Place, Role, Task, Unary, Value, encode,
};

type Result<T> = core::result::Result<T, Error>;

/// Reads a graph.
///
/// # Errors
/// [`Error::Malformed`] if the bytes are not the one form of a graph within [`crate::bounds`].
pub fn decode(bytes: &[u8]) -> Result<Graph> {
    Reader::graph(bytes, true)
}

/// As [`decode`], and leaves the initial values of parameters out.
///
/// # Errors
/// As [`decode`].
pub fn decode_without_values(bytes: &[u8]) -> Result<Graph> {
    Reader::graph(bytes, false)
}

struct Reader<'a> {
    bytes: &'a [u8],
    offset: usize,
    /// Of [`ITEMS_MAX`].
    items: usize,
}

impl Reader<'_> {
    fn graph(bytes: &[u8], with_values: bool) -> Result<Graph> {
        let mut from = Reader { bytes, offset: 0, items: 0 };
        if from.byte()? != encode::VERSION {
            return Err(from.wrong("the version of a graph that this release reads is 1"));
        }
        let (name, version) = (from.text()?, from.text()?);
        let doc = from.text_of(DOC_BYTES_MAX)?;
        let task = match from.byte()? {
            0 => Task::Classification,
            1 => Task::Regression,
            2 => Task::Other(from.text()?),
            _ => return Err(from.wrong("a task is 0, 1 or 2")),
        };
        let arguments = from.list(ARGUMENTS_MAX, Reader::argument)?;
        let inputs = from.list(DATA_MAX, Reader::data)?;
        let targets = from.list(DATA_MAX, Reader::data)?;
        let members = from.list(MEMBERS_MAX, Reader::member)?;
        let kind = from.code(OptimizerKind::by_code, "no optimizer has this number")?;
        let defaults = from.list(ARGUMENTS_MAX, |from| Ok((from.text()?, from.value()?)))?;
        let files = from.list(FILES_MAX, Reader::text)?;
        let functions = from.list(Role::ALL.len(), |from| {
            let role = from.code(Role::by_code, "no role has this number")?;
            Ok((role, from.function()?))
        })?;
        if from.offset > GRAPH_BYTES_MAX {
            return Err(from.wrong("a graph without initial values is at most 1 MiB"));
        }
        let values = from.list(VALUES_MAX, |from| {
            let name = from.text()?;
            let len = from.size()?;
            let bytes = from.take(len)?;
            Ok((name, if with_values { bytes.to_vec() } else { Vec::new() }))
        })?;
        if from.offset < bytes.len() {
            return Err(from.wrong("the graph has ended, and there are more bytes"));
        }
        let values = if with_values { values } else { Vec::new() };
        let optimizer = Optimizer { kind, defaults };
        Ok(Graph {
            name,
            version,
            doc,
            task,
            arguments,
            inputs,
            targets,
            members,
            values,
            optimizer,
            files,
            functions,
        })
    }

    fn wrong(&self, rule: &'static str) -> Error {
        Error::Malformed { offset: self.offset, rule }
    }

    fn take(&mut self, len: usize) -> Result<&[u8]> {
        let end = self.offset.checked_add(len).filter(|end| *end <= self.bytes.len());
        let end = end.ok_or_else(|| self.wrong("the bytes end within the graph"))?;
        let taken = &self.bytes[self.offset..end];
        self.offset = end;
        Ok(taken)
    }

    fn byte(&mut self) -> Result<u8> {
        Ok(self.take(1)?[0])
    }

    fn whole(&mut self) -> Result<u64> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let part = u64::from(byte & 0x7f);
            if shift == 63 && part > 1 {
                return Err(self.wrong("a whole number has 64 bits at most"));
            }
            value |= part << shift;
            if byte & 0x80 == 0 {
                if byte == 0 && shift > 0 {
                    return Err(self.wrong("a whole number is in its shortest form"));
                }
                return Ok(value);
            }
        }
        Err(self.wrong("a whole number has 64 bits at most"))
    }

    fn signed(&mut self) -> Result<i64> {
        let value = self.whole()?;
        Ok((value >> 1) as i64 ^ -((value & 1) as i64))
    }

    /// A whole number that fits.
    fn small<T: TryFrom<u64>>(&mut self) -> Result<T> {
        let value = self.whole()?;
        T::try_from(value).map_err(|_| self.wrong("a number is larger than any of its kind"))
    }

    fn size(&mut self) -> Result<usize> {
        self.small()
    }

    fn real(&mut self) -> Result<f64> {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(self.take(8)?);
        let value = f64::from_le_bytes(bytes);
        if value.is_nan() { Err(self.wrong("a real number is not NaN")) } else { Ok(value) }
    }

    fn flag(&mut self) -> Result<bool> {
        match self.byte()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(self.wrong("a truth value is 0 or 1")),
        }
    }

    fn code<C, T>(&mut self, by: fn(C) -> Option<T>, rule: &'static str) -> Result<T>
    where
        C: TryFrom<u64>,
    {
        let code = self.small()?;
        by(code).ok_or_else(|| self.wrong(rule))
    }

    fn item(&mut self) -> Result<()> {
        self.items += 1;
        if self.items > ITEMS_MAX {
            return Err(self.wrong("a graph has at most 2^19 parts"));
        }
        Ok(())
    }

    fn text(&mut self) -> Result<String> {
        self.text_of(TEXT_BYTES_MAX)
    }

    fn text_of(&mut self, most: usize) -> Result<String> {
        self.item()?;
        let len = self.size()?;
        if len > most {
            return Err(self.wrong("a text is at most 256 bytes, a description 4096"));
        }
        let start = self.offset;
        let text = core::str::from_utf8(self.take(len)?).map(String::from);
        text.map_err(|_| Error::Malformed { offset: start, rule: "a text is UTF-8" })
    }

    /// Grows as it reads: a length alone takes no memory.
    fn list<T>(
        &mut self,
        most: usize,
        mut read: impl FnMut(&mut Self) -> Result<T>,
    ) -> Result<Vec<T>> {
        let len = self.size()?;
        if len > most {
            return Err(self.wrong("a list is longer than any of its kind"));
        }
        let mut list = Vec::new();
        for _ in 0..len {
            self.item()?;
            list.push(read(self)?);
        }
        Ok(list)
    }

    fn argument(&mut self) -> Result<Argument> {
        let name = self.text()?;
        let kind = self.code(ArgumentKind::by_code, "no kind of argument has this number")?;
        let default = match self.byte()? {
            0 => Default::Required,
            1 => Default::InputColumns,
            2 => Default::TargetClasses,
            3 => Default::Value(self.value()?),
            _ => return Err(self.wrong("a default is 0, 1, 2 or 3")),
        };
        Ok(Argument { name, kind, default, doc: self.text()? })
    }

    fn value(&mut self) -> Result<Value> {
        Ok(match self.byte()? {
            0 => Value::Integer(self.signed()?),
            1 => Value::Real(self.real()?),
            2 => Value::Boolean(self.flag()?),
            3 => Value::Text(self.text()?),
            4 => Value::Integers(self.list(NUMBERS_MAX, Reader::signed)?),
            5 => Value::Reals(self.list(NUMBERS_MAX, Reader::real)?),
            6 => Value::Texts(self.list(NUMBERS_MAX, Reader::text)?),
            _ => return Err(self.wrong("a value is 0 to 6")),
        })
    }

    fn data(&mut self) -> Result<Data> {
        let name = self.text()?;
        let dtype = self.code(Dtype::by_code, "no dtype has this number")?;
        Ok(Data { name, dtype, shape: self.list(RANK_MAX - 1, Reader::number)? })
    }

    fn member(&mut self) -> Result<Member> {
        let path = self.text()?;
        let kind = match self.byte()? {
            0 => MemberKind::Module {
                kind: self.code(ModuleKind::by_code, "no module has this number")?,
                attributes: self.attributes()?,
            },
            1 => {
                let shape = self.list(RANK_MAX, Reader::number)?;
                let init = match self.byte()? {
                    0 => Init::Full,
                    1 => Init::Uniform,
                    2 => Init::Normal,
                    _ => return Err(self.wrong("a start of a parameter is 0, 1 or 2")),
                };
                let init = init(self.number()?);
                MemberKind::Parameter { shape, init, is_buffer: self.flag()? }
            }
            _ => return Err(self.wrong("a member is 0 or 1")),
        };
        Ok(Member { path, kind, is_frozen: self.flag()?, is_local: self.flag()? })
    }

    fn number(&mut self) -> Result<Number> {
        self.number_at(0)
    }

    fn number_at(&mut self, depth: usize) -> Result<Number> {
        if depth >= DEPTH_MAX {
            return Err(self.wrong("numbers lie at most 32 deep in each other"));
        }
        self.item()?;
        Ok(match self.byte()? {
            0 => Number::Integer(self.signed()?),
            1 => Number::Real(self.real()?),
            2 => Number::Argument(self.small()?),
            3 => {
                let node = self.small()?;
                let axis = i8::try_from(self.signed()?);
                Number::Size(node, axis.map_err(|_| self.wrong("an axis is in -128..128"))?)
            }
            4 => {
                let function =
                    self.code(Unary::by_code, "no function of a number has this number")?;
                Number::Unary(function, Box::new(self.number_at(depth + 1)?))
            }
            5 => {
                let function = self.code(Binary::by_code, "no function of two has this number")?;
                let a = Box::new(self.number_at(depth + 1)?);
                Number::Binary(function, a, Box::new(self.number_at(depth + 1)?))
            }
            _ => return Err(self.wrong("a number is 0 to 5")),
        })
    }

    fn attributes(&mut self) -> Result<Vec<Attribute>> {
        self.list(INPUTS_MAX, Reader::attribute)
    }

    fn attribute(&mut self) -> Result<Attribute> {
        Ok(match self.byte()? {
            0 => Attribute::None,
            1 => Attribute::Bool(self.flag()?),
            2 => Attribute::Text(self.text()?),
            3 => Attribute::Number(self.number()?),
            4 => Attribute::Numbers(self.list(NUMBERS_MAX, Reader::number)?),
            5 => Attribute::Argument(self.small()?),
            _ => return Err(self.wrong("an attribute is 0 to 5")),
        })
    }

    fn function(&mut self) -> Result<Function> {
        let nodes = self.list(NODES_MAX, Reader::node)?;
        let outputs = self.list(OUTPUTS_MAX, |from| Ok((from.text()?, from.small()?)))?;
        Ok(Function { nodes, outputs })
    }

    fn node(&mut self) -> Result<Node> {
        let call = match self.byte()? {
            0 => Call::Input(self.small()?),
            1 => Call::Target(self.small()?),
            2 => Call::Value(self.text()?),
            3 => Call::Module(self.small()?),
            4 => Call::Function(self.code(FunctionKind::by_code, "no function has this number")?),
            5 => Call::Output(self.small()?),
            _ => return Err(self.wrong("a call is 0 to 5")),
        };
        let inputs = self.list(INPUTS_MAX, Reader::small)?;
        let attributes = self.attributes()?;
        let place = match self.flag()? {
            true => Some(Place { file: self.small()?, line: self.small()? }),
            false => None,
        };
        let kind = if self.flag()? { Some(self.text()?) } else { None };
        Ok(Node { call, inputs, attributes, place, kind })
    }
}

//! What crosses the pipes: eight bytes of length, little-endian, then
//! MessagePack.

use std::io::{self, Read, Write};

use fedwasm_params::Tensor;
use fedwasm_protocol::Limits;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use crate::engine::Profile;
use crate::host::{Batch, Level};
use crate::request::{Answer, PlainTensor, Request, Trouble, few};

/// Both ends must be of one version.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");
/// The deepest nesting of a message.
const DEPTH_MAX: usize = 64;

/// From the host to a worker.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum ToWorker {
    /// The first message.
    Setup(Setup),
    /// The bytes of an admitted component, to be compiled.
    Compile(ByteBuf),
    /// What an earlier worker compiled, authenticated.
    Load(ByteBuf),
    /// Call an export. If it takes batches, they follow until [`ToWorker::End`].
    Run(Box<Request>),
    /// The next batch.
    Batch(PlainBatch),
    /// There is no further batch.
    End,
    /// The loader failed; there is no further batch.
    Failed,
}

/// How a worker is to be.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Setup {
    pub(crate) version: String,
    pub(crate) profile: Profile,
    pub(crate) limits: Limits,
    /// Threads to compile with; 0 if there is nothing to compile.
    pub(crate) compile_threads: usize,
}

/// From a worker to the host.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum FromWorker {
    /// Confined and waiting.
    Ready { version: String, protections: Vec<Protection> },
    /// Compiled, and what to keep of it.
    Compiled(ByteBuf),
    /// Loaded what was kept.
    Loaded,
    /// What was kept does not fit this machine or engine.
    Stale(String),
    /// The engine refuses the component.
    Refused(String),
    /// A line from the plan.
    Log(Level, String),
    /// Numbers from the plan.
    Scalars(u64, #[serde(deserialize_with = "few")] Vec<(String, f64)>),
    /// The plan wants no further batch.
    Enough,
    /// The call is over.
    Done(Result<Box<Answer>, Trouble>),
}

/// One thing that keeps a worker from the rest of the machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Protection {
    /// What it is.
    pub name: String,
    /// Why the machine does not provide it; none if it does.
    pub missing: Option<String>,
}

/// A batch on its way.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct PlainBatch {
    rows: u32,
    inputs: Vec<(String, PlainTensor)>,
    targets: Vec<(String, PlainTensor)>,
}

impl From<Batch> for PlainBatch {
    fn from(batch: Batch) -> Self {
        let plain = |tensors: Vec<(String, Tensor)>| {
            tensors.into_iter().map(|(name, tensor)| (name, tensor.into())).collect()
        };
        Self { rows: batch.rows, inputs: plain(batch.inputs), targets: plain(batch.targets) }
    }
}

impl TryFrom<PlainBatch> for Batch {
    type Error = fedwasm_params::Error;

    fn try_from(batch: PlainBatch) -> Result<Self, Self::Error> {
        let whole = |tensors: Vec<(String, PlainTensor)>| {
            let whole = |(name, tensor)| Ok::<_, Self::Error>((name, Tensor::try_from(tensor)?));
            tensors.into_iter().map(whole).collect::<Result<_, _>>()
        };
        Ok(Self { rows: batch.rows, inputs: whole(batch.inputs)?, targets: whole(batch.targets)? })
    }
}

/// Writes one message and flushes it if `flush`. `buffer` is reused.
pub(crate) fn write(
    to: &mut impl Write,
    message: &impl Serialize,
    buffer: &mut Vec<u8>,
    flush: bool,
) -> io::Result<()> {
    buffer.clear();
    rmp_serde::encode::write_named(buffer, message).map_err(io::Error::other)?;
    to.write_all(&(buffer.len() as u64).to_le_bytes())?;
    to.write_all(buffer)?;
    if flush { to.flush() } else { Ok(()) }
}

/// Reads one message of at most `bytes_max` bytes; none at the end of the
/// pipe. `buffer` is reused.
pub(crate) fn read<T: DeserializeOwned>(
    from: &mut impl Read,
    bytes_max: u64,
    buffer: &mut Vec<u8>,
) -> io::Result<Option<T>> {
    let mut len = [0; 8];
    // The end of the pipe is an end only between messages.
    match from.read(&mut len)? {
        0 => return Ok(None),
        got => from.read_exact(&mut len[got..])?,
    }
    let len = u64::from_le_bytes(len);
    if len > bytes_max {
        let text = format!("a message of {len} bytes, at most {bytes_max}");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, text));
    }
    buffer.clear();
    // What was never sent is never made room for.
    if from.take(len).read_to_end(buffer)? as u64 != len {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let mut decoder = rmp_serde::Deserializer::from_read_ref(&buffer[..]);
    decoder.set_max_depth(DEPTH_MAX);
    let message = T::deserialize(&mut decoder);
    message.map(Some).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_bounded_and_whole() {
        let (mut pipe, mut buffer) = (Vec::new(), Vec::new());
        let message = FromWorker::Log(Level::Info, "hello".into());
        write(&mut pipe, &message, &mut buffer, true).unwrap();
        let got = read::<FromWorker>(&mut &pipe[..], 1 << 10, &mut buffer).unwrap();
        assert!(matches!(got, Some(FromWorker::Log(Level::Info, text)) if text == "hello"));
        assert!(read::<FromWorker>(&mut &[][..], 9, &mut buffer).unwrap().is_none());
        assert!(read::<FromWorker>(&mut &pipe[..], 9, &mut buffer).is_err());
        for len in 1..pipe.len() {
            assert!(read::<FromWorker>(&mut &pipe[..len], 1 << 10, &mut buffer).is_err());
        }
        // A length without bytes makes no room for them.
        let lie = (1u64 << 40).to_le_bytes();
        assert!(read::<FromWorker>(&mut &lie[..], u64::MAX, &mut buffer).is_err());
    }
}

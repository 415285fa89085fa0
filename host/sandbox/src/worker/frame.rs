//! The format of the pipes: eight bytes of length, little-endian, then
//! MessagePack, then the elements of parameters as they are: they go from one
//! end's tensor into the other's without a copy between.

use std::io::{self, Read, Write};

use fedwasm_artifact::Contract;
use fedwasm_params::Tensor;
use fedwasm_protocol::Limits;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use crate::batch::Batch;
use crate::engine::Profile;
use crate::event::Level;
use crate::request::{PlainTensor, Request, Response, Trouble, few};

/// Both ends must be of one version.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");
/// The deepest nesting of a message.
const DEPTH_MAX: usize = 64;

/// From the host to a worker.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum ToWorker {
    /// The first message.
    Setup(Setup),
    /// The bytes of an admitted component, to be compiled, and its version of the contract.
    Compile(Contract, ByteBuf),
    /// Code that an earlier worker compiled, authenticated.
    Load(Contract, ByteBuf),
    /// Call an export. If it takes batches, they follow until [`ToWorker::End`].
    Run(Box<Request>),
    /// The next batch.
    Batch(PlainBatch),
    /// No further batch follows.
    End,
    /// The loader failed; no further batch follows.
    Failed,
}

/// The setup of a worker.
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
    /// Compiled, with the code to keep.
    Compiled(ByteBuf),
    /// Loaded the kept code.
    Loaded,
    /// The kept code does not fit this machine or engine.
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
    Done(Result<Box<Response>, Trouble>),
}

/// One thing that keeps a worker from the rest of the machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Protection {
    /// Its description.
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

/// The bytes that follow a message.
pub(crate) trait Tail {
    /// Its parts, in order.
    fn tail(&self) -> Vec<&[u8]>;

    /// Takes it, at most `bytes_max` bytes.
    fn read_tail(&mut self, from: &mut impl Read, bytes_max: u64) -> io::Result<()>;
}

impl Tail for ToWorker {
    fn tail(&self) -> Vec<&[u8]> {
        match self {
            Self::Run(request) => request.tail(),
            _ => Vec::new(),
        }
    }

    fn read_tail(&mut self, from: &mut impl Read, _: u64) -> io::Result<()> {
        match self {
            Self::Run(request) => request.read_tail(from),
            _ => Ok(()),
        }
    }
}

impl Tail for FromWorker {
    fn tail(&self) -> Vec<&[u8]> {
        match self {
            Self::Done(Ok(answer)) => answer.tail(),
            _ => Vec::new(),
        }
    }

    fn read_tail(&mut self, from: &mut impl Read, bytes_max: u64) -> io::Result<()> {
        match self {
            Self::Done(Ok(answer)) => answer.read_tail(from, bytes_max),
            _ => Ok(()),
        }
    }
}

/// The most bytes of a message, and of those that follow it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Room {
    pub(crate) message: u64,
    pub(crate) tail: u64,
}

impl Room {
    /// For a trusted sender.
    pub(crate) const BOUNDLESS: Self = Self { message: u64::MAX, tail: u64::MAX };

    /// For a message that nothing follows.
    pub(crate) fn message(message: u64) -> Self {
        Self { message, tail: 0 }
    }
}

/// Writes one message and the bytes that follow it, and flushes if `flush`. `buffer`
/// is reused.
pub(crate) fn write(
    to: &mut impl Write,
    message: &(impl Serialize + Tail),
    buffer: &mut Vec<u8>,
    flush: bool,
) -> io::Result<()> {
    buffer.clear();
    rmp_serde::encode::write_named(buffer, message).map_err(io::Error::other)?;
    to.write_all(&(buffer.len() as u64).to_le_bytes())?;
    to.write_all(buffer)?;
    for part in message.tail() {
        to.write_all(part)?;
    }
    if flush { to.flush() } else { Ok(()) }
}

/// Reads one message and the bytes that follow it; none at the end of the pipe. `buffer`
/// is reused.
pub(crate) fn read<T: DeserializeOwned + Tail>(
    from: &mut impl Read,
    room: Room,
    buffer: &mut Vec<u8>,
) -> io::Result<Option<T>> {
    let mut len = [0; 8];
    // The end of the pipe is an end only between messages.
    match from.read(&mut len)? {
        0 => return Ok(None),
        got => from.read_exact(&mut len[got..])?,
    }
    let len = u64::from_le_bytes(len);
    if len > room.message {
        let text = format!("a message has {len} bytes, at most {} are allowed", room.message);
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, text));
    }
    buffer.clear();
    // Memory is allocated only for bytes that were sent.
    if from.by_ref().take(len).read_to_end(buffer)? as u64 != len {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let mut decoder = rmp_serde::Deserializer::from_read_ref(&buffer[..]);
    decoder.set_max_depth(DEPTH_MAX);
    let message = T::deserialize(&mut decoder);
    let mut message = message.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
    message.read_tail(from, room.tail)?;
    Ok(Some(message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_bounded_and_whole() {
        let (mut pipe, mut buffer) = (Vec::new(), Vec::new());
        let message = FromWorker::Log(Level::Info, "hello".into());
        write(&mut pipe, &message, &mut buffer, true).unwrap();
        let got = read::<FromWorker>(&mut &pipe[..], Room::message(1 << 10), &mut buffer).unwrap();
        assert!(matches!(got, Some(FromWorker::Log(Level::Info, text)) if text == "hello"));
        assert!(read::<FromWorker>(&mut &[][..], Room::message(9), &mut buffer).unwrap().is_none());
        assert!(read::<FromWorker>(&mut &pipe[..], Room::message(9), &mut buffer).is_err());
        for len in 1..pipe.len() {
            let cut = read::<FromWorker>(&mut &pipe[..len], Room::message(1 << 10), &mut buffer);
            assert!(cut.is_err());
        }
        // A length without bytes makes no room for them.
        let lie = (1u64 << 40).to_le_bytes();
        assert!(read::<FromWorker>(&mut &lie[..], Room::BOUNDLESS, &mut buffer).is_err());
    }

    #[test]
    fn parameters_follow_their_message_and_are_bounded_by_what_was_declared() {
        use crate::request::{Elements, Returned, Said, Usage};
        let answer = || Response {
            said: Said::Nothing,
            model: vec![Returned(Some(Elements::from(vec![1, 2, 3, 4]))), Returned(None)],
            aux_out: Vec::new(),
            state: vec![Returned(Some(Elements::from(vec![5, 6])))],
            predictions: Vec::new(),
            n_batches: 0,
            usage: Usage::default(),
        };
        let (mut pipe, mut buffer) = (Vec::new(), Vec::new());
        write(&mut pipe, &FromWorker::Done(Ok(Box::new(answer()))), &mut buffer, true).unwrap();
        assert!(pipe.ends_with(&[1, 2, 3, 4, 5, 6]));
        let mut read = |pipe: &[u8], tail| {
            let room = Room { message: 1 << 10, tail };
            read::<FromWorker>(&mut &pipe[..], room, &mut buffer)
        };
        let Ok(Some(FromWorker::Done(Ok(got)))) = read(&pipe, 6) else { panic!("no answer") };
        let bytes = |returned: &Returned| returned.0.as_ref().map(|e| e.bytes.clone());
        assert_eq!(bytes(&got.model[0]), Some(vec![1, 2, 3, 4]));
        assert_eq!((bytes(&got.model[1]), bytes(&got.state[0])), (None, Some(vec![5, 6])));
        assert_eq!(read(&pipe, 5).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
        let cut = read(&pipe[..pipe.len() - 1], 6).unwrap_err();
        assert_eq!(cut.kind(), io::ErrorKind::UnexpectedEof);
    }
}

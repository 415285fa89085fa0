//! Whether training writes the state and the auxiliary variables that the plan declares.

use fedwasm_params::Params;
use fedwasm_protocol::Value;
use fedwasm_sandbox::{Default, Error, FaultKind, Profile, Session};

use super::CheckVerdict::{Failed, NotApplicable, Passed};
use super::{CheckVerdict, Suite, elements};

/// Tries the plan as it is, and with each switch that is off by default.
pub(super) fn check(suite: &Suite) -> Result<CheckVerdict, Error> {
    let arguments = suite.plan().metadata().arguments.iter();
    let off = arguments.filter(|one| one.default == Default::Value(Value::Boolean(false)));
    let switches = off.map(|argument| Some(argument.name.as_str()));
    let (mut n, mut tried) = (0, Vec::new());
    for switch in [None].into_iter().chain(switches) {
        let given = switch.map(|name| (name.to_owned(), Value::Boolean(true)));
        let session = match suite.other(Profile::Standard, given.into_iter().collect()) {
            // A switch may need other arguments, which only the author knows.
            Err(Error::Fault(fault))
                if switch.is_some() && fault.kind == FaultKind::InvalidArgument =>
            {
                continue;
            }
            session => session?,
        };
        let declared = session.declaration();
        let declared = declared.state.len() + declared.aux_out.len();
        if declared == 0 {
            continue;
        }
        if let Some(text) = missing(suite, &session)? {
            let with = switch.map_or(String::new(), |name| format!(" with {name} = true"));
            return Ok(Failed(format!("{text} after training{with}")));
        }
        n += declared;
        tried.extend(switch);
    }
    Ok(match n {
        0 => NotApplicable("the plan declares none".into()),
        _ if tried.is_empty() => Passed(format!("{n} tensors")),
        _ => Passed(format!("{n} tensors, with {}", tried.join(", "))),
    })
}

/// The first tensor that is not as it should be; none if all are.
fn missing(suite: &Suite, session: &Session) -> Result<Option<String>, Error> {
    let seed = suite.options.random_seed;
    let before = suite.init(seed)?;
    let train = |model| suite.train_in(session, model, seed, &suite.batches());
    let outcome = train(before.clone())?;
    // Those that are still zeros, and the parameters that they belong to.
    let mut zeros = Vec::new();
    for (name, tensor) in outcome.state.iter().chain(outcome.aux_out.iter()) {
        if !tensor.is_finite() {
            return Ok(Some(format!("`{name}` is not finite")));
        }
        if tensor.data().iter().all(|byte| *byte == 0) {
            let owners = before.iter().map(|(owner, _)| owner);
            let owners = owners.filter(|owner| name.ends_with(&format!(".{owner}")));
            zeros.push((name, owners.max_by_key(|owner| owner.len())));
        }
    }
    // Zeros are right for what has no gradient: a parameter that stays, and running statistics,
    // which move, but whose values training does not use.
    let is_used = |owners: &[&str]| {
        let moved = with(&before, &outcome.model, owners)?;
        Ok::<_, Error>(
            moved != before && {
                let losses = [elements::loss(&outcome), elements::loss(&train(moved)?)];
                losses[0].is_none() || losses[0] != losses[1]
            },
        )
    };
    let owners: Vec<&str> = zeros.iter().filter_map(|(_, owner)| *owner).collect();
    let all_right = !is_used(&owners)?;
    for (name, owner) in zeros {
        let is_missing = match owner {
            None => true,
            Some(_) if all_right => false,
            Some(owner) => is_used(&[owner])?,
        };
        if is_missing {
            return Ok(Some(format!("`{name}` is still all zeros")));
        }
    }
    Ok(None)
}

/// The parameters, with some of them as they are after training.
fn with(before: &Params, after: &Params, names: &[&str]) -> Result<Params, Error> {
    let tensors = before.iter().map(|(name, tensor)| {
        let moved = after.tensor(name).filter(|_| names.contains(&name));
        (name.to_owned(), moved.unwrap_or(tensor).clone())
    });
    Params::new(tensors.collect()).map_err(|error| Error::Loader { reason: error.to_string() })
}

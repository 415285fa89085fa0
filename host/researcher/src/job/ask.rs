//! Asking nodes for a round or for scores, and the checks on their answers and receipts.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use fedwasm_params::{Params, to_safetensors};
use fedwasm_protocol::{
    Body, DataArgs, FieldSelection, INLINE_BYTES_MAX, Mode, NodeId, Participant, Payload, Progress,
    Reason, Refusal, RoundReply, RoundRequest, printable,
};
use fedwasm_transport::now_ms;
use fedwasm_trust::{RECEIPT_BYTES_MAX, Receipt, Roster, Standing};

use crate::job::replies::{is_sound, is_well_formed};
use crate::requests::{Answer, Seen};
use crate::secagg::{Demand, check_masked};
use crate::{AuxVars, Error, Event, Events, Member};

use super::{Job, ms};

/// The most bytes of names of inputs that ride in a request: a quarter of it.
const NAMES_BYTES_MAX: usize = INLINE_BYTES_MAX;
/// How long a node may compile the plan before it is left out, and how often it is asked whether
/// it is done. That is not the round's time: it happens once.
const COMPILING_TIME_MAX: Duration = Duration::from_secs(15 * 60);
const COMPILING_PAUSE: Duration = Duration::from_secs(1);
/// How often the roster is refreshed during rounds.
const ROSTER_PAUSE: Duration = Duration::from_secs(5);

/// The round that nodes are asked for.
#[derive(Clone, Copy)]
pub(crate) struct Asking<'a> {
    pub(crate) round: u32,
    pub(crate) mode: Mode,
    /// The demand of secure aggregation; none in the clear.
    pub(crate) demand: Option<&'a Demand>,
}

/// The answers to a round.
pub(crate) struct Answers {
    /// Of nodes that delivered, each with the time that it took.
    pub(crate) replies: BTreeMap<NodeId, (RoundReply, Duration)>,
    /// Of nodes that no longer have the keys that the round needs; they are not dropped.
    pub(crate) forgot: BTreeMap<NodeId, Refusal>,
}

impl Job {
    /// Asks nodes for a round and drops those that do not deliver.
    pub(super) async fn ask(
        &mut self,
        round: u32,
        mode: Mode,
        nodes: &[NodeId],
        aux: &AuxVars,
        send_ms: &mut f64,
        events: Events<'_>,
    ) -> Result<BTreeMap<NodeId, (RoundReply, Duration)>, Error> {
        if self.options.secagg.is_some() {
            let reason = "single results are asked for under secure aggregation".into();
            return Err(Error::Internal { reason });
        }
        let at = Instant::now();
        let mut watch = self.watch(round);
        let requests = watch.during(self.requests_of(round, mode, nodes, aux), events).await?;
        let asking = Asking { round, mode, demand: None };
        let answers = self.ask_for(asking, requests, || *send_ms += ms(at), events).await?;
        Ok(answers.replies)
    }

    /// Sends nodes their requests, and drops those that do not deliver.
    pub(crate) async fn ask_for(
        &mut self,
        asking: Asking<'_>,
        requests: BTreeMap<NodeId, RoundRequest>,
        sent: impl FnOnce(),
        events: Events<'_>,
    ) -> Result<Answers, Error> {
        let round = asking.round;
        // Only members sign receipts.
        let signed = self.requests.member().is_some().then_some(&requests);
        let asked: BTreeMap<NodeId, RoundRequest> = signed
            .into_iter()
            .flatten()
            .map(|(node, request)| (node.clone(), Receipt::request(request)))
            .collect();
        let mut bodies: BTreeMap<NodeId, Body> = requests
            .into_iter()
            .map(|(node, request)| (node, Body::Round(Box::new(request))))
            .collect();
        self.give_params(&mut bodies).await?;
        let deadline = self.options.deadline;
        let see = |seen| tell(round, seen, events);
        let first = bodies.clone().into_iter().collect();
        let answers = self.requests.ask(first, deadline, sent, see).await?;
        let answers = self.ask_those_that_compile(round, answers, &bodies, events).await?;
        let mut answers = self.take_answers(asking, answers, events);
        self.take_receipts_of(round, asked, &mut answers.replies, events).await;
        Ok(answers)
    }

    /// The request to each node, without a part about secure aggregation.
    pub(crate) async fn requests_of(
        &mut self,
        round: u32,
        mode: Mode,
        nodes: &[NodeId],
        aux: &AuxVars,
    ) -> Result<BTreeMap<NodeId, RoundRequest>, Error> {
        self.refresh_roster().await?;
        self.store_unstored().await?;
        // A node that gives a sign of life meanwhile takes part in the next round.
        self.requests.ping(&self.nodes.silent()).await?;
        if mode == Mode::Train {
            self.states.sync(self.nodes.known().keys());
        }
        let mut requests = BTreeMap::new();
        let mut room = INLINE_BYTES_MAX;
        let aux_shared = self.payload(&aux.shared, &mut room).await?;
        let wide_inputs = self.wide_inputs().await?;
        for node in nodes {
            let Some(member) = self.nodes.member(node).cloned() else { continue };
            let aux_own = self.payload(&aux.own(node), &mut room.clone()).await?;
            let mut request = RoundRequest {
                aux_shared: aux_shared.clone(),
                aux_own,
                ..self.request(round, mode, node, &member)
            };
            if wide_inputs.is_some() {
                request.data.inputs = None;
                request.wide_inputs.clone_from(&wide_inputs);
            }
            requests.insert(node.clone(), request);
        }
        Ok(requests)
    }

    /// Takes what nodes delivered, and drops those that did not.
    fn take_answers(
        &mut self,
        Asking { round, mode, demand }: Asking<'_>,
        answers: BTreeMap<NodeId, (Answer, Duration)>,
        events: Events<'_>,
    ) -> Answers {
        let (mut replies, mut forgot) = (BTreeMap::new(), BTreeMap::new());
        for (node, (answer, time)) in answers {
            match answer {
                Answer::Reply(Body::RoundReply(reply)) => {
                    let sound = match demand {
                        Some(demand) => self.is_masked(&node, &reply, demand),
                        None if self.is_sound(&node, &reply, mode) => Ok(()),
                        None => Err(None),
                    };
                    match sound {
                        Ok(()) => {
                            for warning in &reply.warnings {
                                self.warn_once(format!("{node}: {}", printable(warning)), events);
                            }
                            self.nodes.delivered(&node);
                            replies.insert(node, (*reply, time));
                        }
                        Err(Some(text)) => self.refuse_for(&node, round, text, events),
                        Err(None) => {
                            let answer = Answer::Reply(Body::RoundReply(reply));
                            self.drop_for(node, round, answer, events);
                        }
                    }
                }
                Answer::Refused(refusal)
                    if refusal.reason == Reason::State && demand.is_some_and(Demand::is_agreed) =>
                {
                    forgot.insert(node, refusal);
                }
                other => self.drop_for(node, round, other, events),
            }
        }
        Answers { replies, forgot }
    }

    /// Whether a reply has nothing but masked vectors; the mistake in words, if there are some.
    fn is_masked(
        &self,
        node: &NodeId,
        reply: &RoundReply,
        demand: &Demand,
    ) -> Result<(), Option<String>> {
        check_masked(reply, demand).map_err(Some)?;
        match self.nodes.member(node).is_some() && is_well_formed(reply) {
            true => Ok(()),
            false => Err(None),
        }
    }

    /// Takes the receipts of replies, and drops nodes whose receipt is missing or contradicts the
    /// reply.
    async fn take_receipts_of(
        &mut self,
        round: u32,
        asked: BTreeMap<NodeId, RoundRequest>,
        replies: &mut BTreeMap<NodeId, (RoundReply, Duration)>,
        events: Events<'_>,
    ) {
        self.receipts.clear();
        for (node, request) in asked {
            let Some((reply, _)) = replies.get(&node) else { continue };
            let (reason, wrong) = match self.receipt(&node, &request, reply).await {
                Ok(Some((receipt, approved_by))) => {
                    self.approvals.insert(node.clone(), printable(&approved_by));
                    self.receipts.insert(node, receipt);
                    continue;
                }
                Ok(None) if self.options.require_receipts => {
                    let text = "it sent no receipt, but `strategy.require_receipts` is true";
                    (Reason::Internal, text.to_owned())
                }
                Ok(None) => {
                    self.warn_once(format!("{node} sends no receipts"), events);
                    continue;
                }
                Err(wrong) => wrong,
            };
            replies.remove(&node);
            let away = self.nodes.away_because(&node, reason);
            self.drop_node(node, round, reason, wrong, away, events);
        }
    }

    /// Asks nodes that are compiling the plan again, until they are done: each time they have the
    /// whole deadline.
    pub(super) async fn ask_those_that_compile(
        &mut self,
        round: u32,
        mut answers: BTreeMap<NodeId, (Answer, Duration)>,
        requests: &BTreeMap<NodeId, Body>,
        events: Events<'_>,
    ) -> Result<BTreeMap<NodeId, (Answer, Duration)>, Error> {
        let start = Instant::now();
        while start.elapsed() < COMPILING_TIME_MAX {
            let mut compiling = Vec::new();
            for (node, (answer, _)) in &answers {
                let Answer::Refused(refusal) = answer else { continue };
                let Some(body) = requests.get(node) else { continue };
                if refusal.reason != Reason::Compiling {
                    continue;
                }
                if self.warned.insert(format!("{node} compiles")) {
                    let text = printable(&refusal.message);
                    events(Event::Warning(format!("{node} is asked again: {text}")));
                }
                compiling.push((node.clone(), body.clone()));
            }
            if compiling.is_empty() {
                break;
            }
            self.requests.watch(COMPILING_PAUSE, &[], |_| false).await?;
            let deadline = self.options.deadline;
            let see = |seen| tell(round, seen, events);
            answers.extend(self.requests.ask(compiling, deadline, || {}, see).await?);
        }
        Ok(answers)
    }

    pub(super) fn is_sound(&self, node: &NodeId, reply: &RoundReply, mode: Mode) -> bool {
        let (training, member) = (&self.options.training, self.nodes.member(node));
        member.is_some_and(|member| is_sound(reply, mode, training, member))
    }

    /// Learns which keys were revoked since the last time, at most every few seconds.
    ///
    /// # Errors
    /// [`Error::Transport`] if the roster is too old to verify anything.
    pub(super) async fn refresh_roster(&mut self) -> Result<(), Error> {
        if self.refreshed.elapsed() < ROSTER_PAUSE {
            return Ok(());
        }
        self.refreshed = Instant::now();
        let Some(member) = self.requests.member() else { return Ok(()) };
        let fetch = self.repository.refresh_roster(member);
        match tokio::time::timeout(ROSTER_PAUSE, fetch).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => tracing::warn!("the roster could not be refreshed: {error}"),
            Err(_) => tracing::warn!("the roster could not be refreshed: no answer arrived"),
        }
        match member.standing(now_ms()) {
            Standing::Fresh => Ok(()),
            Standing::Ageing { age } => {
                let hours = age.as_secs() / 3_600;
                tracing::warn!(
                    "the roster was signed {hours} hours ago, and no newer one is offered"
                );
                Ok(())
            }
            Standing::Expired { age } => {
                let expired = fedwasm_trust::Error::ExpiredRoster { age };
                Err(fedwasm_transport::Error::from(expired).into())
            }
        }
    }

    /// The participants of the federation.
    ///
    /// # Errors
    /// [`Error::Internal`] if the nodes are in this process.
    pub(crate) fn roster(&self) -> Result<Arc<Roster>, Error> {
        let no_keys = || Error::Internal { reason: "nodes in one process have no keys".into() };
        Ok(self.requests.member().ok_or_else(no_keys)?.roster())
    }

    /// Fetches a node's receipt and checks its signature, its request and its result. With it comes
    /// the reason why the node ran the plan.
    pub(super) async fn receipt(
        &self,
        node: &NodeId,
        request: &RoundRequest,
        reply: &RoundReply,
    ) -> Result<Option<(Vec<u8>, String)>, (Reason, String)> {
        let Some(payload) = &reply.receipt else { return Ok(None) };
        if payload.blob.size > RECEIPT_BYTES_MAX {
            let text = format!("its receipt has {} bytes", payload.blob.size);
            return Err((Reason::Internal, text));
        }
        let signed = self.within_deadline(self.repository.get_payload(payload)).await;
        let signed =
            signed.map_err(|error| (blob_reason(&error), format!("its receipt: {error}")))?;
        let approved_by = self.check_receipt(node, request, reply, &signed);
        let approved_by = approved_by.map_err(|text| (Reason::Internal, text))?;
        Ok(Some((signed, approved_by)))
    }

    /// Checks a receipt; the reason why the node ran the plan.
    fn check_receipt(
        &self,
        node: &NodeId,
        request: &RoundRequest,
        reply: &RoundReply,
        signed: &[u8],
    ) -> Result<String, String> {
        let who = Participant::node(node);
        let roster = self.roster().map_err(|error| error.to_string())?;
        let key = roster.key(&who).ok_or_else(|| format!("{who} is not on the roster"))?;
        let receipt = Receipt::verify(signed, key).map_err(|error| error.to_string())?;
        let Receipt { result, .. } = &receipt;
        let aux = reply.aux.as_ref().map(|payload| payload.blob);
        for (part, same) in [
            ("node", receipt.node == who),
            ("researcher", receipt.researcher == Participant::researcher(self.researcher_id())),
            ("request", Some(receipt.request_sha256) == self.requests.answered(node)),
            ("question", receipt.request == *request),
            ("upload", result.params == reply.params && result.aux == aux),
            ("sums", result.sums == reply.sums.as_ref().map(|payload| payload.blob)),
            ("result", (result.n_samples, result.n_steps) == (reply.n_samples, reply.n_steps)),
            ("score", result.evaluation == reply.evaluation),
            ("loss", result.train_loss == reply.train_loss),
            ("check value", result.encryption_factor == reply.encryption_factor),
            ("terms", result.secagg == reply.secagg),
        ] {
            if !same {
                return Err(format!("its receipt has another value for {part}"));
            }
        }
        Ok(receipt.approved_by)
    }

    /// The input columns, as the nodes get them.
    pub(super) fn inputs(&self) -> FieldSelection {
        match &self.options.data.inputs {
            Some(table @ FieldSelection::Table(_)) => table.clone(),
            _ => self.inputs.clone().into(),
        }
    }

    /// Stores the names of the input columns if they are too many for a message.
    pub(super) async fn wide_inputs(&self) -> Result<Option<Payload>, Error> {
        let inputs = self.inputs();
        if inputs.names().iter().map(|name| name.len() + 5).sum::<usize>() <= NAMES_BYTES_MAX {
            return Ok(None);
        }
        let bytes = inputs.encode().map_err(|reason| Error::Internal { reason })?;
        let blob = self.within_deadline(self.repository.put(bytes)).await?;
        Ok(Some(Payload::stored(blob)))
    }

    pub(super) fn request(
        &self,
        round: u32,
        mode: Mode,
        node: &NodeId,
        member: &Member,
    ) -> RoundRequest {
        RoundRequest {
            mode,
            experiment_id: self.id.clone(),
            round,
            rounds: self.options.rounds,
            dataset_id: member.dataset_id.clone(),
            plan: self.plan,
            params: self.given.blob,
            params_inline: None,
            data: DataArgs {
                inputs: Some(self.inputs()),
                tags: Vec::new(),
                dataset: None,
                ..self.options.data.clone()
            },
            training: self.options.training.clone(),
            model: self.options.model.clone(),
            aggregator: self.options.aggregator.clone(),
            state_id: self.states.state(node).cloned(),
            kept_state_ids: self.saved.iter().filter_map(|s| s.state(node).cloned()).collect(),
            wide_inputs: None,
            aux_shared: None,
            aux_own: None,
            scales: self.scales(),
            secagg: None,
            strict: self.options.strict,
            limits: self.options.limits.clone(),
        }
    }

    pub(super) async fn payload(
        &mut self,
        params: &Params,
        room: &mut usize,
    ) -> Result<Option<Payload>, Error> {
        if params.is_empty() {
            return Ok(None);
        }
        let bytes = to_safetensors(params).map_err(fedwasm_record::Error::Shapes)?;
        let put = self.repository.put_payload(bytes, room);
        let payload = self.within_deadline(put).await?;
        self.given_up.add_payload(Some(&payload));
        Ok(Some(payload))
    }
}

/// Why something that a node sent cannot be fetched: it sent something else, or a repository cannot
/// give it, which says nothing about the node.
pub(crate) fn blob_reason(error: &Error) -> Reason {
    use fedwasm_transport::Error as E;
    match error {
        Error::Transport(E::WrongPayload(_) | E::WrongDigest { .. } | E::WrongSize { .. }) => {
            Reason::Internal
        }
        _ => Reason::Blob,
    }
}

/// Passes on what happens while nodes are waited for.
pub(crate) fn tell(round: u32, seen: Seen, events: Events<'_>) {
    events(match seen {
        Seen::Progress(node, Progress { steps, steps_max, loss, points, .. }) => {
            Event::Progress { node, round, steps, steps_max, loss, points }
        }
        Seen::Gone(node) => {
            Event::Dropped { node, round, reason: crate::job::replies::GONE.to_owned() }
        }
        Seen::Lost { reason, patience } => {
            let reason = format!("the connection to the broker is lost: {reason}");
            Event::Waiting { round, reason, left_s: patience.as_secs() }
        }
    });
}

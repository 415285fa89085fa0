//! Running a round again from its receipt, at the site that has the data: the same inputs
//! must give the same bytes.

use std::path::Path;
use std::sync::Arc;

use fedwasm_artifact::Component;
use fedwasm_folder::Folder;
use fedwasm_protocol::{COLUMNS_BYTES_MAX, Digest, Mode, Payload, Refusal, RoundRequest};
use fedwasm_sandbox::{Cancel, Sandbox};
use fedwasm_training::Disclosure;
use fedwasm_trust::{Opening, PublicKey, Receipt, RunResult, Signer};

use crate::approval::ApprovedPlan;
use crate::privacy::{Begun, Released, Summand};
use crate::round::{Fetched, PlanSource, Preparation, Used, Workshop};
use crate::secagg::{Masked, SumRules};
use crate::tell::Told;
use crate::{Database, Dataset, Datasets, Error, NodeConfig, receipt};

/// The largest input, in bytes.
const INPUT_BYTES_MAX: u64 = 4 << 30;

/// An error, or a fact in words.
type Cause = Box<dyn std::error::Error + Send + Sync>;

/// Which part of a receipt does not hold, and why.
#[derive(Debug, thiserror::Error)]
#[error("{part}: {cause}")]
pub struct Mismatch {
    /// The part, such as `dataset` or `result.params`.
    pub part: &'static str,
    /// The difference.
    #[source]
    pub cause: Box<dyn std::error::Error + Send + Sync>,
}

/// The part that is not of a receipt: the node's directory.
const SITE: &str = "site";

impl Mismatch {
    /// Whether it concerns the node's directory and not the receipt.
    pub fn is_of_site(&self) -> bool {
        self.part == SITE
    }
}

/// The checks of a receipt at the site.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rerun {
    /// The receipt's own digest.
    pub digest: Digest,
    /// Whether the receipt before it is there and names the one before that, and so on to the
    /// first: how many.
    pub chain: u64,
}

/// Reads a receipt that one of a node's keys signed.
///
/// # Errors
/// [`Mismatch`] naming the signature.
pub fn read_receipt(signed: &[u8], keys: &[PublicKey]) -> Result<Receipt, Mismatch> {
    let mut failed = mismatch("signature", "the key is missing");
    for key in keys {
        match Receipt::verify(signed, key) {
            Ok(receipt) => return Ok(receipt),
            Err(error) => failed = mismatch("signature", error),
        }
    }
    Err(failed)
}

/// The public keys of the node in `dir`: its own, and those that it had before, which lie in
/// `identity/retired`.
///
/// # Errors
/// [`Error`].
pub fn keys_of(dir: &Path) -> Result<Vec<PublicKey>, Error> {
    let (config, folder) = NodeConfig::open(dir)?;
    let mut keys = vec![config.identity(dir)?.key.public().clone()];
    let identity = folder.folder("identity")?;
    if !identity.has("retired") {
        return Ok(keys);
    }
    let retired = identity.folder("retired")?;
    for name in retired.names()?.into_iter().filter(|name| name.ends_with(".pub")) {
        keys.push(PublicKey::from_pem(&retired.read(&name, 16 << 10)?)?);
    }
    Ok(keys)
}

/// The same, by the roster of a federation: the key must be the node's own.
///
/// # Errors
/// [`Mismatch`].
pub fn read_receipt_of(
    signed: &[u8],
    roster: &fedwasm_trust::Roster,
) -> Result<(Receipt, Signer), Mismatch> {
    let mut failed = mismatch("signature", "no key on the roster signed it");
    for entry in &roster.entries {
        match Receipt::verify(signed, &entry.key) {
            Ok(receipt) if receipt.node == entry.participant => {
                let signer = match entry.revoked_ms {
                    None => Signer::Current,
                    Some(_) => Signer::Revoked,
                };
                return Ok((receipt, signer));
            }
            Ok(receipt) => {
                let text = format!("of {}, signed by {}", receipt.node, entry.participant);
                failed = mismatch("node", text);
            }
            Err(fedwasm_trust::Error::Signature { .. }) => {}
            Err(error) => failed = mismatch("receipt", error),
        }
    }
    Err(failed)
}

/// Runs a round again at the node in `dir`, in `sandbox`, and compares every byte with the receipt.
///
/// # Errors
/// [`Mismatch`] naming the first part that does not hold.
pub fn rerun(dir: &Path, signed: &[u8], sandbox: Sandbox) -> Result<Rerun, Mismatch> {
    let site = Site::open(dir, signed)?;
    let chain = chain(&site.database, &site.receipt, &site.keys)?;
    let opening = site.opening()?;
    let request = site.request()?;
    let plan = site.plan(&request)?;
    let fetched = site.fetched(&request)?;
    let dataset = &site.dataset(&request, &opening)?;

    if request.mode == Mode::Statistics {
        let released = site.told(&request, dataset, &fetched, &opening)?;
        compare(released, &site.receipt.result, opening.state_out)?;
        return Ok(Rerun { digest: site.digest, chain });
    }
    // States are written into a scratch directory, not into the node's.
    let scratch = Scratch::new().map_err(on_site)?;
    let copy = Arc::new(Folder::open(&scratch.0).map_err(on_site)?);
    if let (Some(id), Some(state)) = (&request.state_id, &opening.state_in) {
        let bytes = site.input("state_in", state)?;
        crate::state::place(&copy, &request.experiment_id, id, &bytes).map_err(on_site)?;
    }
    let refused = |refusal: Refusal| mismatch("run", refusal.message);
    let Site { config, receipt, digest, .. } = &site;
    let strict = receipt.engine.profile == "strict";
    // The files of one round are few, and deleted with the scratch directory.
    let mut workshop = Workshop::new(sandbox, strict, receipt.limits.clone(), u64::MAX, None);
    let approved = ApprovedPlan::by_rule(request.plan.sha256, receipt.approved_by.clone());
    let researcher = receipt.researcher.researcher_id();
    let researcher =
        researcher.ok_or_else(|| mismatch("researcher", "the participant is not a researcher"))?;
    let cancel = Cancel::new();
    let prepared = workshop.prepare(Preparation {
        request: &request,
        approved: &approved,
        plan: PlanSource::Fetched(plan),
        node: &config.id,
        researcher: &researcher,
        dataset,
        folder: &copy,
        cancel: &cancel,
        terms: None,
        scales: fetched.scales.as_deref(),
    });
    let prepared = prepared.map_err(refused)?;
    let received = Arc::clone(&fetched.params);
    let done = prepared.run(&request, fetched, Box::new(drop), &cancel).map_err(refused)?;
    // With the noise of the run, whose seed the ledger keeps.
    let noise = site.database.noise_of(&receipt.request_sha256);
    let begun = Begun::again(noise.map_err(|error| mismatch("noise", error))?);
    let declaration = prepared.declaration();
    let released = match (&request.secagg, &receipt.result.secagg) {
        (Some(args), Some(terms)) => {
            let numbers = prepared.numbers(&request).map_err(refused)?;
            let of = (request.mode, numbers.as_ref());
            let rules = SumRules::again(args, terms.clone(), declaration, of);
            let rules = rules.map_err(refused)?;
            let summand = begun.sum(done, &received, declaration, &request, &rules);
            let summand = summand.map_err(|error| mismatch("noise", error))?;
            site.masked(summand, &rules, opening.masks.as_ref())?
        }
        _ => {
            let travels = prepared.compressing(&request);
            let released = begun.release(done, &received, declaration, &request, travels);
            released.map_err(|error| mismatch("noise", error))?
        }
    };
    compare(released, &receipt.result, opening.state_out)?;
    Ok(Rerun { digest: *digest, chain })
}

/// A node, and a receipt of one of its runs.
struct Site {
    config: NodeConfig,
    folder: Folder,
    database: Database,
    keys: Vec<PublicKey>,
    receipt: Receipt,
    /// The receipt's own digest.
    digest: Digest,
}

impl Site {
    fn open(dir: &Path, signed: &[u8]) -> Result<Self, Mismatch> {
        let (config, folder) = NodeConfig::open(dir).map_err(on_site)?;
        let identity = config.identity(dir).map_err(on_site)?;
        let keys = keys_of(dir).map_err(on_site)?;
        let own = &identity.participant;
        let receipt =
            read_receipt(signed, &keys).map_err(|mismatch| {
                match Receipt::unverified_node(signed) {
                    Some(node) if node != *own => {
                        let text = format!("the receipt is of {node}, the directory of {own}");
                        self::mismatch("node", text)
                    }
                    _ => mismatch,
                }
            })?;
        let digest = Digest::of(signed);
        let database = Database::open(dir, &identity).map_err(on_site)?;
        if !database.has_run(&digest).map_err(on_site)? {
            return Err(mismatch("receipt", "no entry of the node's log names the receipt"));
        }
        Ok(Self { config, folder, database, keys, receipt, digest })
    }

    /// The opening of the receipt's commitments.
    fn opening(&self) -> Result<Opening, Mismatch> {
        let opening = self.database.opening(&self.digest);
        let opening = opening.map_err(|error| mismatch("opening", error))?;
        let Receipt { dataset, state_in, result, .. } = &self.receipt;
        for (part, known, opened) in [
            ("dataset", Some(*dataset), Some(opening.dataset())),
            ("state_in", *state_in, opening.state_in()),
            ("result.state_out", result.state_out, opening.state_out()),
            ("result.masks", result.masks, opening.masks()),
        ] {
            if known != opened {
                return Err(mismatch(part, "the opening belongs to another receipt"));
            }
        }
        Ok(opening)
    }

    /// The request with the names of its inputs.
    fn request(&self) -> Result<RoundRequest, Mismatch> {
        let request = &self.receipt.request;
        let wide = request.wide_inputs.as_ref().map(|payload| payload.blob.sha256);
        let names = wide.map(|digest| receipt::input(&self.folder, &digest, COLUMNS_BYTES_MAX));
        let names = names.transpose().map_err(|error| mismatch("column names", error))?;
        let request = crate::executor::with_inputs(request.clone(), names.as_deref());
        request.map_err(|refusal| mismatch("request", refusal.message))
    }

    /// The dataset, with the rows that it had.
    fn dataset(&self, request: &RoundRequest, opening: &Opening) -> Result<Dataset, Mismatch> {
        let datasets = Datasets::load(&self.folder).map_err(|error| mismatch("dataset", error))?;
        let id = &request.dataset_id;
        let dataset = datasets.find(id).cloned();
        let dataset =
            dataset.ok_or_else(|| mismatch("dataset", format!("`{id}` is not registered")))?;
        let found = crate::round::dataset_digest(&dataset, &Cancel::new());
        match found.map_err(|error| mismatch("dataset", error))? == opening.dataset {
            true => Ok(dataset),
            false => Err(mismatch("dataset", "the file changed since the run")),
        }
    }

    fn plan(&self, request: &RoundRequest) -> Result<Vec<u8>, Mismatch> {
        let digest = &request.plan.sha256;
        let plan = self.database.plan(digest).map(|(bytes, _)| bytes);
        let plan = plan.or_else(|_| receipt::input(&self.folder, digest, INPUT_BYTES_MAX));
        let plan = plan.map_err(|error| mismatch("plan", error))?;
        Component::admit_as(plan.clone(), digest).map_err(|error| mismatch("plan", error))?;
        Ok(plan)
    }

    fn fetched(&self, request: &RoundRequest) -> Result<Fetched, Mismatch> {
        let aux = |payload: &Option<Payload>| {
            let payload = payload.as_ref().map(|payload| payload.blob.sha256);
            payload.map(|digest| self.input("auxiliary variables", &digest)).transpose()
        };
        Ok(Fetched {
            params: Arc::new(self.input("parameters", &request.params.sha256)?),
            aux_shared: aux(&request.aux_shared)?,
            aux_own: aux(&request.aux_own)?,
            scales: {
                let scales = request.scales.as_ref().map(|payload| payload.blob.sha256);
                scales.map(|digest| self.input("scales", &digest)).transpose()?
            },
        })
    }

    /// The fewest rows that the approval of the plan lets be told about.
    fn min_rows(&self, plan: &Digest) -> Result<u64, Mismatch> {
        let NodeConfig { approval, privacy, .. } = &self.config;
        let approved = |error: Error| mismatch("approval", error);
        let operators = approval.operators().map_err(approved)?;
        let decisions = self.database.decisions(plan, &operators).map_err(approved)?;
        let by = &self.receipt.approved_by;
        let decision = decisions.into_iter().find(|(_, signed)| signed.to_string() == *by);
        Ok(decision.and_then(|(decision, _)| decision.min_rows).unwrap_or(privacy.min_rows))
    }

    /// The masked statistics of a round, from the rows and the masks that the node keeps.
    fn told(
        &self,
        request: &RoundRequest,
        dataset: &Dataset,
        fetched: &Fetched,
        opening: &Opening,
    ) -> Result<Released, Mismatch> {
        let refused = |refusal: Refusal| mismatch("run", refusal.message);
        let privacy = &self.config.privacy;
        let floors = privacy.floors_of(request.dataset_id.as_str());
        // The stricter of both, as in the round.
        let told = crate::statistics::disclosure(&floors, privacy.min_rows);
        let min_rows = told.min_rows.max(self.min_rows(&request.plan.sha256)?);
        let disclosure = Disclosure { min_rows, ..told };
        let edges = fetched.scales.as_deref();
        let told = Told::new(dataset, request, edges, disclosure, &Cancel::new());
        let Told { done, numbers, .. } = told.map_err(refused)?;
        let (Some(args), Some(terms)) = (&request.secagg, &self.receipt.result.secagg) else {
            return Err(mismatch("run", "statistics without secure aggregation have no receipt"));
        };
        let (nothing, of) = (Told::declaration(), (request.mode, Some(&numbers)));
        let rules = SumRules::again(args, terms.clone(), &nothing, of).map_err(refused)?;
        let summand = Begun::again(None).sum(done, &[], &nothing, request, &rules);
        let summand = summand.map_err(|error| mismatch("run", error))?;
        self.masked(summand, &rules, opening.masks.as_ref())
    }

    /// The result of a run under the masks that it had, which the node keeps.
    fn masked(
        &self,
        mut summand: Summand,
        rules: &SumRules,
        masks: Option<&Digest>,
    ) -> Result<Released, Mismatch> {
        let masks = masks.ok_or_else(|| mismatch("masks", "the opening names none"))?;
        let masks = self.input("masks", masks)?;
        let clear = std::mem::take(&mut summand.vectors);
        let masked = Masked::again(&masks, clear, rules);
        let masked = masked.map_err(|error| mismatch("masks", error))?;
        Ok(summand.masked(masked))
    }

    fn input(&self, part: &'static str, digest: &Digest) -> Result<Vec<u8>, Mismatch> {
        let input = receipt::input(&self.folder, digest, INPUT_BYTES_MAX);
        input.map_err(|error| mismatch(part, error))
    }
}

/// Compares the result of a round with its receipt.
fn compare(
    released: Released,
    given: &RunResult,
    state_out: Option<Digest>,
) -> Result<(), Mismatch> {
    let (mut done, masked) = released.into_parts();
    // The operator may have kept them since, or then.
    if given.evaluation.as_ref().is_some_and(|scores| scores.sums.is_none()) {
        done.without_sums();
    }
    let mut encryption_factor = None;
    if let Some(masked) = masked {
        (done.params, encryption_factor) = (Some(masked.vectors.into()), masked.encryption_factor);
    }
    let blob = |bytes: &Option<Vec<u8>>| bytes.as_deref().map(fedwasm_protocol::BlobRef::of);
    let same = |same: bool, part: &'static str| {
        if same { Ok(()) } else { Err(mismatch(part, "running it again gives a different result")) }
    };
    same(blob(&done.params) == given.params, "result.params")?;
    same(encryption_factor == given.encryption_factor, "result.encryption_factor")?;
    same(blob(&done.aux) == given.aux, "result.aux")?;
    same(blob(&done.sums) == given.sums, "result.sums")?;
    same(done.state_out == state_out, "result.state_out")?;
    let used = Used { memory_bytes: given.memory_bytes, fuel: given.fuel };
    same(done.used == used, "result.memory_bytes or fuel")?;
    same(done.n_samples == given.n_samples, "result.n_samples")?;
    same(done.n_steps == given.n_steps, "result.n_steps")?;
    same(done.train_loss == given.train_loss, "result.train_loss")?;
    same(done.evaluation == given.evaluation, "result.evaluation")?;
    same(done.optimizer_args == given.optimizer_args, "result.optimizer_args")
}

/// Follows the receipts before this one to the first.
fn chain(database: &Database, receipt: &Receipt, keys: &[PublicKey]) -> Result<u64, Mismatch> {
    let (mut n, mut previous) = (0, receipt.previous);
    while let Some(digest) = previous {
        let signed = database.receipt(&digest);
        let signed = signed.map_err(|error| mismatch("previous", error))?;
        if Digest::of(&signed) != digest {
            return Err(mismatch("previous", format!("receipt {digest} was changed")));
        }
        previous = read_receipt(&signed, keys)?.previous;
        n += 1;
    }
    Ok(n)
}

fn on_site(error: impl Into<Cause>) -> Mismatch {
    mismatch(SITE, error)
}

fn mismatch(part: &'static str, cause: impl Into<Cause>) -> Mismatch {
    Mismatch { part, cause: cause.into() }
}

/// A directory that is deleted on drop.
struct Scratch(std::path::PathBuf);

impl Scratch {
    fn new() -> std::io::Result<Self> {
        let id = fedwasm_protocol::RequestId::random().map_err(std::io::Error::other)?;
        let dir = std::env::temp_dir().join(format!("fedwasm-rerun-{id}"));
        Folder::create_private(&dir)?;
        Ok(Self(dir))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

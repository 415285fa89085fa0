//! Answers a researcher who asks whether the node would run a plan, and fetches an unknown plan, so
//! that its operator can look at it.

use std::sync::Arc;
use std::time::Duration;

use fedwasm_artifact::{COMPONENT_BYTES_MAX, Component};
use fedwasm_protocol::{
    ApprovalReply, ApprovalRequest, ApprovalStatus, BlobRef, Body, DESCRIPTION_CHARS_MAX,
    Participant, Reason, Refusal, ResearcherId, SIGNATURES_MAX, printable,
};
use fedwasm_transport::{Repository, now_ms};
use fedwasm_trust::BUNDLE_BYTES_MAX;
use tokio::sync::Semaphore;

use crate::approval::{Approvals, Registration};
use crate::blocking::blocking;
use crate::compiler::Compiler;
use crate::refusal::{blob_refusal, check_size, refusal};
use crate::{Database, Error};

/// How long fetching a plan may take.
const FETCH_TIME_MAX: Duration = Duration::from_secs(60);

/// Answers questions about plans.
#[derive(Clone, Debug)]
pub(crate) struct Clerk {
    pub(crate) approvals: Approvals,
    pub(crate) database: Database,
    pub(crate) repository: Repository,
    pub(crate) compiler: Compiler,
    /// Held while a plan is fetched to be compiled ahead of its round.
    pub(crate) expecting: Arc<Semaphore>,
}

impl Clerk {
    /// The answer to a question.
    pub(crate) async fn answer(&self, who: ResearcherId, request: ApprovalRequest) -> Body {
        let answer = tokio::time::timeout(FETCH_TIME_MAX, self.standing(who, request));
        match answer.await {
            Ok(Ok(reply)) => Body::ApprovalReply(reply),
            Ok(Err(refused)) => Body::Refused(refused),
            Err(_) => {
                let text = "the plan could not be fetched in time".to_owned();
                Body::Refused(refusal(Reason::Blob, text))
            }
        }
    }

    async fn standing(
        &self,
        who: ResearcherId,
        request: ApprovalRequest,
    ) -> Result<ApprovalReply, Refusal> {
        let digest = request.plan.sha256;
        let (approvals, researcher) = (self.approvals.clone(), who.clone());
        let standing = async move || {
            let (approvals, researcher) = (approvals.clone(), researcher.clone());
            blocking(move || approvals.standing(&digest, &researcher, now_ms()).map_err(internal))
                .await
        };
        let reply = standing().await?;
        if reply.status.may_run() {
            self.expect(&who, &request.plan);
        }
        let is_decided = matches!(
            reply.status,
            ApprovalStatus::Rejected | ApprovalStatus::Revoked | ApprovalStatus::Expired
        );
        let is_new = reply.status == ApprovalStatus::NotRegistered;
        // Signatures may come when the bytes are known.
        let more = reply.status == ApprovalStatus::Pending && !request.signatures.is_empty();
        if is_decided || !(is_new || more) || !self.approvals.needs_plans() {
            return Ok(reply);
        }
        self.register(&who, &request).await?;
        standing().await
    }

    /// A round with this plan will be requested: begins to compile the plan.
    fn expect(&self, who: &ResearcherId, plan: &BlobRef) {
        if self.compiler.knows(&plan.sha256) || plan.size > COMPONENT_BYTES_MAX {
            return;
        }
        // One at a time: a plan that is not compiled now is compiled with its first round.
        let Ok(permit) = Arc::clone(&self.expecting).try_acquire_owned() else { return };
        let (repository, compiler) = (self.repository.clone(), self.compiler.clone());
        let (who, plan) = (who.clone(), *plan);
        tokio::spawn(async move {
            // A failure is reported when the round is requested.
            let bytes = tokio::time::timeout(FETCH_TIME_MAX, repository.get(&plan)).await;
            if let Ok(Ok(bytes)) = bytes {
                compiler.expect(&who, &bytes, plan.sha256);
            }
            drop(permit);
        });
    }

    async fn register(&self, who: &ResearcherId, request: &ApprovalRequest) -> Result<(), Refusal> {
        check_size("plan", &request.plan, COMPONENT_BYTES_MAX)?;
        let (plan, signed) = (request.plan, request.signatures.len());
        if self.approvals.would_wait(&plan.sha256, signed) {
            let (database, who) = (self.database.clone(), Participant::researcher(who));
            blocking(move || database.check_room(&who, plan.size).map_err(no_room)).await?;
        }
        let bytes = self.repository.get(&request.plan).await.map_err(blob_refusal)?;
        if request.signatures.len() > SIGNATURES_MAX {
            let text = format!("the plan has more than {SIGNATURES_MAX} signatures");
            return Err(refusal(Reason::BadRequest, text));
        }
        let mut signatures = Vec::new();
        for blob in &request.signatures {
            check_size("signature", blob, BUNDLE_BYTES_MAX)?;
            let bytes: Vec<u8> = self.repository.get(blob).await.map_err(blob_refusal)?;
            signatures.push(bytes);
        }
        let BlobRef { sha256, .. } = request.plan;
        let description =
            request.description.chars().take(DESCRIPTION_CHARS_MAX).collect::<String>();
        let description = printable(&description);
        let columns = request.columns.clone();
        let (database, who) = (self.database.clone(), Participant::researcher(who));
        let approvals = self.approvals.clone();
        blocking(move || {
            let component = Component::admit_as(bytes, &sha256)
                .map_err(|error| refusal(Reason::PlanRefused, error.to_string()))?;
            let (signatures, is_trusted) = approvals.counted(&component, signatures);
            let registration = Registration {
                component: &component,
                signatures: &signatures,
                requested_by: Some(&who),
                description: &description,
                columns: &columns,
                is_trusted,
            };
            match database.register(&registration, now_ms()) {
                Ok(true) => {
                    tracing::info!("plan {sha256} of {who} waits for a decision");
                    Ok(())
                }
                Ok(false) => Ok(()),
                Err(error) => Err(no_room(error)),
            }
        })
        .await
    }
}

fn no_room(error: Error) -> Refusal {
    match error {
        Error::TooManyPlans { .. } => refusal(Reason::Busy, error.to_string()),
        error => internal(error),
    }
}

fn internal(error: Error) -> Refusal {
    tracing::error!("{error}");
    refusal(Reason::Internal, "the node's registry cannot be used; its log says more".into())
}

//! The rules of a secure sum at this node: the stricter of its operator's floors and the request.

use fedwasm_params::DType;
use fedwasm_privacy::{Coding, Numbers, VectorSpec};
use fedwasm_protocol::{Mode, Reason, Refusal, SecaggArgs, SecaggScheme, SecaggTerms};
use fedwasm_sandbox::{Declaration, Scope, TensorSpec};

use crate::privacy::{Floors, Terms};
use crate::refusal::refusal;

/// Refuses a scheme that the operator does not accept, and its absence where one is required.
///
/// * `force` — whether the node trains under secure aggregation only.
pub(crate) fn check_scheme(
    floors: &Floors,
    force: bool,
    scheme: Option<SecaggScheme>,
) -> Result<(), Refusal> {
    let names = |schemes: &[SecaggScheme]| {
        schemes.iter().map(|scheme| format!("`{scheme}`")).collect::<Vec<_>>().join(" or ")
    };
    let text = match (scheme, &floors.secagg) {
        (None, None) if !force => return Ok(()),
        (None, None) => "this node trains under secure aggregation only, and the request does not \
                         ask for it (`[secagg]` of the experiment)"
            .to_owned(),
        (None, Some(schemes)) => format!(
            "this node trains under secure aggregation only ({}), and the request does not ask for \
             it (`[secagg]` of the experiment)",
            names(schemes)
        ),
        (Some(scheme), Some(schemes)) if !schemes.contains(&scheme) => format!(
            "this node takes part in secure aggregation by {} only, and the request asks for \
             `{scheme}` (`secagg` under [privacy] of its node.toml)",
            names(schemes)
        ),
        (Some(_), _) => return Ok(()),
    };
    Err(refusal(Reason::Unsupported, text))
}

/// The demand of a round for a secure sum, tightened by the floors.
#[derive(Clone, Debug)]
pub(crate) struct Demand {
    pub(crate) args: SecaggArgs,
    pub(crate) min_parties: u32,
    /// The limit of each value.
    clip: f64,
    /// The multiplier of the sum's noise, and how many nodes make it.
    noise: Option<(f64, u32)>,
}

impl Demand {
    /// The demand of a request; none if it asks for a result in the clear.
    ///
    /// * `terms` — differential privacy of the round, if there is to be some.
    pub(crate) fn of(
        floors: &Floors,
        args: Option<&SecaggArgs>,
        mode: Mode,
        terms: Option<&Terms>,
    ) -> Option<Self> {
        let args = args?.clone();
        let noisy = terms.filter(|_| mode == Mode::Train);
        Some(Self {
            min_parties: floors.min_parties().max(args.min_parties),
            clip: floors.secagg_clip.map_or(args.clip, |clip| clip.min(args.clip)),
            noise: noisy.map(|terms| (terms.noise_multiplier, floors.honest_parties())),
            args,
        })
    }

    /// Refuses a sum of too few nodes.
    ///
    /// * `least` — how many nodes are in the sum at least, of `parties` that were asked.
    pub(crate) fn check_parties(&self, parties: usize, least: usize) -> Result<(), Refusal> {
        check_min(self.min_parties, parties, least)?;
        match self.noise {
            Some((_, honest)) if (honest as usize) > least => {
                let text = format!(
                    "the sum can be of {least} nodes, and this node counts on the noise of {honest} \
                     (`honest_parties` under [privacy] of its node.toml)"
                );
                Err(refusal(Reason::Privacy, text))
            }
            _ => Ok(()),
        }
    }
}

/// Refuses a sum that can be of fewer nodes than `min`: with `double_masking` nodes may drop out.
pub(crate) fn check_min(min: u32, parties: usize, least: usize) -> Result<(), Refusal> {
    if least >= min as usize {
        return Ok(());
    }
    let of = match least == parties {
        true => format!("{parties} nodes"),
        false => format!("{parties} nodes, of which {least} must be left"),
    };
    let text = format!(
        "a sum of {of}, and this node takes part in sums of {min} or more (`min_parties` under \
         [privacy] of its node.toml): ask more nodes, or set a higher threshold"
    );
    Err(refusal(Reason::Privacy, text))
}

/// How results become vectors, and the terms that hold.
#[derive(Clone, Debug)]
pub(crate) struct SumRules {
    pub(crate) coding: Coding,
    pub(crate) terms: SecaggTerms,
}

impl SumRules {
    /// The rules of a round of a plan.
    ///
    /// * `parties` — how many nodes were asked.
    /// * `numbers` — statistics, if the round is about some.
    pub(crate) fn new(
        demand: &Demand,
        parties: usize,
        declaration: &Declaration,
        (mode, numbers): (Mode, Option<&Numbers>),
    ) -> Result<Self, Refusal> {
        let Demand { args, min_parties, clip, noise } = demand;
        let terms = SecaggTerms {
            scheme: args.scheme,
            sum_id: args.sum_id,
            parties: u32::try_from(parties).unwrap_or(u32::MAX),
            min_parties: *min_parties,
            clip: *clip,
            noise_multiplier: noise.map(|(multiplier, _)| multiplier),
            honest_parties: noise.map(|(_, honest)| honest),
        };
        Self::again(args, terms, declaration, (mode, numbers))
    }

    /// The rules of a round that ran before under these terms.
    pub(crate) fn again(
        args: &SecaggArgs,
        terms: SecaggTerms,
        declaration: &Declaration,
        (mode, numbers): (Mode, Option<&Numbers>),
    ) -> Result<Self, Refusal> {
        let (params, aux) = match mode {
            Mode::Train => (specs(summed(declaration))?, specs(declaration.aux_out.iter())?),
            Mode::Validate | Mode::Scale | Mode::Statistics => (Vec::new(), Vec::new()),
        };
        let coding = Coding::new(args, terms.parties as usize, &params, &aux);
        let coding =
            coding.and_then(|coding| numbers.into_iter().try_fold(coding, Coding::with_numbers));
        let coding = coding
            .map_err(|error| refusal(Reason::BadRequest, format!("secure aggregation: {error}")))?;
        if terms.noise_multiplier.is_some() && !coding.takes_noise() {
            let text = "this node adds noise to its update (`noise_multiplier` under [privacy] of its \
                        node.toml), and noise is for sums in which all nodes weigh the same: ask \
                        for `dp_args` of type `local`";
            return Err(refusal(Reason::Privacy, text.into()));
        }
        Ok(Self { coding, terms })
    }
}

/// The parameters whose updates are summed.
pub(crate) fn summed(declaration: &Declaration) -> impl Iterator<Item = &TensorSpec> {
    declaration.model.iter().filter(|spec| spec.scope == Scope::Shared && spec.trainable)
}

fn specs<'a>(all: impl Iterator<Item = &'a TensorSpec>) -> Result<Vec<VectorSpec<'a>>, Refusal> {
    let spec = |spec: &'a TensorSpec| match spec.dtype {
        DType::Float32 | DType::Float64 => {
            Ok((spec.name.as_str(), spec.dtype, spec.shape.as_slice()))
        }
        _ => {
            let text = format!(
                "`{}` does not fit into a secure sum, which is of float32 and float64 alone",
                spec.name
            );
            Err(refusal(Reason::Privacy, text))
        }
    };
    all.map(spec).collect()
}

#[cfg(test)]
mod tests {
    use fedwasm_protocol::{Digest, DpArgs, DpKind};

    use super::*;

    fn args() -> SecaggArgs {
        SecaggArgs {
            scheme: SecaggScheme::Masking,
            sum_id: Digest::of(b"sum"),
            min_parties: 3,
            clip: 3.0,
            bits: 24,
            rows_max: 100,
            equal_weights: false,
            metrics: Vec::new(),
            metrics_clip: 1_000.0,
            random: None,
            servkey_id: None,
            biprime_id: None,
            shares: None,
        }
    }

    #[test]
    fn a_scheme_that_is_required_is_not_lowered() {
        let of =
            |schemes: &[SecaggScheme]| Floors { secagg: Some(schemes.into()), ..Floors::default() };
        let (masking, double) = (SecaggScheme::Masking, SecaggScheme::DoubleMasking);
        let any = Floors::default();
        assert!(check_scheme(&any, false, None).is_ok());
        assert!(check_scheme(&any, false, Some(masking)).is_ok());
        assert!(check_scheme(&any, true, Some(masking)).is_ok());
        assert!(check_scheme(&of(&[masking, double]), false, Some(double)).is_ok());
        for (floors, force, scheme, text) in [
            (&any, true, None, "secure aggregation only, and"),
            (&of(&[double]), false, None, "only (`double_masking`)"),
            (&of(&[double]), false, Some(masking), "asks for `masking`"),
        ] {
            let refused = check_scheme(floors, force, scheme).unwrap_err();
            assert_eq!(refused.reason, Reason::Unsupported);
            assert!(refused.message.contains(text), "{}", refused.message);
        }
    }

    #[test]
    fn the_stricter_of_floor_and_request_holds_key_by_key() {
        let floors = |min_parties, clip| Floors {
            min_parties: Some(min_parties),
            secagg_clip: Some(clip),
            ..Floors::default()
        };
        let hold = |floors: &Floors, args: &SecaggArgs| {
            let demand = Demand::of(floors, Some(args), Mode::Train, None).unwrap();
            (demand.min_parties, demand.clip)
        };
        assert_eq!(hold(&Floors::default(), &args()), (3, 3.0));
        assert_eq!(hold(&floors(5, 1.0), &args()), (5, 1.0));
        assert_eq!(hold(&floors(4, 9.0), &SecaggArgs { min_parties: 6, ..args() }), (6, 3.0));
        assert!(Demand::of(&floors(5, 1.0), None, Mode::Train, None).is_none());
        let demand = Demand::of(&floors(5, 1.0), Some(&args()), Mode::Train, None).unwrap();
        assert!(demand.check_parties(5, 5).is_ok());
        // Of five nodes that are asked, one may drop out.
        assert!(
            demand.check_parties(5, 4).unwrap_err().message.contains("of which 4 must be left")
        );
        assert!(demand.check_parties(4, 4).unwrap_err().message.contains("sums of 5 or more"));
    }

    #[test]
    fn noise_counts_on_nodes_that_are_in_the_sum_and_weigh_the_same() {
        let floors = Floors { honest_parties: Some(4), ..Floors::default() };
        let dp = Some(DpArgs { kind: DpKind::Local, sigma: 1.0, clip: 1.0 });
        let terms = Terms::of(&floors, dp).unwrap();
        let demand =
            |args: &SecaggArgs, mode| Demand::of(&floors, Some(args), mode, Some(&terms)).unwrap();
        let train = demand(&args(), Mode::Train);
        assert!(train.check_parties(5, 4).is_ok());
        let refused = train.check_parties(5, 3).unwrap_err().message;
        assert!(refused.contains("counts on the noise of 4"), "{refused}");
        assert!(demand(&args(), Mode::Validate).check_parties(3, 3).is_ok());
        let (inputs, targets, state, aux_in) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let declaration =
            Declaration { inputs, targets, model: Vec::new(), aux_in, aux_out: Vec::new(), state };
        let refused =
            SumRules::new(&train, 5, &declaration, (Mode::Train, None)).unwrap_err().message;
        assert!(refused.contains("weigh the same"), "{refused}");
        let equal = demand(&SecaggArgs { equal_weights: true, ..args() }, Mode::Train);
        let rules = SumRules::new(&equal, 5, &declaration, (Mode::Train, None)).unwrap();
        assert_eq!(
            (rules.terms.noise_multiplier, rules.terms.honest_parties),
            (Some(1.0), Some(4))
        );
    }
}

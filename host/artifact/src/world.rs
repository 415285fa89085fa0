//! Whether a component fits the contract, said in words of the contract.
//!
//! Component and contract are compared in step: nothing of a component is
//! followed deeper than the contract itself goes, so that no bytes can lead
//! astray here.

use std::sync::OnceLock;

use wasmparser::component_types::{
    ComponentAnyTypeId, ComponentDefinedType, ComponentEntityType, ComponentFuncTypeId,
    ComponentInstanceTypeId, ComponentTypeId, ComponentValType,
};
use wasmparser::types::Types;
use wasmparser::{Validator, WasmFeatures};

use crate::{CONTRACT, Contract};

/// The world of plans.
const WORLD: &str = "training-plan";
/// The most lines that a person is told.
const LINES_MAX: usize = 12;

/// How a component differs from the contract.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Misfit {
    /// Functions that the component wants and the contract does not offer.
    pub not_offered: Vec<String>,
    /// Functions that a plan must export and the component does not.
    pub missing: Vec<String>,
    /// Where types differ, and how.
    pub differs: Vec<String>,
}

impl Misfit {
    fn is_empty(&self) -> bool {
        self.not_offered.is_empty() && self.missing.is_empty() && self.differs.is_empty()
    }
}

impl std::fmt::Display for Misfit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let parts = [
            ("import not offered", &self.not_offered),
            ("missing export    ", &self.missing),
            ("type differs      ", &self.differs),
        ];
        let lines = parts.iter().flat_map(|(what, lines)| lines.iter().map(move |l| (what, l)));
        for (what, line) in lines.clone().take(LINES_MAX) {
            write!(f, "\n  {what} : {line}")?;
        }
        match lines.count().saturating_sub(LINES_MAX) {
            0 => Ok(()),
            more => write!(f, "\n  and {more} more"),
        }
    }
}

/// The contract's side of a comparison.
struct World {
    contract: Contract,
    types: Types,
    component: ComponentTypeId,
}

/// Compares the component whose types these are with the contract that it was built
/// for; `imports` and `exports` are those of the contract's package.
///
/// # Errors
/// [`Misfit`], with everything that differs.
pub(crate) fn check(
    contract: Contract,
    types: &Types,
    imports: &[String],
    exports: &[String],
) -> Result<(), Misfit> {
    let mut misfit = Misfit::default();
    let Some(world) = world(contract) else {
        misfit.differs.push("the contract of this build is broken".into());
        return Err(misfit);
    };
    for name in imports {
        let got = types.as_ref().component_item_for_import(name).map(|item| item.ty);
        let wanted = world.instance(name, Side::Import);
        match (got, wanted) {
            (Some(ComponentEntityType::Instance(got)), Some(wanted)) => {
                check_import(types, got, world, wanted, short(name), &mut misfit);
            }
            (_, Some(_)) => misfit.differs.push(format!("{} is not an interface", short(name))),
            (_, None) => misfit.not_offered.push(format!("the interface {}", short(name))),
        }
    }
    for name in exports.iter().filter(|name| short(name) == "plan") {
        let got = types.as_ref().component_item_for_export(name).map(|item| item.ty);
        match (got, world.instance(name, Side::Export)) {
            (Some(ComponentEntityType::Instance(got)), Some(wanted)) => {
                check_export(types, got, world, wanted, short(name), &mut misfit);
            }
            _ => misfit.differs.push(format!("{} is not an interface", short(name))),
        }
    }
    if misfit.is_empty() { Ok(()) } else { Err(misfit) }
}

/// Each function that the plan calls must be offered, with the same type.
fn check_import(
    types: &Types,
    got: ComponentInstanceTypeId,
    world: &World,
    wanted: ComponentInstanceTypeId,
    interface: &str,
    misfit: &mut Misfit,
) {
    let offered = &world.types[wanted].exports;
    for (name, item) in &types[got].exports {
        let place = || format!("{interface}.{}", fedwasm_protocol::printable(name));
        match (item.ty, offered.get(name).map(|item| item.ty)) {
            // Types come along for the functions that use them.
            (ComponentEntityType::Type { created, .. }, _)
                if !matches!(created, ComponentAnyTypeId::Resource(_)) => {}
            (ComponentEntityType::Func(got), Some(ComponentEntityType::Func(wanted))) => {
                let both = Both { plan: types, host: &world.types };
                misfit
                    .differs
                    .extend(both.functions(got, wanted).map(|d| format!("{}: {d}", place())));
            }
            _ => misfit.not_offered.push(place()),
        }
    }
}

/// Each function of a plan must be there, with the same type.
fn check_export(
    types: &Types,
    got: ComponentInstanceTypeId,
    world: &World,
    wanted: ComponentInstanceTypeId,
    interface: &str,
    misfit: &mut Misfit,
) {
    let exported = &types[got].exports;
    for (name, item) in &world.types[wanted].exports {
        let ComponentEntityType::Func(wanted) = item.ty else { continue };
        match exported.get(name).map(|item| item.ty) {
            Some(ComponentEntityType::Func(got)) => {
                let both = Both { plan: types, host: &world.types };
                let differs = both.functions(got, wanted);
                misfit.differs.extend(differs.map(|d| format!("{interface}.{name}: {d}")));
            }
            _ => misfit.missing.push(format!("{interface}.{name}")),
        }
    }
}

/// The types of both sides.
struct Both<'a> {
    plan: &'a Types,
    host: &'a Types,
}

impl Both<'_> {
    /// Says how two functions differ, if they do.
    fn functions(&self, plan: ComponentFuncTypeId, host: ComponentFuncTypeId) -> Option<String> {
        let (plan, host) = (&self.plan[plan], &self.host[host]);
        if plan.async_ {
            return Some("asynchronous in the plan, synchronous in the contract".into());
        }
        if plan.params.len() != host.params.len() {
            let (plan, host) = (plan.params.len(), host.params.len());
            return Some(format!("{plan} parameters in the plan, {host} in the contract"));
        }
        for ((plan_name, plan), (host_name, host)) in plan.params.iter().zip(&host.params) {
            if plan_name != host_name {
                return Some(named(plan_name, host_name));
            }
            if let Some(differs) = self.values(*plan, *host) {
                return Some(format!("`{host_name}`: {differs}"));
            }
        }
        self.optional(plan.result, host.result).map(|differs| format!("result: {differs}"))
    }

    fn optional(
        &self,
        plan: Option<ComponentValType>,
        host: Option<ComponentValType>,
    ) -> Option<String> {
        match (plan, host) {
            (None, None) => None,
            (Some(plan), Some(host)) => self.values(plan, host),
            (Some(_), None) => Some("a value in the plan, none in the contract".into()),
            (None, Some(_)) => Some("no value in the plan, one in the contract".into()),
        }
    }

    fn values(&self, plan: ComponentValType, host: ComponentValType) -> Option<String> {
        use ComponentDefinedType as T;
        let primitive = |types: &Types, value| match value {
            ComponentValType::Primitive(primitive) => Some(primitive),
            ComponentValType::Type(id) => match &types[id] {
                T::Primitive(primitive) => Some(*primitive),
                _ => None,
            },
        };
        let kinds = || {
            let (plan, host) = (kind(self.plan, plan), kind(self.host, host));
            Some(format!("{plan} in the plan, {host} in the contract"))
        };
        match (primitive(self.plan, plan), primitive(self.host, host)) {
            (Some(plan), Some(host)) if plan == host => return None,
            (None, None) => {}
            _ => return kinds(),
        }
        let (ComponentValType::Type(plan_id), ComponentValType::Type(host_id)) = (plan, host)
        else {
            return kinds();
        };
        match (&self.plan[plan_id], &self.host[host_id]) {
            (T::List { element: plan, .. }, T::List { element: host, .. })
            | (T::Option { ty: plan, .. }, T::Option { ty: host, .. }) => self.values(*plan, *host),
            (T::Result { ok, err, .. }, T::Result { ok: host_ok, err: host_err, .. }) => self
                .optional(*ok, *host_ok)
                .or_else(|| self.optional(*err, *host_err).map(|d| format!("error: {d}"))),
            (T::Tuple(plan), T::Tuple(host)) if plan.types.len() == host.types.len() => {
                let mut pairs = plan.types.iter().zip(&host.types);
                pairs.find_map(|(plan, host)| self.values(*plan, *host))
            }
            (T::Record(plan), T::Record(host)) if plan.fields.len() == host.fields.len() => {
                let mut pairs = plan.fields.iter().zip(&host.fields);
                pairs.find_map(|((plan_name, plan), (host_name, host))| {
                    if plan_name == host_name {
                        self.values(*plan, *host).map(|d| format!("field `{host_name}`: {d}"))
                    } else {
                        Some(named(plan_name, host_name))
                    }
                })
            }
            (T::Variant(plan), T::Variant(host)) if plan.cases.len() == host.cases.len() => {
                let mut pairs = plan.cases.iter().zip(&host.cases);
                pairs.find_map(|((plan_name, plan), (host_name, host))| {
                    if plan_name == host_name {
                        self.optional(plan.ty, host.ty).map(|d| format!("case `{host_name}`: {d}"))
                    } else {
                        Some(named(plan_name, host_name))
                    }
                })
            }
            (T::Enum(plan), T::Enum(host)) if plan.len() == host.len() => {
                let mut pairs = plan.iter().zip(host);
                pairs.find(|(plan, host)| plan != host).map(|(plan, host)| named(plan, host))
            }
            _ => kinds(),
        }
    }
}

fn named(plan: impl std::fmt::Display, host: impl std::fmt::Display) -> String {
    let plan = fedwasm_protocol::printable(&plan.to_string());
    format!("`{plan}` in the plan, `{host}` in the contract")
}

/// The kind of a type, without its contents.
fn kind(types: &Types, value: ComponentValType) -> String {
    use ComponentDefinedType as T;
    let counted = |what: &str, n: usize| format!("a {what} of {n}");
    match value {
        ComponentValType::Primitive(primitive) => primitive.to_string(),
        ComponentValType::Type(id) => match &types[id] {
            T::Primitive(primitive) => primitive.to_string(),
            T::Record(record) => counted("record", record.fields.len()),
            T::Variant(variant) => counted("variant", variant.cases.len()),
            T::Tuple(tuple) => counted("tuple", tuple.types.len()),
            T::Enum(names) => counted("enum", names.len()),
            T::List { .. } => "a list".into(),
            T::Option { .. } => "an option".into(),
            T::Result { .. } => "a result".into(),
            _ => "a type that the contract does not use".into(),
        },
    }
}

#[derive(Clone, Copy)]
enum Side {
    Import,
    Export,
}

impl World {
    /// The contract's interface of this name, in any patch version.
    fn instance(&self, name: &str, side: Side) -> Option<ComponentInstanceTypeId> {
        let component = &self.types[self.component];
        let items = match side {
            Side::Import => &component.imports,
            Side::Export => &component.exports,
        };
        let own = format!("{CONTRACT}/{}@{}", short(name), self.contract);
        match items.get(&own)?.ty {
            ComponentEntityType::Instance(id) => Some(id),
            _ => None,
        }
    }
}

/// `store` of `fedwasm:training-plan/store@0.1.0`.
fn short(name: &str) -> &str {
    let name = name.rsplit_once('/').map_or(name, |(_, name)| name);
    name.split_once('@').map_or(name, |(name, _)| name)
}

/// The contract's types; none if the build is broken, which a test excludes.
fn world(contract: Contract) -> Option<&'static World> {
    static WORLDS: [OnceLock<Option<World>>; Contract::ALL.len()] =
        [const { OnceLock::new() }; Contract::ALL.len()];
    WORLDS.get(contract as usize)?.get_or_init(|| read_world(contract)).as_ref()
}

/// Reads the contract: a package is a component that exports its worlds as
/// types, each the type of a component that exports the world itself.
fn read_world(contract: Contract) -> Option<World> {
    let mut resolve = wit_parser::Resolve::default();
    let package = resolve.push_str("training-plan.wit", contract.wit()).ok()?;
    let bytes = wit_component::encode(&resolve, package).ok()?;
    let types = Validator::new_with_features(WasmFeatures::default()).validate_all(&bytes).ok()?;
    let component = {
        let types = types.as_ref();
        let ComponentEntityType::Type { referenced: ComponentAnyTypeId::Component(outer), .. } =
            types.component_item_for_export(WORLD)?.ty
        else {
            return None;
        };
        match types[outer].exports.values().next()?.ty {
            ComponentEntityType::Component(world) => world,
            _ => return None,
        }
    };
    Some(World { contract, types, component })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_contracts_of_this_build_are_whole() {
        for contract in Contract::ALL {
            let world = world(contract).unwrap();
            for name in ["types", "store", "loader", "predictions", "monitor", "random"] {
                assert!(world.instance(name, Side::Import).is_some(), "{contract}: {name}");
            }
            assert!(world.instance("plan", Side::Export).is_some(), "{contract}");
            let compute = world.instance("compute", Side::Import);
            assert_eq!(compute.is_some(), contract != Contract::V0_1, "{contract}");
        }
    }
}

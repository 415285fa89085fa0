//! `fedwasm plan push` and `pull`: plans in OCI registries.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use fedwasm_artifact::load_plan;
use fedwasm_artifact::{COMPONENT_BYTES_MAX, Component};
use fedwasm_registry::{Artifact, Login, Pulled, pull as pull_from, push as push_to};
use fedwasm_trust::{BUNDLE_BYTES_MAX, Bundle};
use serde_json::json;

use crate::command_error::{CommandError, PLAN_REFUSED, USAGE};
use crate::commands::plan::sign::with_suffix;
use crate::printer::Printer;

/// The credentials for a registry.
#[derive(Debug, clap::Args)]
pub(crate) struct LoginArgs {
    /// The user at the registry; the password is read from standard input.
    #[arg(long)]
    username: Option<String>,
    /// Another host that may get the password at the registry's request, such as auth.docker.io.
    #[arg(long, requires = "username")]
    login_at: Option<String>,
}

/// Push a plan and its signatures to an OCI registry.
#[derive(Debug, clap::Args)]
pub(crate) struct PushArgs {
    /// The component.
    file: PathBuf,
    /// The reference to push to, such as `registry.example/plans/mine:1.0`.
    reference: String,
    #[command(flatten)]
    login: LoginArgs,
}

/// Pull a plan and its signatures from an OCI registry.
#[derive(Debug, clap::Args)]
pub(crate) struct PullArgs {
    /// The reference to pull, such as `registry.example/plans/mine:1.0`.
    reference: String,
    /// The component to write; signatures go beside it.
    #[arg(short)]
    output: PathBuf,
    #[command(flatten)]
    login: LoginArgs,
}

impl LoginArgs {
    fn read(self) -> Result<Option<Login>, CommandError> {
        let Some(user) = self.username else { return Ok(None) };
        let mut password = String::new();
        std::io::stdin().take(64 << 10).read_to_string(&mut password)?;
        let password = password.trim_end_matches(['\r', '\n']).to_owned();
        Ok(Some(Login { user, password, at: self.login_at }))
    }
}

pub(crate) async fn push(args: PushArgs, printer: &Printer) -> Result<(), CommandError> {
    let component = load_plan(&args.file)?;
    let inspection = component.inspect();
    let mut signatures = Vec::new();
    for bundle in fedwasm_trust::bundles_beside(&args.file)? {
        signatures.push(fedwasm_folder::read_file(&bundle, BUNDLE_BYTES_MAX)?);
    }
    let n = signatures.len();
    let annotation = |key: &str, value: Option<String>| {
        value.map(|value| (format!("org.opencontainers.image.{key}"), value))
    };
    let annotations = [
        annotation("title", inspection.name),
        annotation("version", inspection.version),
        annotation("licenses", inspection.licence),
        annotation("source", inspection.source),
    ];
    let artifact = Artifact {
        component: component.bytes().to_vec(),
        imports: inspection.imports,
        exports: inspection.exports,
        annotations: annotations.into_iter().flatten().collect(),
        signatures,
    };
    let manifest = push_to(&args.reference, artifact, args.login.read()?).await?;
    printer.line(format!("pushed     {}", args.reference));
    printer.line(format!("plan       sha256:{}", component.digest()));
    printer.line(format!("manifest   {manifest}"));
    printer.line(format!("signatures {n}"));
    printer.event(
        "result",
        &json!({
            "plan_sha256": component.digest(), "manifest": manifest, "signatures": n,
            "reference": args.reference,
        }),
    );
    Ok(())
}

pub(crate) async fn pull(args: PullArgs, printer: &Printer) -> Result<(), CommandError> {
    let login = args.login.read()?;
    let pulled = pull_from(&args.reference, COMPONENT_BYTES_MAX, login).await?;
    let Pulled { component, signatures, manifest } = pulled;
    let component = Component::admit(component)
        .map_err(|error| CommandError::new(PLAN_REFUSED, format!("{}: {error}", args.reference)))?;
    let paths = names(&args.output, &signatures);
    // An existing file may belong to another signer.
    if let Some(path) = [&args.output].into_iter().chain(&paths).find(|path| path.exists()) {
        return Err(CommandError::new(USAGE, format!("{} exists already", path.display())));
    }
    fedwasm_folder::write_file(&args.output, component.bytes())?;
    for (path, bundle) in paths.iter().zip(&signatures) {
        fedwasm_folder::write_file(path, bundle)?;
    }
    printer.line(format!("pulled     {}", args.output.display()));
    printer.line(format!("plan       sha256:{}", component.digest()));
    printer
        .line(format!("signatures {}; `fedwasm plan verify` names the signers", signatures.len()));
    printer.event(
        "result",
        &json!({
            "plan_sha256": component.digest(), "manifest": manifest, "path": args.output,
            "signatures": paths,
        }),
    );
    Ok(())
}

/// Where signatures go: the first of each kind under the usual name.
fn names(output: &Path, signatures: &[Vec<u8>]) -> Vec<PathBuf> {
    let mut taken: Vec<PathBuf> = Vec::new();
    for signature in signatures {
        let is_statement = Bundle::from_json(signature).is_ok_and(|bundle| bundle.is_statement());
        let kind = if is_statement { ".statement" } else { "" };
        let name = |n: usize| match n {
            0 => with_suffix(output, &format!("{kind}.sigstore.json")),
            n => with_suffix(output, &format!(".{n}{kind}.sigstore.json")),
        };
        let free = (0..=signatures.len()).map(name).find(|name| !taken.contains(name));
        taken.extend(free);
    }
    taken
}

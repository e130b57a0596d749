//! `ig image inspect`: what an image is made of, without running it.
//!
//! People at a terminal get a page to read. Programs, and people who ask for it, get the documents that the Go project's
//! command prints: a map of everything known, one entry of it, or the data sources.

use std::io::IsTerminal as _;

use clap::{Args, ValueEnum};
use ig_image::{Arch, Store};
use ig_model::text::printable;
use serde_json::Value;

use super::output::{Form, print, write};
use super::parse;
use crate::failure::Failure;

mod diagram;
mod disassemble;
mod extra;
mod facts;
mod module;
mod query;
mod sources;
mod text;

use facts::Facts;

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  ig image inspect trace_exec\n  ig image inspect trace_exec -o json\n  \
    ig image inspect trace_exec --extra-info oci.metadata\n  \
    ig image inspect trace_exec --show-datasources --jsonpath '[0].fields[*].fullName'\n  \
    ig image inspect trace_exec --extra-info ebpf.flowchart")]
pub(super) struct Arguments {
    /// Name of the image, such as trace_exec or registry.example/name:tag
    image: String,
    /// How it is printed [default: text on a terminal, else jsonpretty]
    #[arg(short, long, value_enum, value_name = "FORM")]
    output: Option<Output>,
    /// Print one entry of the map, such as oci.metadata
    #[arg(long, value_name = "KEY", conflicts_with = "show_datasources")]
    extra_info: Option<String>,
    /// Print the data sources with their fields
    #[arg(long)]
    show_datasources: bool,
    /// Print only this part of what is asked for, a JSONPath without its `$`
    #[arg(long, value_name = "EXPR")]
    jsonpath: Option<String>,
    /// The architecture to look at [default: this machine's]
    #[arg(long, value_name = "ARCH")]
    arch: Option<Arch>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Output {
    /// A page to read
    Text,
    /// Compact JSON
    Json,
    /// Indented JSON
    Jsonpretty,
    /// YAML
    Yaml,
}

impl Output {
    /// The form of a document; text is not a document.
    fn form(self) -> Option<Form> {
        match self {
            Self::Text => None,
            Self::Json => Some(Form::Json),
            Self::Jsonpretty => Some(Form::Jsonpretty),
            Self::Yaml => Some(Form::Yaml),
        }
    }
}

pub(super) fn run(store: &Store, arguments: &Arguments) -> Result<(), Failure> {
    let Arguments { image, output, extra_info, show_datasources, jsonpath, arch } = arguments;
    let asked = *show_datasources || extra_info.is_some();
    if jsonpath.is_some() && !asked {
        return Err(Failure::config("--jsonpath needs something to look into")
            .hint("add --extra-info KEY or --show-datasources"));
    }
    let reference = parse(image)?;
    let facts = Facts::gather(store, &reference, arch.unwrap_or_else(Arch::host))?;
    for warning in &facts.warnings {
        warning!("{}", printable(warning));
    }
    let form = output.map_or(Some(Form::Jsonpretty), Output::form);
    if *show_datasources {
        let document = Value::from(facts.discovered().map(sources::list).unwrap_or_default());
        return answer(&document, jsonpath.as_deref(), form);
    }
    if let Some(key) = extra_info {
        return entry(&facts, image, key, jsonpath.as_deref(), form);
    }
    match (output, form) {
        (None, _) if std::io::stdout().is_terminal() => write(&text::page(&facts, store)),
        (Some(Output::Text), _) | (_, None) => write(&text::page(&facts, store)),
        (_, Some(form)) => print(&extra::map(&facts, image), form),
    }
}

/// One entry of the map: documents as documents, texts as texts.
fn entry(
    facts: &Facts,
    image: &str,
    key: &str,
    jsonpath: Option<&str>,
    form: Option<Form>,
) -> Result<(), Failure> {
    let map = extra::map(facts, image);
    let Some(found) = map.get(key) else {
        let known: Vec<&str> = map.keys().map(String::as_str).collect();
        let failure = Failure::config(format!("the image has no extra info `{key}`"));
        let near = ig_model::nearest(key, known.iter().copied());
        return Err(failure.hint(match near {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("it has {}", known.join(", ")),
        }));
    };
    match found.document() {
        Some(document) => answer(&document?, jsonpath, form),
        None if jsonpath.is_some() => Err(Failure::config(format!(
            "--jsonpath needs JSON or YAML, and `{key}` is {}",
            found.content_type
        ))),
        None => write(&format!("{}\n", lines(&found.content))),
    }
}

fn answer(document: &Value, jsonpath: Option<&str>, form: Option<Form>) -> Result<(), Failure> {
    let form = form.unwrap_or(Form::Jsonpretty);
    match jsonpath {
        Some(path) => print(&query::query(document, path)?, form),
        None => print(document, form),
    }
}

/// Text of several lines with nothing in it that terminals act upon.
fn lines(text: &str) -> String {
    let lines: Vec<String> =
        text.trim_end().lines().map(|line| printable(&line.replace('\t', "        ")).into_owned()).collect();
    lines.join("\n")
}

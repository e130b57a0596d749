//! The flags of `ig run`: those every run has, and those a gadget brings along.

use std::{collections::BTreeMap, ffi::OsString, path::PathBuf, time::Duration};

use clap::{
    Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches as _,
    error::{ContextKind, ContextValue, ErrorKind},
    value_parser,
};

use ig_image::{Store, access::PullPolicy};
use ig_model::text::printable;
use ig_operators::{arrange, filter};
use ig_runtime::images::ImageFlags;

use crate::{environment, failure::Failure, log};

/// Name of the flag for more of the log.
const VERBOSE: &str = "verbose";
/// Name of the flag for the form of the log.
const LOG_FORMAT: &str = "log-format";

/// Flags that every run takes, whatever the gadget.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Rows and time")]
pub(super) struct Common {
    /// End after this time: seconds such as 10 or 0.5, or a duration such as 1m30s; 0 for no limit
    #[arg(short, long, value_name = "TIME", default_value = "0", value_parser = timeout, hide_default_value = true)]
    pub(super) timeout: Duration,
    /// How rows are written to standard output: columns, json, jsonpretty, yaml, none, or a mode of the gadget's own;
    /// one for all data sources or MODE by source (`open:json,stats:none`)
    #[arg(short, long, value_name = "MODE")]
    pub(super) output: Option<String>,
    /// Fields to show: `a,b` only these, `+a,-b` besides or without the usual ones
    #[arg(long, value_name = "FIELDS", allow_hyphen_values = true)]
    pub(super) fields: Option<String>,
    /// Keep records that match: `proc.comm==cat,ret!=0`; == != < <= > >=, ~ !~ for regular expressions; all must hold
    #[arg(short = 'F', long, value_name = "RULES")]
    filter: Option<String>,
    /// Keep records for which an expression holds: `proc.comm == "cat" && ret < 0`
    #[arg(short = 'E', long, value_name = "EXPRESSION")]
    filter_expr: Option<String>,
    /// Sort what is read at once: `-sent,pid`, a minus for descending
    #[arg(long, value_name = "FIELDS", allow_hyphen_values = true)]
    sort: Option<String>,
    /// Keep the first N of what is read at once; -1 for all
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    max_entries: Option<String>,
    /// Set an annotation over the image's: `source.field:key=value`
    #[arg(long, value_name = "ANNOTATION", action = ArgAction::Append)]
    pub(super) annotate: Vec<String>,
    /// Show events of the host too, not of containers only; accepted for compatibility, the host is always shown
    #[arg(long, hide = true, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    host: Option<bool>,
    #[command(flatten)]
    images: crate::image::access::Flags,
    /// Image store [default: /var/lib/ig/oci-store]
    #[arg(long, env = "IG_STORE", value_name = "DIR", help_heading = "Images")]
    store: Option<PathBuf>,
    /// Use the images of the user who called sudo; nothing is pulled, and that store is not written to
    #[arg(long, conflicts_with = "store", help_heading = "Images")]
    oci_store_user: bool,
}

fn timeout(text: &str) -> Result<Duration, String> {
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let seconds = text.parse().ok().filter(|_| is_number);
    seconds
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
        .or_else(|| ig_config::value::duration(text).ok())
        .ok_or_else(|| "expected seconds such as 10 or 0.5, or a duration such as 1m30s".to_owned())
}

impl Common {
    /// Where images are, and how they are reached.
    ///
    /// # Errors
    /// Flags that contradict each other, or no user who called sudo.
    pub(super) fn images(&self) -> Result<(PathBuf, ImageFlags), Failure> {
        let flags = self.images.resolve()?;
        if !self.oci_store_user {
            return Ok((self.store_path(), flags));
        }
        if flags.pull.is_some_and(|pull| pull != PullPolicy::Never) {
            return Err(Failure::config("--pull contradicts --oci-store-user, which only reads"));
        }
        let path = Store::sudo_user_path().map_err(|error| Failure::new(&error))?;
        Ok((path, ImageFlags { pull: Some(PullPolicy::Never), read_only: true, ..flags }))
    }

    /// The store that these flags name.
    pub(super) fn store_path(&self) -> PathBuf {
        crate::image::store_path(self.store.as_deref())
    }

    /// The parameters of operators these flags stand for, by their full names.
    pub(super) fn params(&self) -> BTreeMap<String, String> {
        let flags = [
            (filter::FILTER, &self.filter),
            (filter::FILTER_EXPR, &self.filter_expr),
            (arrange::SORT, &self.sort),
            (arrange::MAX_ENTRIES, &self.max_entries),
        ];
        flags.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value.clone()?))).collect()
    }
}

/// A flag that a gadget brings along.
#[derive(Clone, Debug)]
pub(super) struct GadgetFlag {
    /// What the user writes after `--`.
    pub(super) name: String,
    /// Another name.
    pub(super) alternative: Option<String>,
    /// One letter that stands for it.
    pub(super) letter: Option<char>,
    /// Full name of the parameter it sets.
    pub(super) parameter: String,
    /// Type of the value, such as `uint32`.
    pub(super) hint: String,
    /// One sentence.
    pub(super) description: String,
    /// What holds when it is not given.
    pub(super) default: String,
    /// The only values it takes; empty for any of its type.
    pub(super) possible: Vec<String>,
}

/// What the command line of a gadget says.
#[derive(Debug)]
pub(super) struct Parsed {
    /// Flags that every run takes.
    pub(super) common: Common,
    /// Parameters by full name: those of operators and those of the gadget.
    pub(super) params: BTreeMap<String, String>,
}

/// What `--help` says of a gadget beside its flags.
#[derive(Clone, Debug, Default)]
pub(super) struct Words {
    /// Its name, as it was written.
    pub(super) image: String,
    /// What it does.
    pub(super) about: String,
    /// The data sources and their fields.
    pub(super) fields: String,
}

/// The common flags among arguments that hold flags of a gadget not known yet.
pub(super) fn peek(arguments: &[OsString]) -> Option<Common> {
    Common::from_arg_matches(&peeked(arguments)?).ok()
}

/// What arguments that begin with an image say about the log: how much more of it, and in which form.
pub(super) fn peek_logging(arguments: &[OsString]) -> (u8, Option<log::Format>) {
    let Some(matches) = peeked(arguments) else { return (0, None) };
    // Nothing is there, not even defaults, where another flag is wrong.
    let more = matches.try_get_one::<u8>(VERBOSE).ok().flatten().copied().unwrap_or(0);
    (more, matches.try_get_one::<log::Format>(LOG_FORMAT).ok().flatten().copied())
}

fn peeked(arguments: &[OsString]) -> Option<ArgMatches> {
    let command = command(&Words::default(), &[]).ignore_errors(true).disable_help_flag(true);
    command.try_get_matches_from(common_only(arguments)).ok()
}

/// The flags of every command that stand behind the image.
fn logging() -> [Arg; 2] {
    [
        Arg::new(VERBOSE).short('v').long(VERBOSE).action(ArgAction::Count).hide(true),
        Arg::new(LOG_FORMAT).long(LOG_FORMAT).value_parser(value_parser!(log::Format)).hide(true),
    ]
}

/// The flag that clap does not know, without its dashes.
pub(super) fn unknown(error: &clap::Error) -> Option<String> {
    match (error.kind(), error.get(ContextKind::InvalidArg)) {
        (ErrorKind::UnknownArgument, Some(ContextValue::String(flag))) => {
            Some(flag.trim_start_matches('-').split('=').next().unwrap_or_default().to_owned())
        }
        _ => None,
    }
}

/// Leaves out what is no common flag: clap understands nothing behind the first flag that it does not know.
fn common_only(arguments: &[OsString]) -> Vec<OsString> {
    let known = Common::augment_args(Command::new("ig run")).args(logging());
    let mut kept = vec![OsString::from("IMAGE")];
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        let text = argument.to_string_lossy();
        let (flag, is_whole) = match text.strip_prefix("--") {
            Some("") => break,
            Some(long) => {
                let (name, value) =
                    long.split_once('=').map_or((long, None), |(name, value)| (name, Some(value)));
                let named = |arg: &&Arg| {
                    arg.get_long() == Some(name)
                        || arg.get_all_aliases().is_some_and(|all| all.contains(&name))
                };
                (known.get_arguments().find(named), value.is_some())
            }
            None => {
                let mut letters = text.strip_prefix('-').unwrap_or_default().chars();
                let letter = letters.next();
                let flag = known.get_arguments().find(|arg| letter.is_some() && arg.get_short() == letter);
                (flag, letters.next().is_some())
            }
        };
        let Some(flag) = flag else { continue };
        kept.push(argument.clone());
        if !is_whole && flag.get_action().takes_values() && !flag.is_require_equals_set() {
            kept.extend(arguments.next().cloned());
        }
    }
    kept
}

/// Parses the arguments after `run` now that the gadget's flags are known.
///
/// # Errors
/// What clap says about them, `--help` included.
pub(super) fn parse(
    words: &Words,
    arguments: &[OsString],
    flags: &[GadgetFlag],
) -> Result<Parsed, clap::Error> {
    let matches = command(words, flags).try_get_matches_from(arguments)?;
    let common = Common::from_arg_matches(&matches)?;
    let mut params = common.params();
    for flag in flags {
        // A gadget's parameter gives way to a flag of the same name that every run has.
        if let Ok(Some(value)) = matches.try_get_one::<String>(&flag.parameter) {
            params.insert(flag.parameter.clone(), value.clone());
        }
    }
    Ok(Parsed { common, params })
}

/// Reads values of the form `@FILE` from their files.
///
/// # Errors
/// A file that cannot be read.
pub(super) fn read_files(params: &mut BTreeMap<String, String>) -> Result<(), Failure> {
    for (key, value) in params {
        if let Some(path) = value.strip_prefix('@') {
            *value = std::fs::read_to_string(path).map_err(|error| {
                Failure::config(format!("failed to read the value of `{key}` from `{path}`: {error}"))
            })?;
        }
    }
    Ok(())
}

/// The command line of a gadget: its own flags first, then those of every run.
fn command(words: &Words, flags: &[GadgetFlag]) -> Command {
    let Words { image, about, fields } = words;
    let mut command = Command::new("ig run")
        .bin_name(format!("ig run {image}"))
        .no_binary_name(true)
        .max_term_width(100)
        .after_help(fields.clone())
        .arg(Arg::new("image").hide(true).required(true))
        // Already in force; known here so that they may stand anywhere.
        .args(logging());
    let common = Common::augment_args(Command::new(""));
    for flag in flags {
        let all = || common.get_arguments().chain(command.get_arguments());
        let taken = |name: &str| all().any(|arg| arg.get_long() == Some(name));
        if taken(&flag.name) {
            continue;
        }
        let letter_taken = |letter: char| letter == 'h' || all().any(|arg| arg.get_short() == Some(letter));
        let mut arg = argument(flag);
        if let Some(alternative) = flag.alternative.clone().filter(|name| !taken(name)) {
            arg = arg.alias(alternative);
        }
        if let Some(letter) = flag.letter.filter(|letter| !letter_taken(*letter)) {
            arg = arg.short(letter);
        }
        command = command.arg(arg);
    }
    // Flattened flags bring the words of their group along as the text about the command.
    environment::without_empty(Common::augment_args(command))
        .about(about.clone())
        .long_about(None)
        .override_usage(format!("ig run {image} [FLAGS]"))
}

fn argument(flag: &GadgetFlag) -> Arg {
    let mut help = flag.description.clone();
    if help.is_empty() {
        usual_meaning(&flag.name).clone_into(&mut help);
    }
    if !flag.default.is_empty() {
        help.push_str(&format!(" [default: {}]", flag.default));
    }
    if !flag.possible.is_empty() {
        help.push_str(&format!(" [possible values: {}]", flag.possible.join(", ")));
    }
    // An image wrote it.
    let help = printable(help.trim()).into_owned();
    let is_own = ["operator.oci.", "custom."].iter().any(|prefix| flag.parameter.starts_with(prefix));
    let arg = Arg::new(flag.parameter.clone())
        .long(printable(&flag.name).into_owned())
        .help(help)
        .help_heading(if is_own { "Parameters of the gadget" } else { "What is done with its data" })
        .hide(flag.description.starts_with("Accepted for compatibility"))
        .value_parser(value_parser!(String))
        .allow_hyphen_values(true);
    if flag.hint == "bool" {
        arg.num_args(0..=1).require_equals(true).default_missing_value("true").value_name("BOOL")
    } else {
        let name =
            if flag.hint.is_empty() { "TEXT".to_owned() } else { printable(&flag.hint).to_uppercase() };
        arg.value_name(name)
    }
}

/// What a parameter from the gadget headers does; images do not describe those.
fn usual_meaning(name: &str) -> &'static str {
    match name {
        "pid" => "Only this process; 0 for all",
        "tid" => "Only this thread; 0 for all",
        "uid" => "Only this user; 4294967295 for all",
        "gid" => "Only this group; 4294967295 for all",
        "comm" => "Only tasks of this name, at most 15 bytes",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peeked(line: &str) -> Common {
        let arguments: Vec<OsString> = line.split_whitespace().map(OsString::from).collect();
        peek(&arguments).unwrap()
    }

    /// Scenario: common flags stand behind, before and between flags of a gadget, its image and `--help`.
    /// Guarantees: each is found with its value; what follows `--` is none.
    #[test]
    fn common_flags_are_found_among_others() {
        for line in [
            "--store /there -Fpid==1 --annotate a:b=c gadget --paths",
            "gadget --pid 5 --paths --store /there -F pid==1 --annotate=a:b=c",
            "gadget --help --sort -pid --store=/there --filter=pid==1 --annotate a:b=c -- --store /elsewhere",
        ] {
            let common = peeked(line);
            assert_eq!(common.store.as_deref(), Some(std::path::Path::new("/there")), "{line}");
            assert_eq!(common.filter.as_deref(), Some("pid==1"), "{line}");
            assert_eq!(common.annotate, ["a:b=c"], "{line}");
        }
        assert_eq!(peeked("gadget --sort -pid --max-entries -1").sort.as_deref(), Some("-pid"));
    }

    /// Scenario: the time of a run in whole seconds, in parts of one, with units, and in ways that mean nothing.
    /// Guarantees: each is taken for what it says, or refused; none overflows.
    #[test]
    fn a_time_may_be_part_of_a_second() {
        for (text, millis) in
            [("0", 0), ("10", 10_000), ("0.5", 500), (".25", 250), ("1m30s", 90_000), ("300ms", 300)]
        {
            assert_eq!(timeout(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for text in ["", ".", "-1", "1.5.2", "nan", "inf", "1e9", "99999999999999999999999999", "soon"] {
            assert!(timeout(text).is_err(), "{text}");
        }
    }

    /// Scenario: flags about the log behind an image, between flags of a gadget that are not known yet.
    /// Guarantees: they are found; without them nothing is said.
    #[test]
    fn flags_about_the_log_are_found_behind_the_image() {
        let peeked =
            |line: &str| peek_logging(&line.split_whitespace().map(OsString::from).collect::<Vec<_>>());
        assert_eq!(peeked("gadget --pid 5 -v --paths --log-format json -v"), (2, Some(log::Format::Json)));
        assert_eq!(peeked("gadget -vv"), (2, None));
        assert_eq!(peeked("gadget --paths --log-format=text"), (0, Some(log::Format::Text)));
        assert_eq!(peeked("gadget --paths -- -v"), (0, None));
        assert_eq!(peeked("gadget --timeout 1x"), (0, None), "wrong flags are complained about later");
    }

    fn flag(parameter: &str, name: &str) -> GadgetFlag {
        GadgetFlag {
            name: name.to_owned(),
            alternative: None,
            letter: None,
            parameter: parameter.to_owned(),
            hint: "uint32".to_owned(),
            description: String::new(),
            default: "0".to_owned(),
            possible: Vec::new(),
        }
    }

    /// Scenario: the help of a gadget with a parameter of its own and one of an operator.
    /// Guarantees: what it does comes first, then its parameters, then the flags that every run has, images last.
    #[test]
    fn help_begins_with_what_is_the_gadgets_own() {
        let words = Words {
            image: "x".to_owned(),
            about: "Shows things".to_owned(),
            fields: "Fields of `x`".to_owned(),
        };
        let flags =
            [flag("operator.oci.ebpf.pid", "pid"), flag("operator.oci.ebpf.map-fetch-interval", "every")];
        let help = command(&words, &flags).render_help().to_string();
        let places: Vec<usize> = [
            "Shows things",
            "Parameters of the gadget",
            "Only this process",
            "Rows and time",
            "--timeout",
            "Images",
            "Fields of `x`",
        ]
        .into_iter()
        .map(|text| help.find(text).unwrap_or_else(|| panic!("{text} in {help}")))
        .collect();
        assert!(places.is_sorted(), "{help}");
    }

    /// Scenario: a flag that neither a gadget nor every run has.
    /// Guarantees: its name is found, so that a field of that name can be pointed to.
    #[test]
    fn an_unknown_flag_is_named() {
        let parsed = parse(&Words::default(), &["x", "--comm", "cat"].map(OsString::from), &[]);
        assert_eq!(unknown(&parsed.unwrap_err()).as_deref(), Some("comm"));
    }
}

//! What may be written in runtime-config.yaml: every key with its type, default and meaning.

use std::time::Duration;

use ig_model::otlp::{Compression, OtlpProtocol, Signal};
use ig_model::{InstrumentKind, Temporality};

use super::{
    LogFormat, LogLevel, Pull,
    gadget::Buckets,
    rules::{
        ANNOTATION, ATTRIBUTE, ENDPOINT, HEADER, IMAGE, INSTRUMENT, NAME, PARAM, REGISTRY, SERVER_NAME,
        SIGNAL_ENDPOINT, TEXT,
    },
};
use crate::policy::{MATERIAL, NOTATION};
use crate::table::{Key, Kind, Object, words};

pub(crate) static DOCUMENT: Object = Object {
    name: "runtime-config",
    doc: "Which gadgets run on this node and where their data goes. Each of `exporters`, `images`, `limits` and \
          `log` may be given once in all documents of a directory; `gadgets` add up.",
    one_of: false,
    keys: &[
        Key::required("apiVersion", Kind::Whole { min: 1, max: 1 }, "Version of this format; always 1."),
        Key::required("kind", Kind::Word(|| vec!["runtime-config"], &[]), "What this document is."),
        Key::new(
            "exporters",
            Kind::Object(&EXPORTERS),
            "Where metrics go; left out, they are served to Prometheus on 127.0.0.1:2224.",
        ),
        Key::new("images", Kind::Object(&IMAGES), "Where gadget images come from and which are trusted."),
        Key::new("limits", Kind::Object(&LIMITS), "Bounds on what gadgets may cost."),
        Key::new("log", Kind::Object(&LOG), "What the collector itself logs."),
        Key::new("gadgets", Kind::List(&Kind::Object(&GADGET)), "The gadgets to keep running."),
        Key::renamed("instances", "the list of gadgets is called `gadgets`"),
        Key::renamed(
            "operator",
            "this is a key of the reference project's config.yaml; use `exporters`, `images` and `limits`",
        ),
    ],
};

pub(crate) static EXPORTERS: Object = Object {
    name: "exporters",
    doc: "Where metrics go. Every exporter gets the metrics of every gadget that does not choose among them.",
    one_of: false,
    keys: &[
        Key::new("prometheus", Kind::Object(&PROMETHEUS), "An endpoint for Prometheus to scrape."),
        Key::new(
            "otlp",
            Kind::Map { keys: &NAME, values: &Kind::Object(&OTLP) },
            "OpenTelemetry receivers by name; `prometheus` is taken.",
        ),
    ],
};

pub(crate) static PROMETHEUS: Object = Object {
    name: "prometheus",
    doc: "An endpoint for Prometheus to scrape, at `/metrics`.",
    one_of: false,
    keys: &[
        Key::defaults("listen", Kind::Address, "127.0.0.1:2224", "Address and port to listen on."),
        Key::not_yet(
            "web-config",
            "leave it out and listen on a loopback address, behind a proxy that does TLS",
            "TLS and basic authentication.",
        ),
        Key::renamed("address", "write address and port as `listen`"),
        Key::renamed("port", "write address and port as `listen`"),
    ],
};

const MILLISECOND: Duration = Duration::from_millis(1);
const HOUR: Duration = Duration::from_hours(1);
const DAY: Duration = Duration::from_hours(24);
/// As humantime counts one, so that it reads `1year`.
const YEAR: Duration = Duration::from_hours(8766);

pub(crate) static OTLP: Object = Object {
    name: "otlp",
    doc: "An OpenTelemetry receiver that metrics are pushed to.",
    one_of: false,
    keys: &[
        Key::new(
            "endpoint",
            Kind::Text(&ENDPOINT),
            "`http://host:port`, or `https://...` for TLS. With http/protobuf it is a base, a path included: `/v1/metrics` is appended unless it ends so. Required unless `endpoints` says where metrics go.",
        ),
        Key::new(
            "endpoints",
            Kind::Object(&ENDPOINTS),
            "With http/protobuf: addresses of single signals, taken as they are instead of `endpoint`.",
        ),
        Key::defaults("protocol", Kind::Word(words::<OtlpProtocol>, &[]), "grpc", "How to speak to it."),
        Key::defaults(
            "signals",
            Kind::List(&Kind::Word(words::<Signal>, &["traces", "logs", "profiles"])),
            "[metrics]",
            "What to send.",
        ),
        Key::defaults(
            "interval",
            Kind::Duration { least: Duration::from_millis(100), most: DAY, zero: false },
            "15s",
            "Time from one push to the next.",
        ),
        Key::defaults(
            "timeout",
            Kind::Duration { least: MILLISECOND, most: HOUR, zero: false },
            "10s",
            "How long one push may take.",
        ),
        Key::defaults(
            "temporality",
            Kind::Word(words::<Temporality>, &[]),
            "cumulative",
            "Whether sums count since the start or since the last push.",
        ),
        Key::defaults(
            "compression",
            Kind::Word(words::<Compression>, &[]),
            "gzip",
            "How requests are compressed.",
        ),
        Key::defaults(
            "headers",
            Kind::Map { keys: &HEADER, values: &Kind::Secret },
            "{}",
            "Headers added to each request; never shown. Take passwords from `${VAR}` or `${file:PATH}`.",
        ),
        Key::new("tls", Kind::Object(&TLS), "Certificates for `https` endpoints."),
        Key::defaults(
            "resource",
            Kind::Map { keys: &ATTRIBUTE, values: &Kind::Literal },
            "{}",
            "Resource attributes beside the ones the collector finds out itself, or in their place: `service.instance.id` is a hash of the machine, the node and the path of this file.",
        ),
        Key::new(
            "retry",
            Kind::Object(&RETRY),
            "What to do when a push fails in a way that trying again can mend.",
        ),
        Key::new("queue", Kind::Object(&QUEUE), "What waits while the receiver is down."),
        Key::not_yet("spool", "requests wait in memory, see `queue`", "A queue on disk."),
        Key::renamed("insecure", "write `http://` or `https://` in `endpoint`"),
        Key::renamed("exporter", "write `protocol: grpc` or `protocol: http/protobuf`"),
    ],
};

pub(crate) static ENDPOINTS: Object = Object {
    name: "endpoints",
    doc: "Addresses of single signals, to which nothing is appended.",
    one_of: false,
    keys: &[
        Key::new("metrics", Kind::Text(&SIGNAL_ENDPOINT), "Where metrics are sent."),
        Key::not_yet("traces", "leave it out", "Where traces are sent."),
        Key::not_yet("logs", "leave it out", "Where logs are sent."),
        Key::not_yet("profiles", "leave it out", "Where profiles are sent."),
    ],
};

pub(crate) static TLS: Object = Object {
    name: "tls",
    doc: "Certificates for an `https` endpoint; without any, the system's authorities are trusted.",
    one_of: false,
    keys: &[
        Key::new(
            "ca-file",
            Kind::Path,
            "Certificates (PEM) of the authorities to trust instead of the system's.",
        ),
        Key::new(
            "cert-file",
            Kind::Path,
            "Our certificate (PEM), for receivers that ask for one; needs `key-file`.",
        ),
        Key::new("key-file", Kind::Path, "Our private key (PEM); needs `cert-file`."),
        Key::new(
            "server-name",
            Kind::Text(&SERVER_NAME),
            "The name that the receiver's certificate must carry, where it is not the endpoint's host.",
        ),
        Key::renamed("insecure-skip-verify", "name the receiver's authority in `ca-file`"),
    ],
};

pub(crate) static RETRY: Object = Object {
    name: "retry",
    doc: "Failed pushes are tried again with doubling waits. A receiver that asks for a pause (`Retry-After`, `RetryInfo`) is \
          left alone for as long as it asks, up to five minutes or `max-elapsed`, whichever is longer.",
    one_of: false,
    keys: &[
        Key::defaults(
            "initial",
            Kind::Duration { least: MILLISECOND, most: HOUR, zero: false },
            "1s",
            "The first wait.",
        ),
        Key::defaults(
            "max",
            Kind::Duration { least: MILLISECOND, most: HOUR, zero: false },
            "30s",
            "The longest wait.",
        ),
        Key::defaults(
            "max-elapsed",
            Kind::Duration { least: MILLISECOND, most: DAY, zero: true },
            "5m",
            "How long one push is tried before it is given up and counted as lost, pauses that the receiver asks for not counted; 0 gives up at once.",
        ),
    ],
};

pub(crate) static QUEUE: Object = Object {
    name: "queue",
    doc: "Requests that wait in memory while the receiver is down; the oldest go first when it is full, and are counted.",
    one_of: false,
    keys: &[Key::defaults(
        "max-bytes",
        Kind::Size { min: 64 << 10, max: 4 << 30 },
        "16MiB",
        "Most bytes of encoded requests kept.",
    )],
};

pub(crate) static IMAGES: Object = Object {
    name: "images",
    doc: "Where gadget images come from and which are trusted. An administrator can lock what may be loosened here in \
          `/etc/ig/policy.yaml`.",
    one_of: false,
    keys: &[
        Key::defaults(
            "pull",
            Kind::Word(words::<Pull>, &[]),
            "missing",
            "When to ask a registry: for images the store does not have, at each start, or never.",
        ),
        Key::new(
            "refresh-interval",
            Kind::Duration { least: Duration::from_secs(1), most: YEAR, zero: false },
            "How often tags are looked up again while gadgets run, with `pull: always`; a new image is switched to as by \
             a reload. Left out, only at starts and reloads.",
        ),
        Key::new(
            "store",
            Kind::Path,
            "The image store; left out, the one of the user the collector runs as.",
        ),
        Key::new(
            "authfile",
            Kind::Path,
            "Registry credentials, a docker `config.json`; left out, `/var/lib/ig/config.json`, else docker's own.",
        ),
        Key::defaults(
            "insecure-registries",
            Kind::List(&Kind::Text(&REGISTRY)),
            "[]",
            "Registries reached over plain HTTP, without credentials: exactly the `host[:port]` of the image's name.",
        ),
        Key::defaults(
            "mirrors",
            Kind::Map { keys: &REGISTRY, values: &Kind::List(&Kind::Text(&TEXT)) },
            "{}",
            "Mirrors by registry, `host[:port][/prefix]` each, tried in order before the registry itself.",
        ),
        Key::defaults(
            "allowed-gadgets",
            Kind::List(&Kind::Text(&TEXT)),
            "[]",
            "Images that may run: `name:tag`, `name@digest`, or a prefix that ends in `*`, names in full. None allows all.",
        ),
        Key::new("verify", Kind::Object(&VERIFY), "Who must have signed images."),
        Key::new("limits", Kind::Object(&IMAGE_LIMITS), "Bounds on what is fetched and stored."),
        Key::renamed("disallow-pulling", "write `pull: never`"),
        Key::renamed("verify-image", "write `verify: {required: false}`"),
        Key::renamed("public-keys", "write them under `verify`"),
    ],
};

pub(crate) static IMAGE_LIMITS: Object = Object {
    name: "image-limits",
    doc: "Bounds on what is fetched and stored; what is larger is refused before it is read.",
    one_of: false,
    keys: &[
        Key::defaults(
            "manifest",
            Kind::Size { min: 64 << 10, max: 64 << 20 },
            "4MiB",
            "Most bytes of an index or manifest.",
        ),
        Key::defaults(
            "layer",
            Kind::Size { min: 64 << 10, max: 16 << 30 },
            "512MiB",
            "Most bytes of a layer.",
        ),
    ],
};

pub(crate) static VERIFY: Object = Object {
    name: "verify",
    doc: "Who must have signed images. One valid signature by any of the keys or certificates is enough.",
    one_of: false,
    keys: &[
        Key::defaults(
            "required",
            Kind::Bool,
            "true",
            "Whether an image without a valid signature is refused.",
        ),
        Key::defaults(
            "local-builds",
            Kind::Bool,
            "true",
            "Whether an image built on this machine, by `ig image build` into this store, runs without a signature.",
        ),
        Key::new(
            "public-keys",
            Kind::List(&Kind::Text(&MATERIAL)),
            "Public keys for cosign signatures, as PEM text or files; left out, the key of the reference project.",
        ),
        Key::new("notation", Kind::Object(&NOTATION), "X.509 certificates for notation signatures."),
    ],
};

pub(crate) static LIMITS: Object = Object {
    name: "limits",
    doc: "Bounds on what gadgets may cost.",
    one_of: false,
    keys: &[
        Key::defaults(
            "series-per-gadget",
            Kind::Whole { min: 1, max: 10_000_000 },
            "10000",
            "Most series of one gadget; what comes after is folded into its overflow series.",
        ),
        Key::defaults(
            "series-total",
            Kind::Whole { min: 1, max: 100_000_000 },
            "200000",
            "Most series of all gadgets together.",
        ),
        Key::defaults(
            "stale-after",
            Kind::Duration { least: Duration::from_secs(1), most: YEAR, zero: true },
            "5m",
            "How long a series is kept without an update. A gauge ends then; a counter or histogram once every exporter has \
             taken its last value. 0 keeps them for ever.",
        ),
    ],
};

pub(crate) static LOG: Object = Object {
    name: "log",
    doc: "What the collector itself logs, to standard error. Flags and environment win over it.",
    one_of: false,
    keys: &[
        Key::new("level", Kind::Word(words::<LogLevel>, &[]), "The least severe level that is logged."),
        Key::new("format", Kind::Word(words::<LogFormat>, &[]), "How lines look."),
    ],
};

pub(crate) static GADGET: Object = Object {
    name: "gadget",
    doc: "One gadget to keep running.",
    one_of: false,
    keys: &[
        Key::required("name", Kind::Text(&NAME), "Its name, unique; the scope of its metrics."),
        Key::required(
            "image",
            Kind::Text(&IMAGE),
            "Short name (`trace_exec`), or registry, repository, tag and digest.",
        ),
        Key::defaults(
            "params",
            Kind::Map { keys: &PARAM, values: &Kind::Literal },
            "{}",
            "Parameters by short or fully qualified name.",
        ),
        Key::new("filter", Kind::Text(&TEXT), "Records that do not match are dropped: `proc.comm!=runc`."),
        Key::new(
            "filter-expr",
            Kind::Text(&TEXT),
            "Records for which this expression is not true are dropped: `proc.comm != 'runc' and ret in [0, -2]`.",
        ),
        Key::defaults(
            "metrics",
            Kind::List(&Kind::Object(&METRIC)),
            "[]",
            "Metrics made of its records, besides those that the image's annotations ask for.",
        ),
        Key::defaults(
            "image-metrics",
            Kind::Bool,
            "true",
            "Whether the metrics that the image's annotations ask for are made as well.",
        ),
        Key::new(
            "interval",
            Kind::Duration { least: Duration::from_millis(10), most: DAY, zero: false },
            "How often maps and iterators are read; left out, as the image says.",
        ),
        Key::defaults(
            "annotate",
            Kind::List(&Kind::Text(&ANNOTATION)),
            "[]",
            "Annotations set over the image's.",
        ),
        Key::new(
            "exporters",
            Kind::List(&Kind::Text(&NAME)),
            "The exporters its metrics go to: `prometheus` and names from `exporters.otlp`; left out, all of them.",
        ),
        Key::new("limits", Kind::Object(&GADGET_LIMITS), "Bounds for this gadget alone."),
        Key::not_yet("traces", "only metrics are made so far", "Spans made of its records."),
        Key::not_yet("logs", "only metrics are made so far", "Log records made of its records."),
        Key::renamed(
            "paramValues",
            "parameters are called `params` here; `paramValues` is for `kind: instance-spec`",
        ),
        Key::renamed("parameters", "parameters are called `params`"),
    ],
};

pub(crate) static GADGET_LIMITS: Object = Object {
    name: "gadget-limits",
    doc: "Bounds for one gadget alone.",
    one_of: false,
    keys: &[Key::new(
        "series",
        Kind::Whole { min: 1, max: 10_000_000 },
        "Most series; left out, `limits.series-per-gadget`.",
    )],
};

pub(crate) static METRIC: Object = Object {
    name: "metric",
    doc: "A metric made of a gadget's records.",
    one_of: false,
    keys: &[
        Key::required(
            "name",
            Kind::Text(&INSTRUMENT),
            "Name of the instrument; unit and `_total` are added where Prometheus wants them.",
        ),
        Key::required("type", Kind::Word(words::<InstrumentKind>, &[]), "What it measures."),
        Key::new(
            "datasource",
            Kind::Text(&TEXT),
            "The data source to take records from; needed where the gadget has several.",
        ),
        Key::new(
            "field",
            Kind::Text(&TEXT),
            "The field that is added, set or observed. Left out, records are counted: all of them by a counter, \
             those of the last fetch by a gauge. A histogram needs one.",
        ),
        Key::defaults(
            "labels",
            Kind::List(&Kind::Either(&LABEL, &Kind::Text(&TEXT))),
            "[]",
            "The fields that distinguish series, as names or as `{name: ..., field: ...}`.",
        ),
        Key::new("unit", Kind::Text(&TEXT), "Unit after scaling, in UCUM: `s`, `By`, `1`."),
        Key::new("description", Kind::Text(&TEXT), "One sentence for the help text."),
        Key::new(
            "scale",
            Kind::Number,
            "What each value is multiplied with: `1e-9` makes seconds of nanoseconds.",
        ),
        Key::new(
            "buckets",
            Kind::Either(&BUCKETS, &Kind::List(&Kind::Number)),
            "Upper bounds of a histogram's buckets, as a list or by a rule. Left out: the slots where the field is an \
             array of slots, else OpenTelemetry's defaults.",
        ),
        Key::renamed("kind", "the kind of a metric is called `type`"),
        Key::renamed("boundaries", "the bounds of a histogram are called `buckets`"),
        Key::renamed("help", "the help text is called `description`"),
    ],
};

pub(crate) static LABEL: Object = Object {
    name: "label",
    doc: "A label with a name of its own.",
    one_of: false,
    keys: &[
        Key::required("name", Kind::Text(&TEXT), "Name of the label."),
        Key::required("field", Kind::Text(&TEXT), "The field it is read from."),
    ],
};

pub(crate) static BUCKETS: Object = Object {
    name: "buckets",
    doc: "Upper bounds of a histogram's buckets; the last one, without bound, is not written.",
    one_of: true,
    keys: &[
        Key::new("explicit", Kind::List(&Kind::Number), "Each bound written out, strictly increasing."),
        Key::new("exponential", Kind::Object(&EXPONENTIAL), "Each bound a multiple of the one before."),
        Key::new("linear", Kind::Object(&LINEAR), "Bounds at equal distances."),
    ],
};

const COUNT: Kind = Kind::Whole { min: 1, max: Buckets::MOST as u64 };

pub(crate) static EXPONENTIAL: Object = Object {
    name: "exponential-buckets",
    doc: "Bounds of which each is a multiple of the one before.",
    one_of: false,
    keys: &[
        Key::required("start", Kind::Number, "The first bound, above 0."),
        Key::required("factor", Kind::Number, "How many times the one before each is, above 1."),
        Key::required("count", COUNT, "How many bounds."),
    ],
};

pub(crate) static LINEAR: Object = Object {
    name: "linear-buckets",
    doc: "Bounds at equal distances.",
    one_of: false,
    keys: &[
        Key::required("start", Kind::Number, "The first bound."),
        Key::required("width", Kind::Number, "The distance from one to the next, above 0."),
        Key::required("count", COUNT, "How many bounds."),
    ],
};

/// Every object, in the order of the key reference.
pub(crate) static ALL: [&Object; 21] = [
    &DOCUMENT,
    &EXPORTERS,
    &PROMETHEUS,
    &OTLP,
    &ENDPOINTS,
    &TLS,
    &RETRY,
    &QUEUE,
    &IMAGES,
    &VERIFY,
    &IMAGE_LIMITS,
    &NOTATION,
    &LIMITS,
    &LOG,
    &GADGET,
    &GADGET_LIMITS,
    &METRIC,
    &LABEL,
    &BUCKETS,
    &EXPONENTIAL,
    &LINEAR,
];
